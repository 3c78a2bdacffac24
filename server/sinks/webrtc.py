"""Pictures and voice as the two tracks of a WebRTC connection.

aiortc asks a track for a frame, encodes it in a thread, sends it and asks again. Frames come here at their time (see `performance`) and
leave at once, with time stamps that say where they stand: k * 3600 at 90 kHz for picture k, n * 960 at 48 kHz for voice packet n. Where
a connection is slow only the newest picture waits, so a picture is late by less than one or left out; a voice packet is left out only
after a second, for its count is the clock.

The voice is sent a little before its time: a sound's way through a browser (its buffer, then the loudspeaker's) is longer than a
picture's, and a browser would otherwise hold the pictures back until both meet. The sender reports tell it the true times.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from renderer.types import FPS
from server.media import PACKETS_A_SECOND, TimedPicture
from server.sender_reports import PresentationLog, report_presentation_times
from server.sinks.sink import PictureSlot, VoiceQueue
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Container

    from aiortc import RTCPeerConnection

    from server.media import Media

VIDEO_CLOCK_HZ = 90_000
VIDEO_TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)
AUDIO_TIME_BASE = Fraction(1, VOICE_RATE_HZ)
MAX_WAITING_PACKETS = PACKETS_A_SECOND


class WebRtcSink:
    """The tracks of one connection. The connection itself belongs to whoever made it."""

    def __init__(self, voice_lead_s: float) -> None:
        """`voice_lead_s`: how much before its time the performance gives the voice away."""
        self.pictures, self.voice = PictureTrack(), VoiceTrack(voice_lead_s)

    def add_tracks(self, peer: RTCPeerConnection, kinds: Container[str] = ("video", "audio")) -> None:
        """Send over this connection, those of these kinds."""
        for track in (self.pictures, self.voice):
            if track.kind in kinds:
                report_presentation_times(peer.addTrack(track), track.log)

    def put(self, media: Media) -> None:
        if isinstance(media, TimedPicture):
            self.pictures.slot.put(media)
        else:
            self.voice.queue.put(media)

    async def aclose(self) -> None:
        self.pictures.stop()
        self.voice.stop()


class PictureTrack(MediaStreamTrack):
    """The avatar."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.slot = PictureSlot()
        self.log = PresentationLog(lead_s=0.0)

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        picture = await self.slot.get()
        self.log.add(picture.presented_s)
        frame = av.VideoFrame.from_ndarray(picture.planes.reshape(-1, picture.width), format="yuv420p")
        frame.pts = picture.frame * VIDEO_CLOCK_HZ // FPS
        frame.time_base = VIDEO_TIME_BASE
        return frame


class VoiceTrack(MediaStreamTrack):
    """The voice, delayed to match."""

    kind = "audio"

    def __init__(self, lead_s: float) -> None:
        super().__init__()
        self.queue = VoiceQueue(MAX_WAITING_PACKETS)
        self.log = PresentationLog(lead_s)

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        packet = await self.queue.get()
        self.log.add(packet.presented_s)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packet.samples)[None], format="s16", layout="mono")
        frame.sample_rate = VOICE_RATE_HZ
        frame.pts = packet.first_sample
        frame.time_base = AUDIO_TIME_BASE
        return frame
