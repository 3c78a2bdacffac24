"""The HTTP interface to the virtual camera of a server on one's own machine. See `/docs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI, Request

from renderer.errors import BadInput, VisavisError
from server.api_guard import FORBIDDEN, Statuses, Wish, page_guard, refusals
from server.live_server import NotReady, ServerBusy, UnknownPerformance
from server.virtual_camera.call import NotThisMachine
from server.virtual_camera.device import DeviceUnavailable
from server.virtual_camera.set_up import NotSetUp
from server.virtual_camera.virtual_camera import CameraInfo, CameraRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.access import Access
    from server.live_server import LiveServer

BAD_REQUEST, NOT_FOUND, CONFLICT, UNAVAILABLE, BUSY = 400, 404, 409, 501, 503


class CameraWish(Wish):
    session: str | None = None
    """Whose picture and voice it shows; null: a session of its own, with the microphone of the server's machine."""


class CameraChange(Wish):
    """What is given is changed, the rest stays."""

    privacy: bool | None = None
    """On: a still, and silence."""
    delay_ms: float | None = None
    """One constant delay for picture and voice; null: what this machine needs."""


def add_camera(app: FastAPI, access: Access, server: LiveServer, require_token: Callable[[Request], None]) -> None:
    """Add the routes to the application."""

    readers, writers = [Depends(require_token)], [Depends(page_guard(access, require_token))]

    @app.get("/api/camera", dependencies=readers)
    async def camera() -> CameraInfo:
        """How the virtual camera stands; while it is off, `reason` says what is missing for it."""
        return await server.call.ask()

    @app.post("/api/camera", status_code=201, dependencies=writers)
    async def begin(wish: CameraWish) -> CameraInfo:
        """Switch it on, or have it show another session."""
        with refusals(_STATUSES):
            server.call.check_place()
            return await server.call.begin(None if wish.session is None else server.performance(wish.session))

    @app.patch("/api/camera", dependencies=writers)
    async def change(change: CameraChange) -> CameraInfo:
        """Privacy and delay."""
        delay_s = None if change.delay_ms is None else change.delay_ms / 1000
        with refusals(_STATUSES):
            server.call.check_place()
            return await server.call.change(change.privacy, delay_s, "delay_ms" in change.model_fields_set)

    @app.delete("/api/camera", dependencies=writers)
    async def end() -> CameraInfo:
        """Switch it off: programs see it no more."""
        with refusals(_STATUSES):
            server.call.check_place()
            return await server.call.end()


_STATUSES: Statuses = (
    (NotThisMachine, FORBIDDEN),
    (UnknownPerformance, NOT_FOUND),
    (CameraRefused, CONFLICT),
    (NotSetUp, UNAVAILABLE),
    (DeviceUnavailable, UNAVAILABLE),
    (ServerBusy, BUSY),
    (NotReady, BUSY),
    (BadInput, BAD_REQUEST),
    (VisavisError, 500),
)
