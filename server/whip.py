"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-04) without their HTTP face: publishers that bring sound, players that take the media.

A publisher's sound is spoken by a performance of its own, which takes a place on the server and ends with the publisher. A player is one
more sink of a performance that runs already; it takes no place, and nothing of it reaches the performance.
"""

from __future__ import annotations

import abc
import logging
import secrets
from typing import TYPE_CHECKING

from renderer.errors import VisavisError
from server.media_limits import ANY_VIDEO_CODECS, prefer_codecs
from server.performance import VOICE_LEAD_S
from server.sinks.webrtc import WebRtcSink
from server.webrtc_peer import SdpError, WebRtcPeer, media_sections

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiortc import RTCRtpReceiver

    from server.ice import IceServers
    from server.live_server import LiveServer
    from server.media import Media
    from server.metrics import Metrics
    from server.performance import Performance
    from server.sdp_fragment import SdpFragment

logger = logging.getLogger(__name__)

MAX_PLAYERS = 16
"""Each has encoders of its own: 1 to 2 ms of processor time a picture."""
ID_BYTES = 12
ETAG_BYTES = 6


class UnknownResource(VisavisError):
    """No such publisher or player, or it has gone."""


class TooManyPlayers(VisavisError):
    """All places for players are taken."""


class IceRestart(VisavisError):
    """A client wants new ICE credentials on a connection that stands; aiortc cannot do that."""


class _Resource(abc.ABC):
    """What has an address of its own under `/whip` or `/whep`. It is one of its performance's sinks, so it is closed with it."""

    kind = ""

    def __init__(self, performance: Performance, on_closed: Callable[[str], None]) -> None:
        self.id = secrets.token_urlsafe(ID_BYTES)
        self.etag = f'"{secrets.token_hex(ETAG_BYTES)}"'
        """Of the ICE session, of which there is only one."""
        self.performance = performance
        self.peer: WebRtcPeer
        self._on_closed = on_closed
        self._credentials: tuple[str, str] | None = None

    @abc.abstractmethod
    async def answer(self, sdp: str) -> str:
        """Raises SdpError, NoCandidates."""

    @abc.abstractmethod
    def put(self, media: Media) -> None:
        """See `sinks.sink`."""

    @abc.abstractmethod
    def end(self) -> None:
        """The other side is gone, or wants to go."""

    async def add_candidates(self, fragment: SdpFragment) -> None:
        """Raises IceRestart."""
        offered = ice_credentials(str(self.peer.connection.remoteDescription.sdp))
        if fragment.ufrag is not None and (fragment.ufrag, fragment.password) not in offered:
            raise IceRestart("ICE restarts are not served; start a new session")
        await self.peer.add_candidates(fragment)

    async def aclose(self) -> None:
        """May be called twice."""
        self._on_closed(self.id)
        await self.peer.aclose()

    def _lost(self, why: str) -> None:
        logger.info("%s: %s", self.peer.name, why)
        self.end()


class Publisher(_Resource):
    """Sends the sound that its performance speaks. It is a sink only to be closed with it: it takes nothing."""

    kind = "whip"

    def __init__(
        self,
        performance: Performance,
        ice: IceServers,
        metrics: Metrics,
        close: Callable[[Performance], None],
        on_closed: Callable[[str], None],
    ) -> None:
        super().__init__(performance, on_closed)
        self._metrics, self._close = metrics, close
        self.peer = WebRtcPeer(f"publisher of {performance.id}", ice, performance.play, self._lost, performance.hear)
        performance.sinks.add(self)

    async def answer(self, sdp: str) -> str:
        """A publisher's video is accepted and dropped: many send one whether it is wanted or not."""
        sections = media_sections(sdp)
        if sections.get("audio") not in ("sendonly", "sendrecv"):
            raise SdpError("the offer sends no sound; sound is what an avatar speaks")
        for kind in sections:
            if kind == "application":
                continue
            transceiver = self.peer.connection.addTransceiver(kind, direction="recvonly")
            if kind == "audio":
                prefer_codecs(transceiver)
            else:
                _ignore(transceiver.receiver)
        return await self.peer.answer(sdp)

    def put(self, media: Media) -> None:
        """Nothing goes back to a publisher."""

    def end(self) -> None:
        self._close(self.performance)

    async def aclose(self) -> None:
        await super().aclose()
        self._metrics.count_packets_lost(self.peer.jitter_buffer)
        self.peer.jitter_buffer = None


