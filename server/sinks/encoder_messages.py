"""What a sink and its encoder process say to each other, framed as `worker_messages` has it.

To the encoder: `EncoderOptions` first, then `TimedPicture` and `VoicePacket` (see `media`), at last `Finish`. The end of the socket means
the same as `Finish`: whatever happens to the server, what was encoded is finished properly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderOptions:
    """Where to and how."""

    target: str
    """A file, the address of a stream server, or "" for chunks that come back over the socket."""
    container: str
    """FFmpeg's name of the format: mp4, matroska, flv or mpegts."""
    video_codec: str
    audio_codec: str
    is_live: bool
    """For somebody who watches now: no look-ahead, and no more bits than `max_video_bits`; else for keeping."""
    max_video_bits: int
    """A second."""
    relay: tuple[str, ...] = ()
    """Command that takes the container on its standard input and brings it to `target`, where PyAV cannot."""
    final: str = ""
    """The file's name when it is whole."""
    log_level: str = "WARNING"


@dataclass(frozen=True)
class Finish:
    """No more comes."""


@dataclass(frozen=True)
class EncoderReady:
    """Loaded; media may come."""


@dataclass(frozen=True)
class EncoderProgress:
    """About twice a second: what has left, or lies in the file."""

    seconds: float
    pictures: int
    n_bytes: int


@dataclass(frozen=True)
class EncodedChunk:
    """The next bytes of the container."""

    data: bytes


@dataclass(frozen=True)
class EncoderEnded:
    """Everything is written; the last message."""

    seconds: float
    pictures: int
    n_bytes: int


@dataclass(frozen=True)
class EncoderFailed:
    """It cannot go on; the last message."""

    message: str
    is_full: bool = False
    """No room is left where it writes."""


FromEncoder = EncoderReady | EncoderProgress | EncodedChunk | EncoderEnded | EncoderFailed
