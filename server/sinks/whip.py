"""Publishing picture and voice to a media server by WHIP (RFC 9725), and trying again whenever the connection is lost.

The client's side: an offer that only sends goes out by POST, the answer comes back, DELETE ends it. Redirections of the POST are followed
(section 4.5); the bearer token goes along only to the same origin. HTTP runs in a thread, for the live server needs no HTTP client else.
"""

from __future__ import annotations

import asyncio
import logging
import math
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

from aiortc import RTCBundlePolicy, RTCSessionDescription

from renderer.errors import BadInput, VisavisError
from server.media_limits import ANY_VIDEO_CODECS, prefer_codecs
from server.sinks.webrtc import WebRtcSink
from server.webrtc_peer import CONNECT_TIMEOUT_S, close_connection, open_connection, require_candidates

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message
    from typing import Any

    from server.ice import IceServers
    from server.media import Media

logger = logging.getLogger(__name__)

HTTP_TIMEOUT_S = 10.0
DELETE_TIMEOUT_S = 3.0
MAX_REDIRECTS = 5
MAX_ANSWER_BYTES = 256 * 1024
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STABLE_AFTER_S = 10.0
"""A connection that held so long was good: the next loss starts again with the shortest pause."""
FINAL_STATUSES = frozenset({400, 401, 403, 404, 405, 406, 410, 415, 422})
"""Answers after which another try would end the same way."""


class Refused(VisavisError):
    """The media server will not have this; asking again is of no use."""


class NotPublished(VisavisError):
    """This try failed; the next may not."""


@dataclass(frozen=True)
class WhipTarget:
    """Where to publish."""

    url: str
    token: str | None = None
    """Bearer token; shown nowhere."""

    @classmethod
    def parse(cls, text: str) -> WhipTarget:
        """From `whip:https://[TOKEN@]host/path`. Raises BadInput."""
        url = text.removeprefix("whip:")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"publish {_without_token(text)!r}: whip:https://TOKEN@host/path is possible")
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        return cls(bare, parts.username or None)

    def __str__(self) -> str:
        return f"whip:{self.url}"


class WhipSink:
    """One sink of a performance. It publishes until it is closed, or the media server refuses for good."""

    def __init__(self, target: WhipTarget, ice: IceServers, voice_lead_s: float, on_change: Callable[[], None] = lambda: None) -> None:
        """`on_change` is called after each change of `state`."""
        self.target = target
        self.state = "connecting"
        """"connecting", "live", "waiting" (for the next try) or "failed" (for good)."""
        self.problem: str | None = None
        """Why it waits or failed, in one line."""
        self._ice, self._voice_lead_s, self._on_change = ice, voice_lead_s, on_change
        self._media: WebRtcSink | None = None
        self._live_since_s = math.inf
        self._task = asyncio.create_task(self._publish())

    def put(self, media: Media) -> None:
        """See `Sink.put`. What comes while there is no connection is left out."""
        if self._media is not None:
            self._media.put(media)

    async def aclose(self) -> None:
        """Take leave of the media server."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _change(self, state: str, problem: str | None = None) -> None:
        self.state, self.problem = state, problem
        if problem is None:
            logger.info("%s: %s", self.target, state)
        else:
            logger.warning("%s: %s: %s", self.target, state, problem)
        self._on_change()

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            self._live_since_s = math.inf
            try:
                await self._publish_once()
            except Refused as error:
                self._change("failed", str(error))
                return
            except VisavisError as error:
                problem = str(error)
            except Exception as error:
                # aiortc raises whatever it stumbles over in an answer.
                logger.exception("%s", self.target)
                problem = f"{type(error).__name__}: {error}"
            if loop.time() - self._live_since_s >= STABLE_AFTER_S:
                pause_s = FIRST_PAUSE_S
            self._change("waiting", problem)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._change("connecting")

    async def _publish_once(self) -> None:
        """Returns never; raises when the connection is lost or does not come about."""
        media = WebRtcSink(self._voice_lead_s)
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
            resource, answer = await asyncio.to_thread(_post, self.target, offer)
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await asyncio.wait_for(_state(connection, changed, "connected"), CONNECT_TIMEOUT_S)
            self._media = media
            self._live_since_s = asyncio.get_running_loop().time()
            self._change("live")
            await _state(connection, changed, "closed")
        except asyncio.TimeoutError:
            raise NotPublished(f"no media connection came about within {CONNECT_TIMEOUT_S:g} s") from None
        finally:
            self._media = None
            await media.aclose()
            await close_connection(connection, str(self.target))
            if resource is not None:
                await asyncio.to_thread(_delete, self.target, resource)


async def _state(connection: Any, changed: asyncio.Event, wanted: str) -> None:
    """Wait for a state. Raises NotPublished where the connection fails or closes in its place."""
    while connection.connectionState != wanted:
        if connection.connectionState in ("failed", "closed"):
            raise NotPublished("the media connection was lost")
        changed.clear()
        await changed.wait()
    if wanted == "closed":
        raise NotPublished("the media server ended the connection")


class _LeaveRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_LeaveRedirects)


def _post(target: WhipTarget, offer: str) -> tuple[str | None, str]:
    """Address of the session and the answer. Raises Refused or NotPublished."""
    url = target.url
    for _ in range(MAX_REDIRECTS + 1):
        headers_out = {"Content-Type": "application/sdp", **_authorisation(target, url)}
        request = urllib.request.Request(url, offer.encode(), headers_out, method="POST")
        status, headers, body = _ask(request, HTTP_TIMEOUT_S)
        location = headers.get("Location")
        if status in (301, 302, 307, 308) and location:
            url = urljoin(url, location)
            continue
        if status != 201:
            said = " ".join(body.decode(errors="replace").split())[:200]
            line = f"the media server answered {status}" + (f": {said}" if said else "")
            raise Refused(line) if status in FINAL_STATUSES else NotPublished(line)
        return urljoin(url, location) if location else None, body.decode(errors="replace")
    raise Refused(f"more than {MAX_REDIRECTS} redirections")


def _delete(target: WhipTarget, resource: str) -> None:
    request = urllib.request.Request(resource, headers=_authorisation(target, resource), method="DELETE")
    try:
        status, _, _ = _ask(request, DELETE_TIMEOUT_S)
    except NotPublished as error:
        logger.info("%s: the session could not be taken back: %s", target, error)
    else:
        logger.info("%s: ended, status %d", target, status)


def _ask(request: urllib.request.Request, timeout_s: float) -> tuple[int, Message, bytes]:
    """Status, headers and body. Raises NotPublished where there is no answer."""
    try:
        with _OPENER.open(request, timeout=timeout_s) as response:
            return response.status, response.headers, response.read(MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read(MAX_ANSWER_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NotPublished(f"{urlsplit(request.full_url).netloc} does not answer: {reason}") from error


def _authorisation(target: WhipTarget, url: str) -> dict[str, str]:
    here, there = urlsplit(target.url), urlsplit(url)
    if target.token is None or (here.scheme, here.netloc) != (there.scheme, there.netloc):
        return {}
    return {"Authorization": f"Bearer {target.token}"}


def _without_token(text: str) -> str:
    """For a message: what stands before an @ may be a secret."""
    scheme, separator, rest = text.rpartition("//")
    return scheme + separator + rest.rpartition("@")[2]
