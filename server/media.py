"""What leaves a performance: pictures and voice packets, each with its place on the performance's time line.

Time bases: `frame` k stands at k / 25 s and sample n at n / 48000 s of one time line (see `timeline`), so whoever writes both by these
numbers has them in time with each other; `presented_s` is when this is to be seen or heard, in seconds of the local monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from renderer.types import FPS
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int16, UInt8

PACKET_SAMPLES = 960
"""20 ms."""
FRAME_SAMPLES = VOICE_RATE_HZ // FPS
PACKETS_A_SECOND = VOICE_RATE_HZ // PACKET_SAMPLES


@dataclass(frozen=True)
class TimedPicture:
    """One frame as it is shown. Many hold the same `planes`: nobody writes into them."""

    frame: int
    planes: UInt8[np.ndarray, " n"]
    """I420, see `frame_ring`."""
    width: int
    height: int
    presented_s: float


@dataclass(frozen=True)
class VoicePacket:
    """20 ms of the voice that belongs to the pictures: 48 kHz, int16, mono."""

    first_sample: int
    samples: Int16[np.ndarray, " 960"]
    presented_s: float


Media = TimedPicture | VoicePacket
