"""The page's HTTP interface to the shelf: edits, uploaded backgrounds, and the stream of news. See `/docs`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from renderer.errors import BadInput
from server.api_guard import Statuses, page_guard, refusals
from server.backgrounds import MAX_UPLOAD_BYTES, Backgrounds, decode_picture
from server.edit_jobs import EditJobs, EditRefused, NoSpace, UnknownEdit
from server.edit_orders import EditInfo, EditOptions, EditOrder  # noqa: TC001 (pydantic reads them)
from server.messages import AvatarInfo  # noqa: TC001 (pydantic reads it)
from server.shelf_feed import ShelfFeed, TooManyListeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from server.access import Access
    from server.avatar_library import AvatarLibrary

HEARTBEAT_S = 15.0
"""A comment in a quiet stream, so that a page that is gone is noticed."""
BAD_REQUEST, CONFLICT, NOT_FOUND, TOO_LARGE, UNPROCESSABLE, BUSY, NO_SPACE = 400, 409, 404, 413, 422, 503, 507


class Edits(BaseModel):
    edits: list[EditInfo]


class Shelf(BaseModel):
    """How things stand; what `/api/events` sends at first and after every change."""

    avatars: list[AvatarInfo]
    default_avatar: str
    edits: list[EditInfo]


class Background(BaseModel):
    id: str
    """For `background` of the control message `set`."""


def add_studio(
    app: FastAPI,
    access: Access,
    library: AvatarLibrary,
    edits: EditJobs,
    backgrounds: Backgrounds,
    feed: ShelfFeed,
    require_token: Callable[[Request], None],
) -> None:
    """Add the routes to the application."""

    readers, writers = [Depends(require_token)], [Depends(page_guard(access, require_token))]

    @app.exception_handler(RequestValidationError)
    async def in_one_line(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        words = str(first["msg"]).removeprefix("Value error, ")
        return JSONResponse({"detail": f"{place}: {words}" if place else words}, UNPROCESSABLE)

    @app.get("/api/edits/options", dependencies=readers)
    async def options() -> EditOptions:
        """What an edit may be asked for here, or in one line why none can be."""
        return await edits.options()

    @app.get("/api/edits", dependencies=readers)
    async def listing() -> Edits:
        """All edits, the newest first."""
        return Edits(edits=edits.infos())

    @app.post("/api/edits", status_code=201, dependencies=writers)
    async def order(wish: EditOrder) -> EditInfo:
        """Queue an edit; it makes a new style and leaves the old one as it is."""
        with refusals(_STATUSES):
            return await edits.order(wish)

    @app.get("/api/edits/{edit}", dependencies=readers)
    async def info(edit: str) -> EditInfo:
        """How an edit stands."""
        with refusals(_STATUSES):
            return edits.info(edit)

    @app.delete("/api/edits/{edit}", dependencies=writers)
    async def cancel(edit: str) -> Edits:
        """Cancel an edit that waits or runs (it can be resumed), or remove one that has ended, and what it left half-done."""
        with refusals(_STATUSES):
            if edits.info(edit).state in ("queued", "running"):
                edits.cancel(edit)
            else:
                edits.forget(edit)
            return Edits(edits=edits.infos())

    @app.post("/api/edits/{edit}/resume", dependencies=writers)
    async def resume(edit: str) -> EditInfo:
        """Go on with an edit that was cancelled, interrupted or failed."""
        with refusals(_STATUSES):
            return edits.resume(edit)

    png: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}

    @app.get("/api/edits/{edit}/preview.png", response_class=Response, responses=png, dependencies=readers)
    async def preview(edit: str) -> Response:
        """Above: frames of the original; below: the same edited; at the end of a round a third row, as the avatar shows them."""
        with refusals(_STATUSES):
            return Response(await asyncio.to_thread(edits.preview, edit), media_type="image/png")

    @app.post("/api/backgrounds", status_code=201, dependencies=writers)
    async def upload(request: Request) -> Background:
        """A picture to stand behind the avatar: the body is a PNG, JPEG or WebP file. It is kept until the server ends."""
        with refusals(_STATUSES):
            picture = await asyncio.to_thread(decode_picture, await _body(request))
        return Background(id=backgrounds.add(picture))

    @app.get("/api/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}}, dependencies=readers)
    async def events() -> StreamingResponse:
        """Server-sent events named `shelf`, each with the whole shelf: at once, and after every change."""
        stack = contextlib.ExitStack()
        try:
            listener = stack.enter_context(feed.listen())
        except TooManyListeners as error:
            raise HTTPException(BUSY, "too many pages are open; close one") from error

        async def stream() -> AsyncIterator[str]:
            with stack:
                while not listener.is_closed:
                    shelf = Shelf(avatars=library.infos(), default_avatar=library.default_name, edits=edits.infos())
                    yield f"event: shelf\ndata: {shelf.model_dump_json()}\n\n"
                    while True:
                        try:
                            await asyncio.wait_for(listener.news(), HEARTBEAT_S)
                            break
                        except asyncio.TimeoutError:
                            yield ": still here\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")


_STATUSES: Statuses = (
    (UnknownEdit, NOT_FOUND),
    (NoSpace, NO_SPACE),
    (EditRefused, CONFLICT),
    (BadInput, BAD_REQUEST),
)


async def _body(request: Request) -> bytes:
    """No more of it than is allowed is ever in memory."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_UPLOAD_BYTES:
            raise HTTPException(TOO_LARGE, f"the picture has more than {MAX_UPLOAD_BYTES >> 20} MB")
    return bytes(data)
