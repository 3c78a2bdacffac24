"""Publications: a performance sent to a stream server (RTMP, SRT; WHIP: see `whip`), with new tries whenever the connection is lost.

connecting ──► live ──► waiting ──► connecting …      ended: somebody asked for it; failed: MAX_TRIES in a row came to nothing
     └───────────────────┘
"""

from __future__ import annotations

import abc
import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel

from renderer.errors import BadInput, VisavisError
from server.ice import IceServers
from server.sinks.encoder_messages import EncoderEnded, EncoderOptions
from server.sinks.encoder_process import EncoderProcess
from server.sinks.formats import choose_codecs, ffmpeg_with_srt
from server.sinks.whip_client import WHIP, WhipTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.media import Media

logger = logging.getLogger(__name__)

CONTAINERS = {"rtmp": "flv", "rtmps": "flv", "srt": "mpegts"}
LIVE_BITS = 2_500_000
"""Of the picture, a second, at most."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
MAX_TRIES = 40
"""In a row; about a quarter of an hour."""
CLOSE_TIMEOUT_S = 2.0
"""For what waits to leave; a connection that hangs is cut."""
LIVE_AFTER_S = 2.0
"""Media that have left for so long: the connection is there, and the next fault begins a new count of tries."""
MAX_ADDRESS = 1000
MAX_REMEMBERED = 100
NO_SERVERS = IceServers()

PublicationState = Literal["connecting", "live", "waiting", "ended", "failed"]


class UnknownPublication(VisavisError):
    """There is none of that id."""


class PublicationInfo(BaseModel):
    id: str
    session: str
    url: str
    """Without what is secret in it."""
    state: PublicationState
    tries: int
    """Connections tried since the last one that held."""
    dropped_pictures: int
    """Left out because the other end was slow."""
    reason: str | None = None
    """What went wrong last."""


def check_address(url: str) -> str:
    """The address to publish to. Raises BadInput in one line, which shows no secret."""
    if url.startswith(WHIP):
        WhipTarget.parse(url)
        return url
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, has_place = urlsplit(""), False
    scheme = parts.scheme
    if scheme not in CONTAINERS:
        raise BadInput(
            f"publish {_shown_scheme(url)!r}: an address that begins with {', '.join(f'{s}://' for s in CONTAINERS)} or {WHIP} is possible"
        )
    if not has_place or len(url) > MAX_ADDRESS or any(character.isspace() or not character.isprintable() for character in url):
        raise BadInput(f"publish {scheme!r}: {scheme}://host:port/… was expected")
    if scheme == "srt" and parts.port is None:
        raise BadInput("publish 'srt': srt://host:port was expected; SRT has no port of its own")
    choose_codecs(CONTAINERS[scheme])
    return url


def shown_address(url: str) -> str:
    """For logs and lists: stream keys, passwords and queries are secrets."""
    if url.startswith(WHIP):
        return WHIP + shown_address(url.removeprefix(WHIP))
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    folders = [folder for folder in parts.path.split("/") if folder]
    shown = "".join(f"/{folder}" for folder in folders[:-1]) + ("/…" if folders or parts.query else "")
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{shown}"


def _shown_scheme(url: str) -> str:
    return url.split(":")[0][:20]


class Publication(abc.ABC):
    """A sink that sends to one address, and goes on trying."""

    def __init__(self, url: str, session: str) -> None:
        """Raises BadInput for an address that cannot be."""
        self.id = secrets.token_hex(6)
        self.url = check_address(url)
        self.shown_url = shown_address(url)
        self._session = session
        self._state: PublicationState = "connecting"
        self._reason: str | None = None
        self._tries = 0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, on_end: Callable[[Publication], None]) -> None:
        """`on_end` is called once, when it has ended or given up."""
        self._task = asyncio.create_task(self._run(on_end))

    @abc.abstractmethod
    def put(self, media: Media) -> None:
        """See `Sink.put`; what comes while there is no connection is left out."""

    @abc.abstractmethod
    async def _connect(self) -> tuple[str, bool]:
        """One connection, from its beginning to its end: why it ended, and whether it had held. Raises BadInput where another one would end
        the same way. Returns soon after `_finish`."""

    @abc.abstractmethod
    def _finish(self) -> None:
        """Let the connection end."""

    @property
    @abc.abstractmethod
    def _is_live(self) -> bool:
        """Whether media leave over the connection that is being tried."""

    @property
    def _dropped_pictures(self) -> int:
        return 0

    async def aclose(self) -> None:
        self._stopping.set()
        self._finish()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def info(self) -> PublicationInfo:
        return PublicationInfo(
            id=self.id,
            session=self._session,
            url=self.shown_url,
            state="live" if self._state == "connecting" and self._is_live else self._state,
            tries=self._tries,
            dropped_pictures=self._dropped_pictures,
            reason=self._reason,
        )

    async def _run(self, on_end: Callable[[Publication], None]) -> None:
        try:
            self._state = await self._keep_trying()
        except BadInput as error:
            self._state, self._reason = "failed", str(error)
        finally:
            if self._state not in ("ended", "failed"):
                self._state = "ended"
            if self._state == "failed":
                logger.error("publishing to %s has ended: %s", self.shown_url, self._reason)
            on_end(self)

    async def _keep_trying(self) -> PublicationState:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._tries += 1
            self._state = "connecting"
            reason, has_held = await self._connect()
            if self._stopping.is_set():
                break
            if has_held:
                self._tries, pause_s = 0, FIRST_PAUSE_S
            self._reason = reason
            if self._tries >= MAX_TRIES:
                return "failed"
            self._state = "waiting"
            logger.warning("publishing to %s: %s; the next try is in %g s", self.shown_url, self._reason, pause_s)
            try:
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            except asyncio.TimeoutError:
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
        return "ended"


class StreamPublication(Publication):
    """Over RTMP or SRT, by an encoder's process."""

    def __init__(self, url: str, session: str) -> None:
        super().__init__(url, session)
        self._options: EncoderOptions | None = None
        self._encoder: EncoderProcess | None = None
        self._dropped_before = 0

    def put(self, media: Media) -> None:
        if self._encoder is not None:
            self._encoder.put(media)

    async def _connect(self) -> tuple[str, bool]:
        if self._options is None:
            # Looks for a program, which takes a moment at the first time.
            self._options = await asyncio.to_thread(_options, self.url)
        self._encoder = encoder = EncoderProcess(self._options)
        end = await encoder.run()
        self._dropped_before += encoder.dropped_pictures
        self._encoder = None
        reason = "the connection was closed" if isinstance(end, EncoderEnded) else end.message
        return reason, encoder.progress.seconds >= LIVE_AFTER_S

    def _finish(self) -> None:
        if self._encoder is not None:
            self._encoder.finish()

    @property
    def _is_live(self) -> bool:
        return self._encoder is not None and self._encoder.progress.seconds > 0

    @property
    def _dropped_pictures(self) -> int:
        return self._dropped_before + (self._encoder.dropped_pictures if self._encoder else 0)


