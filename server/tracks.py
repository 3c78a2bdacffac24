"""The two tracks that leave: pictures and voice, each frame at its own absolute time of one clock.

aiortc asks for a frame, encodes it in a thread, sends it and asks again. Video frame k leaves at the presentation time of sample
k * 1920, audio packet n at that of sample n * 960 (see `timeline`), and their time stamps say the same: k * 3600 at 90 kHz, n * 960 at
48 kHz. A picture that is late is shown one frame later or not at all; a sound packet is never left out, for its count is the clock.

The voice is sent a little before its time: a sound's way through a browser (its buffer, then the loudspeaker's) is longer than a
picture's, and a browser would otherwise hold the pictures back until both meet. The sender reports tell it the true times.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from renderer.types import FPS
from server.sender_reports import PresentationLog
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Int16

    from server.pictures import Picture

VIDEO_CLOCK_HZ = 90_000
VIDEO_TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)
AUDIO_TIME_BASE = Fraction(1, VOICE_RATE_HZ)
PACKET_SAMPLES = 960
FRAME_SAMPLES = VOICE_RATE_HZ // FPS
VOICE_LEAD_S = 0.015
"""Half of what Chromium reports as the delay of its sound output (30 ms): picture and voice then meet within 15 ms whether one looks at
where they leave the browser's buffers or at the loudspeaker, and Chromium, which looks at the latter, does not hold the pictures back."""


@dataclass(frozen=True)
class Due:
    """A sample whose time to be sent has come."""

    presented_s: float
    """Its presentation time, local monotonic."""
    late_s: float
    """How long ago it should have been sent."""


class MediaSource(Protocol):
    """What the tracks need of their session."""

    stride: int
    """Every so many-th frame is shown."""

    async def first_sample(self) -> int:
        """Return when the session's time has begun, with the first sample to be presented: the beginning of a frame that is shown."""
        ...

    async def wait_for(self, sample: int, lead_s: float = 0.0) -> Due:
        """Return at the presentation time of a sample, or earlier by `lead_s`."""
        ...

    async def picture(self, frame: int) -> Picture:
        """What to show for a frame whose time has come."""
        ...

    def voice(self, first_sample: int, length: int) -> Int16[np.ndarray, " length"]: ...


class PictureTrack(MediaStreamTrack):
    """The avatar."""

    kind = "video"

    def __init__(self, source: MediaSource) -> None:
        super().__init__()
        self._source = source
        self._frame: int | None = None
        self.log = PresentationLog(lead_s=0.0)

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if self._frame is None:
            self._frame = await self._source.first_sample() // FRAME_SAMPLES
        due = await self._source.wait_for(self._frame * FRAME_SAMPLES)
        # After a stall of the loop the frames whose time is over are left out.
        missed = int(due.late_s * FPS / self._source.stride) * self._source.stride
        self._frame += missed
        self.log.add(due.presented_s + missed / FPS)
        picture = await self._source.picture(self._frame)
        frame = av.VideoFrame.from_ndarray(picture.planes.reshape(-1, picture.width), format="yuv420p")
        frame.pts = self._frame * VIDEO_CLOCK_HZ // FPS
        frame.time_base = VIDEO_TIME_BASE
        self._frame += self._source.stride
        return frame


class VoiceTrack(MediaStreamTrack):
    """The speaker's own voice, delayed to match."""

    kind = "audio"

    def __init__(self, source: MediaSource) -> None:
        super().__init__()
        self._source = source
        self._packet: int | None = None
        self.log = PresentationLog(VOICE_LEAD_S)

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if self._packet is None:
            self._packet = await self._source.first_sample() // PACKET_SAMPLES
        first = self._packet * PACKET_SAMPLES
        due = await self._source.wait_for(first, VOICE_LEAD_S)
        self.log.add(due.presented_s)
        samples = self._source.voice(first, PACKET_SAMPLES)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format="s16", layout="mono")
        frame.sample_rate = VOICE_RATE_HZ
        frame.pts = first
        frame.time_base = AUDIO_TIME_BASE
        self._packet += 1
        return frame


async def sleep_until(deadline_s: float) -> float:
    """Sleep to a time of the loop's monotonic clock; returns how late it is then, in s."""
    loop = asyncio.get_running_loop()
    delay_s = deadline_s - loop.time()
    if delay_s > 0:
        await asyncio.sleep(delay_s)
    return max(0.0, loop.time() - deadline_s)
