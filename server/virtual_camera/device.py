"""What the virtual camera's process needs of a camera and of a sound device, whichever system they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from renderer.errors import VisavisError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int16, UInt8


class DeviceUnavailable(VisavisError):
    """A virtual device cannot be opened, or has gone; one line that says why."""


class CameraDevice(Protocol):
    """A camera that other programs see."""

    name: str
    """As they list it."""

    def show(self, planes: UInt8[np.ndarray, " n"]) -> None:
        """Send a picture now: I420 of the camera's own size. Raises DeviceUnavailable."""
        ...

    def close(self) -> None: ...


class VoiceDevice(Protocol):
    """Takes 48 kHz, int16, mono, and makes a microphone of it."""

    @property
    def latency_s(self) -> float:
        """How long a sample written now has to wait before it leaves."""
        ...

    def write(self, samples: Int16[np.ndarray, " n"]) -> None:
        """Waits until the device has room. Raises DeviceUnavailable."""
        ...

    def close(self) -> None: ...
