"""The HTTP face: the page, health, metrics, the avatars' names, WHIP and WHEP, and the signalling socket."""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from renderer import __version__
from renderer.avatar_file import read_poster
from renderer.errors import VisavisError
from renderer.images import encode_picture
from server.api_page import api_page
from server.camera_api import add_camera
from server.media_api import add_media
from server.messages import AvatarInfo  # noqa: TC001 (pydantic reads it)
from server.metrics import CONTENT_TYPE
from server.program_feed import ProgramFeed
from server.signalling import SignallingSocket
from server.studio_api import add_studio
from server.whip_api import add_whip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from server.access import Access
    from server.live_server import LiveServer

PAGE_FOLDER = Path(__file__).resolve().parent.parent / "web_client"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:; img-src 'self' data: blob:; "
    "style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "microphone=(self), camera=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Files are small and have ETags: a browser asks each time and never runs an old page against a new server.
    "Cache-Control": "no-cache",
}
# Some systems map these to types that browsers refuse to run as modules.
CONTENT_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Health(BaseModel):
    status: str
    """"ready", or "starting" with HTTP status 503."""
    version: str
    sessions: int
    max_sessions: int
    size: int | None
    fps: float | None
    latency_ms: float | None


class Avatars(BaseModel):
    avatars: list[AvatarInfo]
    default_avatar: str


def create_application(server: LiveServer, access: Access) -> FastAPI:
    """The application of one server. It starts and stops nothing."""
    app = FastAPI(title="visavis", version=__version__, docs_url=None, redoc_url=None)
    for suffix, content_type in CONTENT_TYPES.items():
        mimetypes.add_type(content_type, suffix)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if not access.allows_host(request.headers):
            return PlainTextResponse("this server answers to this machine's own name only", 421)
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def require_token(request: Request) -> None:
        if not access.allows_request(request.headers, request.query_params):
            raise HTTPException(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    @app.get("/healthz", response_model=Health, responses={503: {"model": Health, "description": "still loading"}})
    async def health() -> Response:
        """Whether the server can take a session."""
        ready = server.ready
        body = Health(
            status="ready" if ready else "starting",
            version=__version__,
            sessions=server.n_sessions,
            max_sessions=server.max_sessions,
            size=ready.size if ready else None,
            fps=server.fps if ready else None,
            latency_ms=round(server.latency_ms, 1) if ready else None,
        )
        return JSONResponse(body.model_dump(), 200 if ready else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """For Prometheus."""
        require_token(request)
        return Response(server.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/api/avatars")
    async def avatars(request: Request) -> Avatars:
        """The avatars that can be asked for by name."""
        require_token(request)
        return Avatars(avatars=server.library.infos(), default_avatar=server.library.default_name)

    @app.get("/api/avatars/{name}/poster.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    async def poster(name: str, request: Request) -> Response:
        """A still of an avatar."""
        require_token(request)
        try:
            picture = await asyncio.to_thread(read_poster, server.library.path(name))
        except VisavisError as error:
            raise HTTPException(404, str(error)) from error
        if picture is None:
            raise HTTPException(404, f"avatar {name!r} has no poster")
        return Response(await asyncio.to_thread(encode_picture, picture, "mjpeg"), media_type="image/jpeg")

    add_studio(app, access, server.library, server.edits, server.backgrounds, server.feed, require_token)

    add_media(app, access, server, require_token)
    add_whip(app, access, server, require_token)
    add_camera(app, access, server, require_token)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> str:
        return api_page(app.openapi())

    @app.websocket("/ws")
    async def signalling(socket: WebSocket) -> None:
        if not access.allows_host(socket.headers) or not access.allows_origin(socket.headers):
            await socket.close()
            return
        await SignallingSocket(socket, server, access).serve()

    @app.websocket("/api/feed")
    async def feed(socket: WebSocket) -> None:
        allowed = access.allows_host(socket.headers) and access.allows_origin(socket.headers)
        if not allowed or not access.allows_request(socket.headers, socket.query_params):
            await socket.close()
            return
        await ProgramFeed(socket, server).serve()

    app.mount("/", StaticFiles(directory=PAGE_FOLDER, html=True), name="page")
    return app