class Player(_Resource):
    """Shows a performance."""

    kind = "whep"

    def __init__(self, performance: Performance, ice: IceServers, on_closed: Callable[[str], None]) -> None:
        super().__init__(performance, on_closed)
        self._media = WebRtcSink(VOICE_LEAD_S)
        self.peer = WebRtcPeer(f"player of {performance.id}", ice, lambda: None, self._lost)
        performance.sinks.add(self)

    async def answer(self, sdp: str) -> str:
        sections = media_sections(sdp)
        wanted = [kind for kind, direction in sections.items() if kind in ("audio", "video") and direction in ("recvonly", "sendrecv")]
        if not wanted:
            raise SdpError("the offer receives neither video nor audio")
        self._media.add_tracks(self.peer.connection, wanted)
        for transceiver in self.peer.connection.getTransceivers():
            prefer_codecs(transceiver, ANY_VIDEO_CODECS)
            transceiver.direction = "sendonly"
        return await self.peer.answer(sdp)

    def put(self, media: Media) -> None:
        # What came before would wait, and then leave in one burst.
        if self.peer.is_connected:
            self._media.put(media)

    def end(self) -> None:
        self.performance.sinks.remove(self)

    async def aclose(self) -> None:
        await self._media.aclose()
        await super().aclose()


class WhipSessions:
    """All publishers and players of one server."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._ice = server.settings.ice
        self._resources: dict[str, Publisher | Player] = {}

    async def publish(self, sdp: str, avatar: str | None = None, size: int | None = None) -> tuple[Publisher, str]:
        """A publisher and the answer to its offer. Raises as `LiveServer.open_performance` does, SdpError and NoCandidates."""
        media_sections(sdp)  # whoever sends no SDP takes no place
        server = self._server
        performance = await server.open_performance(avatar, size, plays=False)
        try:
            publisher = Publisher(performance, self._ice, server.metrics, server.close_performance, self._forget)
            answer = await publisher.answer(sdp)
        except BaseException:
            server.close_performance(performance)
            raise
        self._resources[publisher.id] = publisher
        return publisher, answer

    async def play(self, sdp: str, session: str | None = None) -> tuple[Player, str]:
        """A player and the answer to its offer; `session`: the id of a performance, None: the one that speaks.

        Raises UnknownPerformance, TooManyPlayers, SdpError, NoCandidates."""
        performance = self._server.speaking if session is None else self._server.performance(session)
        if sum(isinstance(resource, Player) for resource in self._resources.values()) >= MAX_PLAYERS:
            raise TooManyPlayers(f"{MAX_PLAYERS} players watch already; try again later")
        player = Player(performance, self._ice, self._forget)
        # It counts from now on: gathering may take seconds.
        self._resources[player.id] = player
        try:
            return player, await player.answer(sdp)
        except BaseException:
            player.end()
            raise

    def find(self, kind: str, name: str) -> Publisher | Player:
        """Raises UnknownResource."""
        resource = self._resources.get(name)
        if resource is None or resource.kind != kind:
            raise UnknownResource(f"no session {name!r} here, or it has ended")
        return resource

    def _forget(self, name: str) -> None:
        self._resources.pop(name, None)


def ice_credentials(sdp: str) -> set[tuple[str, str]]:
    """User fragment and password of each media section."""
    lines = sdp.splitlines()
    ufrags = [line.partition(":")[2] for line in lines if line.startswith("a=ice-ufrag:")]
    passwords = [line.partition(":")[2] for line in lines if line.startswith("a=ice-pwd:")]
    return set(zip(ufrags, passwords, strict=False))


def _ignore(receiver: RTCRtpReceiver) -> None:
    """Have a receiver's packets dropped where they arrive, in place of being decoded and queued for somebody who never comes."""

    async def receive(_: object) -> None:
        pass

    setattr(receiver, "receive", receive)  # noqa: B010
