"""The picture sheet: a column for each of some frames spread over the clip, a row for each way of looking at them.

Rows, from the top: real, rendered, their difference (absolute, amplified), depth of the head (near is bright, outside of the head black),
the real mouth and the rendered one. Where there is no real picture (cross-driven) its rows and the difference are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.evaluate.regions import mouth_squares
from editing.whole_files import write_whole
from renderer.images import encode_picture, quantise, resize_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float, UInt8

    from editing.evaluate.driving import Drive

N_FRAMES = 6
DIFFERENCE_GAIN = 4
DEPTH_PX = 128
"""Height of the depth map before it is enlarged: the torch reference renders it."""
SURFACE_OPACITY = 0.5
"""Less opaque rays show no surface."""
SCALE_PERCENTILES = (1.0, 95.0)
DARKEST = 0.1
"""Grey of the farthest surface, 0…1."""


@dataclass(frozen=True)
class SheetFrame:
    """One column's pictures."""

    index: int
    rendered: UInt8[np.ndarray, "h w 3"]
    real: UInt8[np.ndarray, "h w 3"] | None


def sheet_frames(frames: Sequence[int]) -> set[int]:
    """Which of the frames go into the sheet: evenly spread, the first and the last among them."""
    return {frames[round(place)] for place in np.linspace(0, len(frames) - 1, min(N_FRAMES, len(frames)))}


def difference(real: UInt8[np.ndarray, "h w 3"], rendered: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Absolute, times `DIFFERENCE_GAIN`."""
    apart = np.abs(real.astype(np.int16) - rendered) * DIFFERENCE_GAIN
    return np.minimum(apart, 255).astype(np.uint8)


def shaded_depth(distance: Float[np.ndarray, "h w"], opacity: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Distances in head units as greys; a few stray rays at either end do not set the scale."""
    surface = opacity >= SURFACE_OPACITY
    nearest, farthest = np.percentile(distance[surface], SCALE_PERCENTILES) if surface.any() else (0.0, 1.0)
    nearness = np.clip((farthest - distance) / max(farthest - nearest, 1e-6), 0.0, 1.0)
    grey = np.where(surface, DARKEST + (1.0 - DARKEST) * nearness, 0.0)
    return np.repeat(quantise(grey)[..., None], 3, axis=2)


def depth_row(drive: Drive, indices: Sequence[int], width: int, height: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Depth of each frame, from its own nearest to its own farthest surface."""
    from renderer.backends.base import RenderOptions
    from renderer.backends.torch_backend import TorchBackend

    backend = TorchBackend(drive.avatar, RenderOptions(size=min(DEPTH_PX, drive.avatar.camera.height), threads=drive.threads))
    pictures = [shaded_depth(*backend.depth(drive.condition(index))) for index in indices]
    return [quantise(resize_picture(picture, width, height)) for picture in pictures]


def compose(drive: Drive, columns: Sequence[SheetFrame]) -> UInt8[np.ndarray, "sheet_h sheet_w 3"]:
    """The whole sheet; every picture keeps the avatar's size, mouths are squares as wide."""
    height, width = columns[0].rendered.shape[:2]
    rendered = [column.rendered for column in columns]
    real = [column.real for column in columns if column.real is not None]
    squares = mouth_squares(drive.dataset, [drive.pose_frame(column.index) for column in columns])

    def mouths(pictures: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[UInt8[np.ndarray, "w w 3"]]:
        cut = (np.ascontiguousarray(picture[square]) for picture, square in zip(pictures, squares, strict=True))
        return [quantise(resize_picture(mouth, width, width)) for mouth in cut]

    depth = depth_row(drive, [column.index for column in columns], width, height)
    if real:
        apart = [difference(a, b) for a, b in zip(real, rendered, strict=True)]
        rows = [real, rendered, apart, depth, mouths(real), mouths(rendered)]
    else:
        rows = [rendered, depth, mouths(rendered)]
    return np.vstack([np.hstack(row) for row in rows])


def write_sheet(path: Path, drive: Drive, columns: Sequence[SheetFrame]) -> None:
    """The sheet as a PNG, whole or not at all."""
    save_sheet(path, compose(drive, sorted(columns, key=lambda column: column.index)))


def save_sheet(path: Path, sheet: UInt8[np.ndarray, "h w 3"]) -> None:
    """Any sheet as a PNG, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_bytes(encode_picture(sheet, "png")))
