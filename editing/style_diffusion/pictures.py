"""The pictures that the networks see: whole renders, and windows of them, at the model's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from editing.style_diffusion.renders import StyledRenders

WINDOWS = 1
"""Of each picture, besides the whole of it."""
LEAST_WINDOW = 0.85
"""Side of a window, as a share of the picture's."""


@dataclass(frozen=True)
class Pictures:
    """The first `n_whole` are whole renders, then come the windows."""

    rgb: UInt8[np.ndarray, "n h w 3"]
    style: Int[np.ndarray, " n"]
    """Index into `STYLES`."""
    frame: Int[np.ndarray, " n"]
    """Index into the renders."""
    n_whole: int

    def __len__(self) -> int:
        return len(self.rgb)

    def batch(self, chosen: Int[np.ndarray, " k"]) -> Float[Tensor, "k 3 h w"]:
        """As the autoencoder takes them: −1…1."""
        return as_input(self.rgb[chosen])


def as_input(rgb: UInt8[np.ndarray, "n h w 3"]) -> Float[Tensor, "n 3 h w"]:
    """Pictures as Stable Diffusion's autoencoder takes them: −1…1, channels first (and last in memory, which is faster on a CPU)."""
    import torch

    pictures = torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2)
    return (pictures.float() / 127.5 - 1.0).to(memory_format=torch.channels_last)


def as_pictures(decoded: Float[Tensor, "n 3 h w"]) -> UInt8[np.ndarray, "n h w 3"]:
    """The other way; what lies beyond −1…1 is clipped."""
    return np.asarray(((decoded.detach().float().clamp(-1.0, 1.0) + 1.0) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())


def cut(renders: StyledRenders, size_px: int, seed: int, windows: int = WINDOWS) -> Pictures:
    """All of the renders, whole and in random windows, each style's windows its own."""
    generator = np.random.default_rng(seed)
    n_styles, n, height, width = renders.pictures.shape[:4]
    styles, frames = (part.ravel() for part in np.meshgrid(np.arange(n_styles), np.arange(n), indexing="ij"))
    rgb = np.empty((n_styles * n * (1 + windows), size_px, size_px, 3), np.uint8)
    for row in range(len(rgb)):
        k = row % (n_styles * n)
        picture = renders.pictures[styles[k], frames[k]]
        if row >= n_styles * n:
            side = generator.uniform(LEAST_WINDOW, 1.0)
            rows, columns = round(side * height), round(side * width)
            top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
            picture = picture[top : top + rows, left : left + columns]
        rgb[row] = _resized(picture, size_px)
    return Pictures(rgb, np.tile(styles, 1 + windows), np.tile(frames, 1 + windows), n_styles * n)


def _resized(picture: UInt8[np.ndarray, "h w 3"], size_px: int) -> UInt8[np.ndarray, "s s 3"]:
    """`renderer.images.resize_picture`'s triangle filter, by torch: thousands of pictures are cut."""
    import torch
    from torch.nn.functional import interpolate

    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    small = interpolate(tensor, (size_px, size_px), mode="bilinear", antialias=True)
    return np.asarray(small.round().clamp(0.0, 255.0).byte()[0].permute(1, 2, 0).numpy())
