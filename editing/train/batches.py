"""Which pixels a step looks at, and what each of them should show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from editing.train.clip import EYES, FACE, INSIDE, NEAR, OUTSIDE

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from editing.train.clip import TrainingClip
    from editing.train.config import TrainConfig


class PixelBatch(NamedTuple):
    """Pixels of a few frames, frame after frame, equally many of each."""

    frames: Int[np.ndarray, " n_frames"]
    pixels: Float[Tensor, "n_frames n_pixels 2"]
    """x, y at pixel centres."""
    target: Float[Tensor, "n 3"]
    behind: Float[Tensor, "n 3"]
    """What shows where the head is transparent."""
    outside_face: Bool[Tensor, " n"]

    def to(self, device: torch.device) -> PixelBatch:
        """The same with all tensors on `device`."""
        frames, *tensors = self
        return PixelBatch(frames, *(tensor.to(device) for tensor in tensors))


def head_batch(clip: TrainingClip, config: TrainConfig, n_rays: int, rng: np.random.Generator) -> PixelBatch:
    """Pixels for the head stage.

    Inside the head the background is random, so only an opaque head can match; surely outside it, background and target are the same
    random colour, so only an empty field can. In between the true picture behind the head decides.
    """
    frames = clip.draw(config.frames_per_step, rng)
    per_frame = max(32, n_rays // len(frames))
    pixels = np.stack([_choose(clip, int(f), config, per_frame, rng) for f in frames])
    bits = np.stack([clip.regions(int(f)).bits[p] for f, p in zip(frames, pixels, strict=True)]).reshape(-1)
    target = np.stack([clip.picture(int(f))[p] for f, p in zip(frames, pixels, strict=True)]).reshape(-1, 3) / np.float32(255)
    behind = np.stack([clip.behind_head(int(f))[p] for f, p in zip(frames, pixels, strict=True)]).reshape(-1, 3) / np.float32(255)
    noise = rng.random(target.shape, dtype=np.float32)
    inside, outside = (bits & INSIDE) > 0, (bits & OUTSIDE) > 0
    behind[inside | outside] = noise[inside | outside]
    target[outside] = noise[outside]
    return _batch(clip, frames, pixels, target, behind, (bits & FACE) == 0)


def patch_side(clip: TrainingClip, config: TrainConfig) -> int:
    """Of a lip patch, in pixels: what is asked for, if the picture is that large."""
    return min(config.patch_px, clip.width, clip.height)


def lip_batch(clip: TrainingClip, config: TrainConfig, rng: np.random.Generator) -> PixelBatch:
    """One square patch around the lips of each frame (paper, "fine-tuning of the lips"), over the true picture behind the head."""
    frames = clip.draw(config.frames_per_step, rng)
    side = patch_side(clip, config)
    chosen = []
    for f in frames:
        x0, y0, x1, y1 = clip.regions(int(f)).lip_box
        left = int(np.clip(rng.integers(x0, max(x0 + 1, x1 - side + 1)), 0, clip.width - side))
        top = int(np.clip(rng.integers(y0, max(y0 + 1, y1 - side + 1)), 0, clip.height - side))
        chosen.append(((top + np.arange(side))[:, None] * clip.width + left + np.arange(side)).reshape(-1))
    pixels = np.stack(chosen)
    bits = np.stack([clip.regions(int(f)).bits[p] for f, p in zip(frames, pixels, strict=True)]).reshape(-1)
    target = np.stack([clip.picture(int(f))[p] for f, p in zip(frames, pixels, strict=True)]).reshape(-1, 3) / np.float32(255)
    behind = np.stack([clip.behind_head(int(f))[p] for f, p in zip(frames, pixels, strict=True)]).reshape(-1, 3) / np.float32(255)
    return _batch(clip, frames, pixels, target, behind, (bits & FACE) == 0)


def _choose(clip: TrainingClip, frame: int, config: TrainConfig, n: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    regions = clip.regions(frame)
    n_lips, n_eyes, n_anywhere = (round(n * share) for share in (config.lip_share, config.eye_share, config.surround_share))
    x0, y0, x1, y1 = regions.lip_box
    lips = rng.integers(y0, y1, n_lips) * clip.width + rng.integers(x0, x1, n_lips)
    near, eyes = regions.pixels(NEAR), regions.pixels(EYES)
    if not len(eyes):
        eyes = near
    anywhere = rng.integers(0, clip.width * clip.height, n_anywhere)
    rest = near[rng.integers(0, len(near), n - n_lips - n_eyes - n_anywhere)]
    return np.concatenate([rest, anywhere, eyes[rng.integers(0, len(eyes), n_eyes)], lips])


def _batch(
    clip: TrainingClip,
    frames: Int[np.ndarray, " n_frames"],
    pixels: Int[np.ndarray, "n_frames n_pixels"],
    target: Float[np.ndarray, "n 3"],
    behind: Float[np.ndarray, "n 3"],
    outside_face: Bool[np.ndarray, " n"],
) -> PixelBatch:
    xy = np.stack([pixels % clip.width, pixels // clip.width], -1).astype(np.float32) + 0.5
    return PixelBatch(frames, torch.from_numpy(xy), torch.from_numpy(target), torch.from_numpy(behind), torch.from_numpy(outside_face))
