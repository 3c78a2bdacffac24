"""Pictures as arrays: resizing and quantising. sRGB-encoded values, float 0...1 or uint8."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from renderer.types import WHOLE_PICTURE

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from renderer.types import PictureWindow


def resize_picture(
    picture: UInt8[np.ndarray, "h w 3"], width: int, height: int, window: PictureWindow | None = None
) -> Float[np.ndarray, "height width 3"]:
    """A picture, or a window of it, to float 0...1 on another raster: box average when shrinking, linear when growing."""
    part = window or WHOLE_PICTURE
    values, top, n_rows = _around(picture, part.top, part.height, 0)
    values, left, n_columns = _around(values, part.left, part.width, 1)
    values = values.astype(np.float32) / 255.0
    return np.ascontiguousarray(_resample(_resample(values, height, 0, top, n_rows), width, 1, left, n_columns))


def _around(picture: UInt8[np.ndarray, "h w 3"], first: float, share: float, axis: int) -> tuple[np.ndarray, float, float]:
    """The rows (or columns) that a window needs, and where in them it begins and how many it has."""
    n = picture.shape[axis]
    begin, length = first * n, share * n
    low, high = max(0, math.floor(begin) - 1), min(n, math.ceil(begin + length) + 1)
    return picture[(slice(None),) * axis + (slice(low, high),)], begin - low, length


def _resample(values: Float[np.ndarray, "h w 3"], n_out: int, axis: int, begin: float, length: float) -> np.ndarray:
    n_in = values.shape[axis]
    if n_in == n_out and begin == 0.0 and length == n_in:
        return values
    ratio = length / n_out
    centres = begin + (np.arange(n_out) + 0.5) * ratio - 0.5
    reach = max(1.0, ratio)
    # A triangle as wide as the coarser raster's pixel: linear interpolation when growing, an area average when shrinking.
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(n_in)[None] - centres[:, None]) / reach)
    weights /= weights.sum(1, keepdims=True)
    return np.moveaxis(np.tensordot(weights.astype(np.float32), values, axes=(1, axis)), 0, axis)


def encode_picture(picture: UInt8[np.ndarray, "h w 3"], codec: str) -> bytes:
    """A picture file's content; `codec` is FFmpeg's name: "png" or "mjpeg" (JPEG)."""
    import av

    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.height, context.width = picture.shape[:2]
    context.time_base = Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    if codec == "mjpeg":
        context.pix_fmt, context.options = "yuvj444p", {"qmin": "2", "qmax": "3"}
        frame = frame.reformat(format="yuvj444p", dst_color_range="JPEG")
    else:
        context.pix_fmt = "rgb24"
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def quantise(picture: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Round 0...1 to 0...255."""
    return (np.clip(picture, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
