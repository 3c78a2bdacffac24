"""A camera's picture on its way to the face tracker: I420, small, and never kept.

Whoever has a camera makes one of these: of a decoded WebRTC frame, or of an RGB array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from av.video.plane import VideoPlane
    from jaxtyping import UInt8

MAX_WIDTH_PX, MAX_HEIGHT_PX = 640, 480
"""A larger picture is thinned out to at most this: the tracker needs no more."""
MIN_SIDE_PX = 16


@dataclass(frozen=True)
class CameraPicture:
    """One picture."""

    planes: bytes
    """Y, U, V of I420 (limited range), without padding."""
    width: int
    height: int
    """Even."""

    @classmethod
    def of(cls, frame: av.VideoFrame) -> CameraPicture | None:
        """Of a decoded frame; None where it is too small for a face or not I420."""
        if frame.format.name != "yuv420p" or min(frame.width, frame.height) < MIN_SIDE_PX:
            return None
        every = max(1, -(-frame.width // MAX_WIDTH_PX), -(-frame.height // MAX_HEIGHT_PX))
        luma, *chroma = [_plane(plane)[::every, ::every] for plane in frame.planes]
        height, width = (side // 2 * 2 for side in luma.shape)
        parts = [luma[:height, :width], *(plane[: height // 2, : width // 2] for plane in chroma)]
        if any(part.shape != (height // 2, width // 2) for part in parts[1:]):
            # Thinned out, an odd number of chroma samples may be one short.
            height, width = (2 * side for side in parts[1].shape)
            parts[0] = luma[:height, :width]
        return cls(b"".join(part.tobytes() for part in parts), width, height)

    @classmethod
    def of_rgb(cls, rgb: UInt8[np.ndarray, "height width 3"]) -> CameraPicture | None:
        """Of a picture as OpenCV (after BGR to RGB) or PyAV give it."""
        return cls.of(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="yuv420p"))

    def rgb(self) -> UInt8[np.ndarray, "height width 3"]:
        """In colours, for the tracker."""
        planes = np.frombuffer(self.planes, np.uint8).reshape(-1, self.width)
        return av.VideoFrame.from_ndarray(planes, format="yuv420p").to_ndarray(format="rgb24")


def _plane(plane: VideoPlane) -> UInt8[np.ndarray, "rows columns"]:
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
