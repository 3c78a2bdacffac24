"""The HTTP interface to what runs: sessions, what they say, their recordings and publications. See `/docs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from renderer.errors import BadInput, VisavisError
from server.api_guard import Statuses, Wish, page_guard, refusals
from server.live_server import NotReady, ServerBusy, UnknownPerformance
from server.messages import MAX_TEXT
from server.narrator import TooMuchToSay
from server.sinks.publication import MAX_ADDRESS, PublicationInfo, UnknownPublication
from server.sinks.recording import NoRoom, RecordingInfo, RecordingRefused, UnknownRecording
from server.text_to_speech import SpeechFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.access import Access
    from server.live_server import LiveServer
    from server.performance import Performance

BAD_REQUEST, NOT_FOUND, CONFLICT, BUSY, UNAVAILABLE, NO_SPACE = 400, 404, 409, 503, 501, 507


class SessionWish(Wish):
    avatar: str | None = None
    """By name; null: the default."""
    size: int | None = None
    """Wished height of the picture, px; null: the server's."""


class SessionInfo(BaseModel):
    id: str
    avatar: str
    size: int
    playing: bool
    """Whether sound is heard and media flow, or its connection is still being made."""
    sinks: int
    """Ways out: viewers, recordings, publications, programs."""


class Sessions(BaseModel):
    sessions: list[SessionInfo]


class Text(Wish):
    text: str = Field(min_length=1, max_length=MAX_TEXT)


class RecordingWish(Wish):
    session: str
    format: Literal["mp4", "mkv"] = "mp4"


class Recordings(BaseModel):
    recordings: list[RecordingInfo]


class PublicationWish(Wish):
    session: str
    url: str = Field(max_length=MAX_ADDRESS)
    """rtmp://host/app/key, srt://host:port or whip:https://TOKEN@host/path."""


class Publications(BaseModel):
    publications: list[PublicationInfo]


def add_media(app: FastAPI, access: Access, server: LiveServer, require_token: Callable[[Request], None]) -> None:
    """Add the routes to the application."""

    readers, writers = [Depends(require_token)], [Depends(page_guard(access, require_token))]

    @app.get("/api/sessions", dependencies=readers)
    async def sessions() -> Sessions:
        """What runs, the oldest first."""
        return Sessions(sessions=[_info(performance) for performance in server.performances])

    @app.post("/api/sessions", status_code=201, dependencies=writers)
    async def begin(wish: SessionWish) -> SessionInfo:
        """Begin a session without a microphone: it idles, and says what it is told to. It stays until it is deleted."""
        with refusals(_STATUSES):
            return _info(await server.open_performance(wish.avatar, wish.size))

    @app.delete("/api/sessions/{session}", dependencies=writers)
    async def end(session: str) -> Sessions:
        """End a session, whoever began it, with its recordings and publications."""
        with refusals(_STATUSES):
            performance = server.performance(session)
            performance.end("internal", "the session was ended by the server's owner")
        return Sessions(sessions=[_info(left) for left in server.performances])

    @app.post("/api/sessions/{session}/say", status_code=202, dependencies=writers)
    async def say(session: str, text: Text) -> SessionInfo:
        """Have the avatar say a text, after those that wait; the microphone is not heard meanwhile."""
        with refusals(_STATUSES):
            performance = server.performance(session)
            performance.say(text.text)
            return _info(performance)

    @app.delete("/api/sessions/{session}/say", dependencies=writers)
    async def stop(session: str) -> SessionInfo:
        """Interrupt: say nothing more of what was sent."""
        with refusals(_STATUSES):
            performance = server.performance(session)
            performance.stop_saying()
            return _info(performance)

    @app.get("/api/recordings", dependencies=readers)
    async def recordings() -> Recordings:
        """Recordings of this run of the server, the newest first. The files stay in the recordings' folder."""
        return Recordings(recordings=server.recordings.infos())

    @app.post("/api/recordings", status_code=201, dependencies=writers)
    async def record(wish: RecordingWish) -> RecordingInfo:
        """Record a session's picture and voice, from now to the session's end, or a limit."""
        with refusals(_STATUSES):
            return server.record(server.performance(wish.session), wish.format).info

    @app.get("/api/recordings/{recording}", dependencies=readers)
    async def recording_info(recording: str) -> RecordingInfo:
        """How a recording stands."""
        with refusals(_STATUSES):
            return server.recordings.get(recording).info

    @app.delete("/api/recordings/{recording}", dependencies=writers)
    async def stop_recording(recording: str) -> RecordingInfo:
        """End a recording; answers when its file is whole. The file stays."""
        with refusals(_STATUSES):
            found = server.recordings.get(recording)
            await found.stop()
            return found.info

    @app.get("/api/recordings/{recording}/file", response_class=FileResponse, dependencies=readers)
    async def recording_file(recording: str) -> FileResponse:
        """The file of a recording that has ended."""
        with refusals(_STATUSES):
            found = server.recordings.get(recording)
        if found.info.file is None:
            raise HTTPException(CONFLICT, "this recording is still being made" if found.info.state == "running" else "nothing was recorded")
        kind = "video/mp4" if found.path.suffix == ".mp4" else "video/x-matroska"
        return FileResponse(found.path, media_type=kind, filename=found.path.name)

    @app.get("/api/publications", dependencies=readers)
    async def publications() -> Publications:
        """The newest first; addresses without their secrets."""
        return Publications(publications=server.publications.infos())

    @app.post("/api/publications", status_code=201, dependencies=writers)
    async def publish(wish: PublicationWish) -> PublicationInfo:
        """Send a session to a stream server; a connection that is lost is made again."""
        with refusals(_STATUSES):
            return server.publish(server.performance(wish.session), wish.url).info

    @app.delete("/api/publications/{publication}", dependencies=writers)
    async def stop_publishing(publication: str) -> PublicationInfo:
        """End a publication."""
        with refusals(_STATUSES):
            found = server.publications.get(publication)
            await found.aclose()
            return found.info


def _info(performance: Performance) -> SessionInfo:
    return SessionInfo(
        id=performance.id,
        avatar=performance.state.avatar,
        size=performance.size,
        playing=performance.is_playing,
        sinks=len(performance.sinks),
    )


_STATUSES: Statuses = (
    (UnknownPerformance, NOT_FOUND),
    (UnknownRecording, NOT_FOUND),
    (UnknownPublication, NOT_FOUND),
    (RecordingRefused, CONFLICT),
    (NoRoom, NO_SPACE),
    (TooMuchToSay, BUSY),
    (ServerBusy, BUSY),
    (NotReady, BUSY),
    (SpeechFailed, UNAVAILABLE),
    (BadInput, BAD_REQUEST),
    (VisavisError, 500),
)
