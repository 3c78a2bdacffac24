"""What the media process and the render worker say to each other, over one private socket pair.

A message is its length (4 bytes, big-endian) and its pickle; both ends are this program, and nobody else holds the descriptors. Local
times are seconds of the monotonic clock, which the processes of one machine share. Sound is 48 kHz, int16, mono.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from renderer.emotion import Emotion
    from renderer.head_guide import HeadSighting
    from renderer.view import View

LENGTH = struct.Struct(">I")
MAX_MESSAGE_BYTES = 16 << 20


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker is started with."""

    avatar: str
    """Path of the avatar shown by default."""
    encoder: str | None
    """Audio encoder by name or folder; None: the one the avatar names."""
    backend: str
    size: int | None
    """Height of the picture in px; None: measure."""
    threads: int
    regions: int
    max_pixels: int
    """The last two: `RingLayout` of the inherited memory."""
    log_level: str


@dataclass(frozen=True)
class OpenSession:
    """Begin a session: from now on its sound is awaited and its frames are rendered."""

    session: int
    """Never used twice."""
    region: int
    """Of the frame ring."""
    avatar: str
    size: int
    smoothing: float
    omega: float
    seed: int
    start_s: float
    """Local time at which frame 0 is due, as far as is known."""


@dataclass(frozen=True)
class Sound:
    """A stretch of a session's microphone."""

    session: int
    first_sample: int
    pcm: bytes
    start_s: float
    """Where the session's timeline stands now: frame k is due at start + k / fps."""


@dataclass(frozen=True)
class ChangeSession:
    """What is None stays."""

    session: int
    avatar: str | None = None
    smoothing: float | None = None
    omega: float | None = None
    view: View | None = None
    backdrop: Backdrop | None = None
    fade: bool | None = None
    emotion: Emotion | None = None
    emotion_auto: bool | None = None
    """Whether the emotion follows the voice."""
    follow: bool | None = None
    """Whether head, eyes and expression follow what is `Seen`."""
    straighten: bool | None = None
    """What is seen in the next second is the head at rest."""


@dataclass(frozen=True)
class Backdrop:
    """What stands behind the person."""

    picture: UInt8[np.ndarray, "h w 3"] | None
    """None: the avatar's own."""


@dataclass(frozen=True)
class CloseSession:
    session: int


@dataclass(frozen=True)
class Preload:
    """Avatars that are likely to be asked for at this size: to be loaded when there is time, so that a swap finds them there."""

    avatars: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Seen:
    """Of the user's head, by the camera that a session follows."""

    session: int
    sighting: HeadSighting


ToWorker = OpenSession | Sound | Seen | ChangeSession | CloseSession | Preload


@dataclass(frozen=True)
class Ready:
    """Everything is loaded and warm."""

    size: int
    width: int
    """Of the default avatar's picture at that size, px."""
    stride: int
    """Every so many-th frame is rendered; 1 unless the machine is too slow for 25 a second."""
    sound_needed: int
    """Samples at 48 kHz after a frame's own time without which it cannot be rendered."""
    encode_ms: float
    """Audio encoder, for the sound of one frame."""
    render_ms: float
    """Median of a picture, conversion included."""
    render_p95_ms: float
    backend: str
    isa: str
    words: str
    """The measurement in one line."""


@dataclass(frozen=True)
class StartFailed:
    """The worker ends after this; `message` is one line for the user."""

    message: str


@dataclass(frozen=True)
class SessionOpened:
    session: int


@dataclass(frozen=True)
class SessionFailed:
    session: int
    message: str


@dataclass(frozen=True)
class FrameReady:
    """Frame `frame` lies in the ring."""

    session: int
    frame: int
    width: int
    height: int
    render_ms: float


@dataclass(frozen=True)
class AvatarChosen:
    """The swap asked for by ChangeSession is done; from `frame` on the other avatar is seen."""

    session: int
    avatar: str
    frame: int


@dataclass(frozen=True)
class AvatarRefused:
    """It could not be loaded, or is for another encoder; what was shown goes on."""

    session: int
    avatar: str
    message: str


FromWorker = Ready | StartFailed | SessionOpened | SessionFailed | FrameReady | AvatarChosen | AvatarRefused


def pack(message: object) -> bytes:
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


class Unpacker:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """The messages completed by `data`."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES:
                raise ValueError(f"a message of {length} bytes between the processes; at most {MAX_MESSAGE_BYTES} are possible")
            end = LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(pickle.loads(self._buffer[LENGTH.size : end]))
            del self._buffer[:end]
        return messages
