"""A stand-in for the product's server that does as a test tells it.

It serves web_client/ as it is, speaks the page's protocol, and answers an offer with a real WebRTC peer: a generated moving picture
at 25 frames a second and a tone. It runs in a thread with an event loop of its own; its methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import uvicorn
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from av import AudioFrame, VideoFrame
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.staticfiles import StaticFiles
from jaxtyping import UInt8

from renderer.avatar_file import read_poster
from renderer.images import encode_picture
from server.access import Access
from server.avatar_library import AvatarLibrary
from server.backgrounds import Backgrounds
from server.edit_jobs import EditJobs
from server.settings import ServerSettings
from server.shelf_feed import ShelfFeed
from server.studio_api import add_studio
from server.virtual_camera.virtual_camera import CameraInfo
from tests.server import scripted_edit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.middleware.base import RequestResponseEndpoint

PAGE_DIR = Path(__file__).parents[2] / "web_client"
FPS = 25
PICTURE_PX = 128
SAMPLE_RATE_HZ = 48_000
SAMPLES_PER_FRAME = 960
TONE_HZ = 440.0
TONE_PEAK = 6000
PIPELINE_LATENCY_MS = 180.0
CLOSE_GOING_AWAY = 1001
PATIENCE_S = 10.0

Mode = Literal["serve", "busy", "unauthorised", "bad_sdp", "no_pictures", "no_way", "no_ports"]
Picture = Callable[[int], UInt8[np.ndarray, "height width 3"]]
T = TypeVar("T")


def moving_bar(index: int) -> UInt8[np.ndarray, "height width 3"]:
    """A blue-grey field with a bright bar that moves by two pixels a frame."""
    picture = np.full((PICTURE_PX, PICTURE_PX, 3), (112, 122, 134), np.uint8)
    left = (2 * index) % (PICTURE_PX - 16)
    picture[40:90, left : left + 16] = (240, 214, 190)
    return picture


class PictureTrack(MediaStreamTrack):
    """`picture(k)` at k/25 s after the first was asked for."""

    kind = "video"

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self.picture = picture
        self.index = 0
        self.start_s: float | None = None

    async def recv(self) -> VideoFrame:
        self.start_s = self.start_s or time.monotonic()
        await asyncio.sleep(self.start_s + self.index / FPS - time.monotonic())
        frame = VideoFrame.from_ndarray(self.picture(self.index), format="rgb24")
        frame.pts, frame.time_base = self.index, fractions.Fraction(1, FPS)
        self.index += 1
        return frame


class ToneTrack(MediaStreamTrack):
    """A steady tone in packets of 20 ms."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.index = 0
        self.start_s: float | None = None

    async def recv(self) -> AudioFrame:
        self.start_s = self.start_s or time.monotonic()
        await asyncio.sleep(self.start_s + self.index * SAMPLES_PER_FRAME / SAMPLE_RATE_HZ - time.monotonic())
        position = self.index * SAMPLES_PER_FRAME + np.arange(SAMPLES_PER_FRAME)
        samples = (TONE_PEAK * np.sin(2 * math.pi * TONE_HZ * position / SAMPLE_RATE_HZ)).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, int(position[0]), fractions.Fraction(1, SAMPLE_RATE_HZ)
        self.index += 1
        return frame


def live_state(avatar: str, **changes: Any) -> dict[str, Any]:
    """A `state` message of a session that has just begun."""
    state = {"type": "state", "avatar": avatar, "voice": True, "smoothing": 0.3, "omega": 0.8, "size": PICTURE_PX, "loading": None}
    emotion = {"emotion": {"category": "neutral", "strength": 0.0}, "emotion_auto": False}
    return state | emotion | {"follow": not_followed()} | changes


def not_followed(reason: str | None = None) -> dict[str, Any]:
    """Of a state: no camera is followed; `reason`: why none can be."""
    return {"on": False, "status": "off", "reason": reason}


