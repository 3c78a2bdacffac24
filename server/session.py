"""One person's session: a WebRTC connection that brings the sound of a performance and takes its pictures and voice.

A session owns its performance: the end of the one is the end of the other.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import av
import numpy as np
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from renderer.errors import BadInput
from server.audio_jitter_buffer import install_direct_buffer
from server.media_limits import prefer_codecs
from server.messages import Answer, BadMessage, Error, Offer, Ping, Say, Set, StopSaying, parse_client_message
from server.performance import VOICE_LEAD_S
from server.sinks.webrtc import WebRtcSink
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from aiortc import MediaStreamTrack, RTCDataChannel
    from jaxtyping import Int16

    from server.audio_jitter_buffer import DirectAudioJitterBuffer
    from server.media import Media
    from server.messages import ServerMessage
    from server.metrics import Metrics
    from server.performance import Performance

logger = logging.getLogger(__name__)

CONTROL_CHANNEL = "control"
CONNECT_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 5.0
MAX_MEDIA_SECTIONS = 4


class SdpError(BadInput):
    """An offer that cannot be answered; the text says why."""


class Session:
    """The connection, and one of its performance's sinks. It is closed with the performance."""

    def __init__(
        self, performance: Performance, metrics: Metrics, notify: Callable[[ServerMessage], None], ice_servers: tuple[str, ...] = ()
    ) -> None:
        """`notify` hands a message to the page."""
        self.performance = performance
        self._metrics = metrics
        self._jitter_buffer: DirectAudioJitterBuffer | None = None
        self._media = WebRtcSink(VOICE_LEAD_S)
        self._is_connected = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[RTCIceServer(url) for url in ice_servers]))
        performance.listen(notify)
        performance.sinks.add(self)

    @property
    def id(self) -> str:
        return self.performance.id

    # ---- beginning and end

    async def answer(self, offer: Offer) -> Answer:
        """Answer the offer. Raises SdpError, or VisavisError where the avatar cannot be shown."""
        await self.performance.open()
        self._peer.on("track", self._on_track)
        self._peer.on("datachannel", self._on_channel)
        self._peer.on("connectionstatechange", self._on_connection_state)
        try:
            sdp = await self._negotiate(offer.sdp)
        except Exception as error:
            # aiortc raises whatever its parser stumbles over.
            raise SdpError(f"the offer cannot be answered: {error or type(error).__name__}") from error
        self._spawn(self._end_if_not_connected())
        plan = self.performance.plan
        return Answer(sdp=sdp, session=self.id, latency_ms=round(plan.latency_ms, 1), size=plan.size)

    async def _negotiate(self, sdp: str) -> str:
        sections = [line.split()[0] for line in sdp.splitlines() if line.startswith("m=")]
        if "m=video" not in sections:
            raise SdpError("no video section to answer with the picture")
        if len(sections) > MAX_MEDIA_SECTIONS or sections.count("m=video") > 1 or sections.count("m=audio") > 1:
            raise SdpError(f"{len(sections)} media sections; one audio, one video and one data section are served")
        self._media.add_tracks(self._peer, with_voice="m=audio" in sections)
        # Codecs are chosen inside setRemoteDescription, so preferences come before it.
        for transceiver in self._peer.getTransceivers():
            prefer_codecs(transceiver)
            if transceiver.kind == "video":
                transceiver.direction = "sendonly"
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        for transceiver in self._peer.getTransceivers():
            if transceiver.kind == "audio":
                self._jitter_buffer = install_direct_buffer(transceiver.receiver)
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return str(self._peer.localDescription.sdp)

    async def aclose(self) -> None:
        """Free the connection; may be called twice. The performance calls it at its end."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._media.aclose()
        try:
            await asyncio.wait_for(self._peer.close(), CLOSE_TIMEOUT_S)
        except asyncio.TimeoutError:
            logger.warning("session %s: its connection did not close within %g s", self.id, CLOSE_TIMEOUT_S)
        self._metrics.count_packets_lost(self._jitter_buffer)
        self._jitter_buffer = None

    def _on_connection_state(self) -> None:
        state = self._peer.connectionState
        logger.info("session %s: %s", self.id, state)
        if state == "connected" and not self._is_connected:
            self._is_connected = True
            self.performance.play()
        elif state in ("failed", "closed"):
            self.performance.end("internal", "the media connection was lost")

    async def _end_if_not_connected(self) -> None:
        await asyncio.sleep(CONNECT_TIMEOUT_S)
        if not self._is_connected:
            self.performance.end("internal", f"no media connection came about within {CONNECT_TIMEOUT_S:g} s")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A fault in one of the session's tasks ends the session, in words."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("session %s failed", self.id)
            self.performance.end("internal", f"the session failed: {type(error).__name__}")

    # ---- sound in, media out

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._spawn(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame) and frame.pts is not None
            self.performance.hear(frame.pts, mono(frame))

    def put(self, media: Media) -> None:
        """See `sinks.sink`."""
        self._media.put(media)

    # ---- control

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CONTROL_CHANNEL:
            return

        def reply(message: ServerMessage) -> None:
            if channel.readyState == "open":
                channel.send(message.model_dump_json())

        @channel.on("message")
        def on_message(text: str | bytes) -> None:
            try:
                message = parse_client_message(text)
            except BadMessage as error:
                reply(Error(code="bad_message", message=str(error)))
                return
            if isinstance(message, Set | Ping | Say | StopSaying):
                self.performance.control(message, reply)
            else:
                reply(Error(code="bad_message", message=f"{message.type!r} belongs on the socket; set, ping, say and stop are read here"))


def mono(frame: av.AudioFrame) -> Int16[np.ndarray, " n"]:
    """aiortc decodes Opus to interleaved int16 stereo at 48 kHz."""
    if frame.format.name != "s16" or frame.sample_rate != VOICE_RATE_HZ:
        raise ValueError(f"sound as {frame.format.name} at {frame.sample_rate} Hz; int16 at {VOICE_RATE_HZ} Hz was expected")
    channels = len(frame.layout.channels)
    samples: Int16[np.ndarray, "n channels"] = frame.to_ndarray().reshape(-1, channels)
    mean: Int16[np.ndarray, " n"] = (samples.sum(1, dtype=np.int32) // channels).astype(np.int16)
    return mean
