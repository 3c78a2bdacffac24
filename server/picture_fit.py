"""Pictures into a raster of another size, as I420 (see `frame_ring`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from server.media import TimedPicture

BLACK_LUMA, NO_CHROMA = 16, 128


def fitted(picture: TimedPicture, width: int, height: int) -> UInt8[np.ndarray, "rows width"]:
    """A video has one size: a picture of another (after a swap, say) is scaled into it, with black beside it. Even sides, px."""
    planes = picture.planes.reshape(-1, picture.width)
    if (picture.width, picture.height) == (width, height):
        return planes
    import av

    scale = min(width / picture.width, height / picture.height)
    inner_width, inner_height = (max(2, round(side * scale) // 2 * 2) for side in (picture.width, picture.height))
    inner = av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(inner_width, inner_height).to_ndarray().reshape(-1)
    out = black(width, height)
    for canvas, source in zip(_planes(out, width, height), _planes(inner, inner_width, inner_height), strict=True):
        rows, columns = source.shape
        # At even places of the luma, so that the chroma of half the size lies where it belongs.
        top, left = (height - inner_height) // 4 * 2 * rows // inner_height, (width - inner_width) // 4 * 2 * columns // inner_width
        canvas[top : top + rows, left : left + columns] = source
    return out.reshape(-1, width)


def black(width: int, height: int) -> UInt8[np.ndarray, " n"]:
    """A black picture's planes."""
    planes = np.full(width * height * 3 // 2, NO_CHROMA, np.uint8)
    planes[: width * height] = BLACK_LUMA
    return planes


def _planes(data: UInt8[np.ndarray, " n"], width: int, height: int) -> tuple[UInt8[np.ndarray, "rows columns"], ...]:
    """Y, U and V of I420."""
    luma, chroma = width * height, width * height // 4
    half = (height // 2, width // 2)
    return (
        data[:luma].reshape(height, width),
        data[luma : luma + chroma].reshape(half),
        data[luma + chroma : luma + 2 * chroma].reshape(half),
    )
