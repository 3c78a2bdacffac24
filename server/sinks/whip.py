"""A publication by WHIP (RFC 9725): picture and voice over a WebRTC connection to a media server."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from aiortc import RTCBundlePolicy, RTCSessionDescription

from server.media_limits import ANY_VIDEO_CODECS, prefer_codecs
from server.performance import VOICE_LEAD_S
from server.sinks.publication import Publication
from server.sinks.webrtc import WebRtcSink
from server.sinks.whip_client import NotPublished, WhipTarget, delete_session, post_offer
from server.webrtc_peer import CONNECT_TIMEOUT_S, NoCandidates, close_connection, open_connection, require_candidates

if TYPE_CHECKING:
    from typing import NoReturn

    from aiortc import RTCPeerConnection

    from server.ice import IceServers
    from server.media import Media

logger = logging.getLogger(__name__)

STABLE_AFTER_S = 10.0
"""A connection that held so long was good: the next loss begins a new count of tries."""


class WhipPublication(Publication):
    """The client's side: the offer only sends; all media go over one transport."""

    def __init__(self, url: str, session: str, ice: IceServers) -> None:
        super().__init__(url, session)
        self._target, self._ice = WhipTarget.parse(url), ice
        self._media: WebRtcSink | None = None
        self._live_since_s = math.inf

    def put(self, media: Media) -> None:
        if self._media is not None:
            self._media.put(media)

    @property
    def _is_live(self) -> bool:
        return self._media is not None

    def _finish(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _connect(self) -> tuple[str, bool]:
        self._live_since_s = math.inf
        try:
            await self._publish()
        except (NotPublished, NoCandidates) as error:
            reason = str(error)
        except asyncio.TimeoutError:
            reason = f"no media connection came about within {CONNECT_TIMEOUT_S:g} s"
        return reason, asyncio.get_running_loop().time() - self._live_since_s >= STABLE_AFTER_S

    async def _publish(self) -> NoReturn:
        """Raises Refused, NotPublished or NoCandidates, or TimeoutError: this is how every connection ends."""
        media = WebRtcSink(VOICE_LEAD_S)
        connection = open_connection(self._ice, RTCBundlePolicy.MAX_BUNDLE)
        changed = asyncio.Event()
        connection.on("connectionstatechange", changed.set)
        resource: str | None = None
        try:
            media.add_tracks(connection)
            for transceiver in connection.getTransceivers():
                prefer_codecs(transceiver, ANY_VIDEO_CODECS)
                transceiver.direction = "sendonly"
            await connection.setLocalDescription(await connection.createOffer())
            offer = str(connection.localDescription.sdp)
            require_candidates(offer)
            resource, answer = await asyncio.to_thread(post_offer, self._target, offer)
            await _accept(connection, answer)
            await asyncio.wait_for(_wait_for(connection, changed, "connected"), CONNECT_TIMEOUT_S)
            self._media = media
            self._live_since_s = asyncio.get_running_loop().time()
            logger.info("publishing to %s: live", self.shown_url)
            await _wait_for(connection, changed, "closed")
            raise NotPublished("the media server ended the connection")
        finally:
            self._media = None
            await media.aclose()
            await close_connection(connection, self.shown_url)
            if resource is not None:
                await asyncio.to_thread(delete_session, self._target, resource)


async def _accept(connection: RTCPeerConnection, answer: str) -> None:
    try:
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    except Exception as error:
        # aiortc raises whatever its parser stumbles over.
        raise NotPublished(f"the media server's answer cannot be used: {error or type(error).__name__}") from error


async def _wait_for(connection: RTCPeerConnection, changed: asyncio.Event, state: str) -> None:
    """Raises NotPublished where the connection fails, or closes, in its place."""
    while connection.connectionState != state:
        if connection.connectionState in ("failed", "closed"):
            raise NotPublished("the media connection was lost")
        changed.clear()
        await changed.wait()