class ScriptedServer:
    """Use as a context manager; `url` is the page's address."""

    def __init__(self, picture: Picture = moving_bar, shelf: Path | None = None) -> None:
        """`shelf`: a folder whose avatars are offered by the product's own interface, where edits are made by a scripted command."""
        self.picture = picture
        self.shelf = shelf
        self._feed: ShelfFeed | None = None
        self.reset()
        self._sockets: set[WebSocket] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        config = uvicorn.Config(
            self._app(), host="127.0.0.1", port=0, log_level="error", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def reset(self) -> None:
        """Back to a server with one avatar, free seats and nothing heard yet."""
        self.mode: Mode = "serve"
        self.avatars = [{"name": "presenter", "title": "Presenter", "subject": "synthetic"}]
        self.is_mute = False
        self.follow_reason: str | None = None
        """Why no camera can be followed."""
        """Whether it has stopped answering, with its sockets and media as they are."""
        self.ice_servers: list[dict[str, str | None]] = []
        self.received: list[dict[str, Any]] = []
        self.recording: dict[str, Any] = {}
        self.camera: dict[str, Any] = CameraInfo(state="off").model_dump()
        self.camera_changes: list[dict[str, Any]] = []
        self.recording_refusal: str | None = None
        """Why the next recording cannot begin."""
        self.connections = 0

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the scripted server did not start")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()
        if self._feed is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._feed.close_listeners)
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)

    @property
    def url(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/"

    def _offered(self) -> list[dict[str, Any]]:
        return self.avatars if self._feed is None else [info.model_dump() for info in self.library.infos()]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """What the page has sent of one type, oldest first."""
        return [message for message in list(self.received) if message["type"] == kind]

    def wait_for_sent(self, message: dict[str, Any]) -> None:
        """Returns once the newest message of that type is this one."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self.sent(message["type"])[-1:] != [message]:
            if time.monotonic() > deadline_s:
                raise AssertionError(f"expected {message}, got {self.sent(message['type'])}")
            time.sleep(0.02)

    def drop(self, code: int = CLOSE_GOING_AWAY) -> None:
        """Closes every socket; its peer connection ends with it."""

        async def close_all() -> None:
            for socket in list(self._sockets):
                await socket.close(code)

        self._run(close_all())

    def tell(self, message: dict[str, Any]) -> None:
        """Sends a message to every page."""

        async def send_all() -> None:
            for socket in list(self._sockets):
                await socket.send_json(message)

        self._run(send_all())

    def _run(self, work: Coroutine[Any, Any, T]) -> T | None:
        if self._loop is None:  # nobody has connected yet
            work.close()
            return None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def _app(self) -> FastAPI:
        app = FastAPI(lifespan=self._lifespan)
        if self.shelf is not None:
            self._add_studio(app, self.shelf)
        else:

            @app.get("/api/events")
            def no_events() -> Response:
                return Response(status_code=204)  # tells an EventSource not to come again

            @app.get("/api/edits/options")
            def options() -> dict[str, Any]:
                return {"available": False, "reason": "nothing is installed"}

        @app.get("/api/camera")
        def camera() -> dict[str, Any]:
            return self.camera

        @app.post("/api/camera", status_code=201)
        def begin_camera(wish: dict[str, Any]) -> dict[str, Any]:
            self.camera = CameraInfo(
                state="on", camera="visavis", microphone="visavis microphone", size=(640, 360), session=wish["session"],
                delay_ms=280.0, least_delay_ms=200.0, remarks=["Zoom does not see it."],
            ).model_dump()  # fmt: skip
            return self.camera

        @app.patch("/api/camera")
        def change_camera(change: dict[str, Any]) -> dict[str, Any]:
            self.camera_changes.append(change)
            self.camera |= {"privacy": change.get("privacy", self.camera["privacy"])}
            if "delay_ms" in change:
                self.camera |= {"delay_ms": change["delay_ms"] or 280.0, "holds_delay": change["delay_ms"] is not None}
            return self.camera

        @app.delete("/api/camera")
        def end_camera() -> dict[str, Any]:
            self.camera = CameraInfo(state="off").model_dump()
            return self.camera

        @app.post("/api/recordings", status_code=201)
        def record(wish: dict[str, str]) -> dict[str, Any]:
            if self.recording_refusal is not None:
                raise HTTPException(507, self.recording_refusal)
            self.recording = {"id": "r1", "session": wish["session"], "name": "take.mp4", "state": "running", "seconds": 0.0,
                              "n_bytes": 0, "reason": None, "file": None}  # fmt: skip
            return self.recording

        @app.get("/api/recordings/r1")
        def recording() -> dict[str, Any]:
            return self.recording

        @app.delete("/api/recordings/r1")
        def stop_recording() -> dict[str, Any]:
            self.recording |= {"state": "ended", "n_bytes": 2_500_000, "file": "api/recordings/r1/file"}
            return self.recording

        @app.get("/api/recordings/r1/file")
        def recording_file() -> Response:
            return Response(b"a film", media_type="video/mp4")

        @app.get("/api/avatars")
        def avatars() -> dict[str, Any]:
            if self.mode == "unauthorised":
                raise HTTPException(401)
            return {"avatars": self._offered(), "default_avatar": self._offered()[0]["name"]}

        @app.middleware("http")
        async def forbid_inline_code(request: Request, call_next: RequestResponseEndpoint) -> Response:
            response = await call_next(request)
            response.headers["Content-Security-Policy"] = (
                "default-src 'self'; script-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:"
            )
            return response

        @app.websocket("/ws")
        async def ws(socket: WebSocket) -> None:
            self.connections += 1
            if self.mode == "unauthorised":
                return  # refused before it is accepted: the browser sees HTTP 403
            await socket.accept()
            self._sockets.add(socket)
            peer = RTCPeerConnection()
            stats = asyncio.create_task(self._send_stats(socket))
            try:
                await self._serve(socket, peer)
            except (WebSocketDisconnect, RuntimeError):
                pass  # the page has gone, or drop() closed the socket under a pending receive
            finally:
                self._sockets.discard(socket)
                stats.cancel()
                await peer.close()

        app.mount("/", StaticFiles(directory=PAGE_DIR, html=True))
        return app

    def _add_studio(self, app: FastAPI, shelf: Path) -> None:
        first = next(iter(sorted(shelf.glob("*.avatar"))))
        self.library = AvatarLibrary(str(first), shelf)
        self._feed = ShelfFeed(self.library)
        self.edits = EditJobs(shelf, self.library, self._feed.announce, command=(sys.executable, scripted_edit.__file__))
        self.backgrounds = Backgrounds()

        def anyone(_: Request) -> None:
            """No token is wanted."""

        add_studio(app, Access(ServerSettings()), self.library, self.edits, self.backgrounds, self._feed, anyone)

        @app.get("/api/avatars/{name}/poster.jpg")
        def poster(name: str) -> Response:
            picture = read_poster(self.library.path(name))
            assert picture is not None
            return Response(encode_picture(picture, "mjpeg"), media_type="image/jpeg")

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        if self._feed is None:
            yield
            return
        self.edits.start()
        self._feed.start()
        yield
        await self._feed.aclose()
        await self.edits.aclose()

    async def _serve(self, socket: WebSocket, peer: RTCPeerConnection) -> None:
        offered = self._offered()
        first = offered[0]["name"]
        state = live_state(first) | {"follow": not_followed(self.follow_reason)}
        hello = {"type": "hello", "version": "test", "avatars": offered, "default_avatar": first, "size": PICTURE_PX, "fps": FPS}
        await socket.send_json({**hello, "busy": self.mode == "busy", "ice_servers": self.ice_servers})
        while True:
            message = await socket.receive_json()
            self.received.append(message)
            if message["type"] == "offer" and self.mode == "bad_sdp":
                await socket.send_json({"type": "error", "code": "bad_sdp", "message": "no codec in common"})
            elif message["type"] == "offer" and self.mode == "no_ports":
                await socket.send_json({"type": "error", "code": "no_candidates", "message": "no free UDP port"})
            elif message["type"] == "offer":
                state["avatar"] = message["avatar"] or first
                await socket.send_json({"type": "answer", "sdp": await self._answer(peer, message["sdp"]), "session": "s1",
                                        "latency_ms": PIPELINE_LATENCY_MS, "size": PICTURE_PX})  # fmt: skip
                await socket.send_json(state)
            elif message["type"] == "set":
                kept = ("voice", "avatar", "omega", "view", "background", "fade", "emotion", "emotion_auto")
                state |= {key: message[key] for key in kept if key in message}
                if "follow" in message:
                    follows = message["follow"] and self.follow_reason is None
                    state["follow"] = {"on": True, "status": "following", "reason": None} if follows else not_followed(self.follow_reason)
                await socket.send_json(state)
            elif message["type"] == "ping":
                if not self.is_mute:
                    await socket.send_json({"type": "pong", "t": message["t"]})
            elif message["type"] == "bye":
                return

    async def _answer(self, peer: RTCPeerConnection, sdp: str) -> str:
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        for transceiver in peer.getTransceivers():
            if transceiver.kind == "audio":
                transceiver.sender.replaceTrack(ToneTrack())
                transceiver.direction = "sendrecv"
            elif self.mode != "no_pictures":
                transceiver.sender.replaceTrack(PictureTrack(self.picture))
                transceiver.direction = "sendrecv"  # a page may send its camera
        await peer.setLocalDescription(await peer.createAnswer())
        answer = str(peer.localDescription.sdp)
        # With another password than this side has, nothing that the page sends is answered.
        return re.sub(r"a=ice-pwd:\S+", "a=ice-pwd:" + 24 * "x", answer) if self.mode == "no_way" else answer

    async def _send_stats(self, socket: WebSocket) -> None:
        while True:
            await asyncio.sleep(1)
            if self.is_mute:
                continue
            figures = {"fps": float(FPS), "late_percent": 0.0, "latency_ms": PIPELINE_LATENCY_MS, "queue": 1, "render_ms": 9.0}
            await socket.send_json({"type": "stats", **figures, "audio_level": 0.1})