def _options(url: str) -> EncoderOptions:
    scheme = urlsplit(url).scheme
    container = CONTAINERS[scheme]
    video, audio = choose_codecs(container)
    relay: tuple[str, ...] = ()
    if scheme == "srt":
        # PyAV's wheels have no SRT.
        program = ffmpeg_with_srt()
        if program is None:
            raise BadInput("publishing over SRT needs an ffmpeg program that speaks it (Debian: apt-get install ffmpeg)")
        reading = ("-fflags", "nobuffer", "-f", "mpegts", "-probesize", "200000", "-i", "pipe:0")
        relay = (program, "-hide_banner", "-loglevel", "error", *reading, "-c", "copy", "-f", "mpegts", "-flush_packets", "1", url)
    return EncoderOptions(
        target=url,
        container=container,
        video_codec=video,
        audio_codec=audio,
        is_live=True,
        max_video_bits=LIVE_BITS,
        relay=relay,
    )


class Publications:
    """All publications of a server."""

    def __init__(self, ice: IceServers = NO_SERVERS) -> None:
        """`ice`: for connections by WHIP."""
        self._ice = ice
        self._known: dict[str, Publication] = {}

    def make(self, url: str, session: str) -> Publication:
        """One that has not begun: see `Publication.start`. Raises BadInput."""
        publication: Publication
        if url.startswith(WHIP):
            # Brings aiortc, which is loaded while the render worker starts.
            from server.sinks.whip import WhipPublication

            publication = WhipPublication(url, session, self._ice)
        else:
            publication = StreamPublication(url, session)
        self._known[publication.id] = publication
        for old in [name for name, known in self._known.items() if known.info.state in ("ended", "failed")][:-MAX_REMEMBERED]:
            del self._known[old]
        return publication

    def get(self, name: str) -> Publication:
        """By its id. Raises UnknownPublication."""
        try:
            return self._known[name]
        except KeyError:
            raise UnknownPublication(f"no publication {name!r}") from None

    def runs(self, url: str) -> bool:
        """Whether somebody is publishing to an address already."""
        return any(known.url == url and known.info.state not in ("ended", "failed") for known in self._known.values())

    def infos(self) -> list[PublicationInfo]:
        """The newest first."""
        return [publication.info for publication in reversed(self._known.values())]
