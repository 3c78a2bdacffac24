"""What the media process and the virtual camera's process say to each other, framed as `worker_messages` has it.

To the camera: `CameraOptions` first, then `Begin` whenever another performance takes the camera, `TimedPicture` and `VoicePacket` (see
`media`), and the changes below. The end of the socket ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

CameraKind = Literal["pipewire", "v4l2loopback", "obs", "unitycapture"]
VoiceKind = Literal["pulse", "output"]


@dataclass(frozen=True)
class CameraOptions:
    """Which devices, and how they are fed."""

    camera: CameraKind
    device: str | None
    """Of v4l2loopback: "/dev/video2"; None: the first that is free."""
    title: str
    """Of the camera, where it is made here (PipeWire)."""
    width: int
    height: int
    """Of the camera, px; even."""
    voice: VoiceKind
    voice_device: str
    """Name of the PulseAudio sink, or of the output device."""
    after_s: float
    """How long after its time of presentation a picture leaves the camera, and a sound the virtual microphone."""
    log_level: str = "WARNING"


@dataclass(frozen=True)
class Begin:
    """What comes now is of another performance: frames and samples are counted anew."""


@dataclass(frozen=True)
class SetAfter:
    """See `CameraOptions.after_s`."""

    after_s: float


@dataclass(frozen=True)
class SetPrivacy:
    """On: the still in place of the pictures, silence in place of the voice."""

    is_on: bool


@dataclass(frozen=True)
class Still:
    """The picture for privacy, and for the time in which nobody speaks through the camera; without one, the last picture stays."""

    planes: UInt8[np.ndarray, " n"]
    """I420."""
    width: int
    height: int


ToCamera = Begin | SetAfter | SetPrivacy | Still


@dataclass(frozen=True)
class CameraReady:
    """Both devices are open."""

    camera: str
    """Its name, as programs list it."""


@dataclass(frozen=True)
class CameraReport:
    """Once a second."""

    fps: float
    """Pictures sent a second, repeated ones too."""
    repeated: int
    """Pictures so far that were shown again because the next was not there in time."""
    skipped: int
    """Pictures so far that were left out because the next one's time had come too."""
    missing_samples: int
    """Of the voice so far, that were not there in time."""
    jumps: int
    """How often the voice was moved at once."""
    voice_ms: float
    """Sound that waits in the device."""
    voice_error_ms: float
    """By how much the voice leaves too late (negative: too early)."""


@dataclass(frozen=True)
class CameraFailed:
    """It cannot go on; the last message."""

    message: str


FromCamera = CameraReady | CameraReport | CameraFailed
