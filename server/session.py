"""One person's session: a WebRTC connection that brings the sound of a performance and takes its pictures and voice.

A session owns its performance: the end of the one is the end of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from server.media import PACKET_SAMPLES, VoicePacket
from server.media_limits import prefer_codecs
from server.messages import Answer, BadMessage, Error, Offer, Ping, Say, Set, StopSaying, parse_client_message
from server.performance import VOICE_LEAD_S
from server.sinks.webrtc import WebRtcSink
from server.webrtc_peer import SdpError, WebRtcPeer, media_sections

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiortc import RTCDataChannel

    from server.ice import IceServers
    from server.media import Media
    from server.messages import ServerMessage
    from server.metrics import Metrics
    from server.performance import Performance

CONTROL_CHANNEL = "control"
SILENCE = np.zeros(PACKET_SAMPLES, np.int16)


class Session:
    """The connection, and one of its performance's sinks. It is closed with the performance."""

    def __init__(self, performance: Performance, metrics: Metrics, notify: Callable[[ServerMessage], None], ice: IceServers) -> None:
        """`notify` hands a message to the page."""
        self.performance = performance
        self._metrics = metrics
        self._media = WebRtcSink(VOICE_LEAD_S)
        self._peer = WebRtcPeer(f"session {self.id}", ice, performance.play, self._lost, performance.hear, performance.see)
        self._peer.connection.on("datachannel", self._on_channel)
        performance.listen(notify)
        performance.sinks.add(self)

    @property
    def id(self) -> str:
        return self.performance.id

    async def answer(self, offer: Offer) -> Answer:
        """Answer the offer. Raises SdpError, or VisavisError where the avatar cannot be shown or there is no network."""
        await self.performance.open()
        kinds = media_sections(offer.sdp)
        if "video" not in kinds:
            raise SdpError("no video section to answer with the picture")
        self._media.add_tracks(self._peer.connection, kinds)
        # Codecs are chosen inside setRemoteDescription, so preferences come before it.
        for transceiver in self._peer.connection.getTransceivers():
            prefer_codecs(transceiver)
            if transceiver.kind == "video":
                # The way back is for the user's camera, should the avatar follow it; a page without one offers to receive only.
                transceiver.direction = "sendrecv"
        sdp = await self._peer.answer(offer.sdp)
        plan = self.performance.plan
        return Answer(sdp=sdp, session=self.id, latency_ms=round(plan.latency_ms, 1), size=plan.size)

    async def aclose(self) -> None:
        """Free the connection; may be called twice. The performance calls it at its end."""
        await self._media.aclose()
        await self._peer.aclose()
        self._metrics.count_packets_lost(self._peer.jitter_buffer)
        self._peer.jitter_buffer = None

    def put(self, media: Media) -> None:
        """See `sinks.sink`. Who does not want to hear himself gets silence; other sinks have the voice all the same."""
        if isinstance(media, VoicePacket) and not self.performance.state.voice:
            media = VoicePacket(media.first_sample, SILENCE, media.presented_s)
        self._media.put(media)

    def _lost(self, why: str) -> None:
        self.performance.end("internal", why)

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
