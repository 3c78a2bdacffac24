"""What the media process and the face tracker's process say to each other, packed as `worker_messages` are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renderer.head_guide import SeenFace
    from server.camera_picture import CameraPicture


@dataclass(frozen=True)
class TrackerReady:
    """The model is loaded: pictures may come."""


@dataclass(frozen=True)
class TrackerFailed:
    """The process ends after this; `message` is one line for the user."""

    message: str


@dataclass(frozen=True)
class ToTrack:
    """A picture to look at."""

    picture: CameraPicture


@dataclass(frozen=True)
class Tracked:
    """What was seen in the picture sent last."""

    face: SeenFace | None
    track_ms: float
