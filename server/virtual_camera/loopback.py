"""A camera by pyvirtualcam: v4l2loopback on Linux, OBS on macOS and Windows, Unity Capture on Windows."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.types import FPS
from server.virtual_camera.device import DeviceUnavailable

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from server.virtual_camera.messages import CameraKind


class LoopbackCamera:
    """A `CameraDevice`."""

    def __init__(self, kind: CameraKind, device: str | None, width: int, height: int) -> None:
        """`device`: see `messages.CameraOptions`; even sides, px. Raises DeviceUnavailable with pyvirtualcam's own words."""
        try:
            pyvirtualcam: Any = importlib.import_module("pyvirtualcam")
        except ImportError as error:
            raise DeviceUnavailable(f"pyvirtualcam is not installed: {error}") from error
        try:
            self._camera = pyvirtualcam.Camera(
                width=width, height=height, fps=FPS, fmt=pyvirtualcam.PixelFormat.I420, device=device, backend=kind
            )
        except KeyError as error:
            raise DeviceUnavailable(f"pyvirtualcam has no {kind} on this system") from error
        except (RuntimeError, ValueError) as error:
            raise DeviceUnavailable(" ".join(str(error).split())) from error
        self.name: str = self._camera.device

    def show(self, planes: UInt8[np.ndarray, " n"]) -> None:
        try:
            self._camera.send(np.ascontiguousarray(planes))
        except (RuntimeError, OSError) as error:
            raise DeviceUnavailable(f"the camera {self.name} has gone: {error}") from error

    def close(self) -> None:
        self._camera.close()
