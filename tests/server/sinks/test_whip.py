from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from fastapi import FastAPI, Request, Response

from renderer.errors import BadInput
from server.sinks.fan_out import FanOut
from server.sinks.publication import Publication, Publications, shown_address
from server.sinks.whip_client import WhipTarget
from tests.server.pretended_media import flashes_and_beeps

PATIENCE_S = 30.0
TOKEN = "s3cret"


class MediaServer:
    """Takes publications as it is told to, and counts what comes."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.status = 201
        self.tokens: list[str | None] = []
        self.connections: list[RTCPeerConnection] = []
        self.frames = {"video": 0, "audio": 0}
        self.deleted: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        app = FastAPI()

        @app.post("/redirected")
        async def redirect() -> Response:
            return Response(status_code=307, headers={"Location": "/room"})

        @app.post("/room")
        async def take(request: Request) -> Response:
            self.tokens.append(request.headers.get("authorization"))
            if self.status != 201:
                return Response("not\ntoday", self.status)
            return Response(await self._answer((await request.body()).decode()), 201, {"Location": f"/session/{len(self.connections)}"})

        @app.delete("/session/{name}")
        async def end(name: str) -> Response:
            self.deleted.append(name)
            return Response()

        self.app = app

    async def _answer(self, offer: str) -> str:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connections.append(connection)
        connection.on("track", self._take)
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return str(connection.localDescription.sdp)

    def _take(self, track: Any) -> None:
        async def count() -> None:
            with contextlib.suppress(MediaStreamError):
                while True:
                    await track.recv()
                    self.frames[track.kind] += 1

        task = asyncio.create_task(count())
        self._tasks.add(task)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *(connection.close() for connection in self.connections), return_exceptions=True)


@pytest.fixture
async def media_server() -> AsyncIterator[MediaServer]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        media_server = MediaServer(listener.getsockname()[1])
        http = uvicorn.Server(uvicorn.Config(media_server.app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
        # Signals are pytest's.
        http.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
        serving = asyncio.create_task(http.serve(sockets=[listener]))
        yield media_server
        http.should_exit = True
        await serving
        await media_server.aclose()


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s: {what}"
        await asyncio.sleep(0.02)


def publish(media_server: MediaServer, path: str = "room", fan_out: FanOut | None = None) -> Publication:
    publication = Publications().make(f"whip:{media_server.url.replace('://', f'://{TOKEN}@')}/{path}", "session")
    if fan_out is not None:
        fan_out.add(publication)
    publication.start(lambda _: None)
    return publication


async def play(fan_out: FanOut, enough: Callable[[], bool]) -> None:
    """Media at their pace, until it is enough."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for number, media in enumerate(flashes_and_beeps(0, 25 * int(PATIENCE_S))):
        if number % 3 == 0:
            if enough():
                return
            await asyncio.sleep(max(0.0, start_s + number / 75 - loop.time()))
        fan_out.put(media)
    raise AssertionError(f"not enough within {PATIENCE_S:g} s")


async def test_whip_publication_follows_redirections_and_takes_leave(media_server: MediaServer) -> None:
    fan_out = FanOut()
    publication = publish(media_server, "redirected", fan_out)
    await play(fan_out, lambda: media_server.frames["video"] >= 25 and media_server.frames["audio"] >= 50)
    assert (publication.info.state, publication.info.reason) == ("live", None)
    assert media_server.tokens == [f"Bearer {TOKEN}"]
    await fan_out.aclose()
    assert publication.info.state == "ended"
    assert media_server.deleted == ["1"]
    await until(lambda: media_server.connections[0].connectionState == "closed", "the media server sees the end")


async def test_whip_publication_comes_back_after_a_loss(media_server: MediaServer) -> None:
    media_server.status = 503
    publication = publish(media_server)
    await until(lambda: publication.info.state == "waiting", "the server is busy")
    assert publication.info.reason == "the media server answered 503: not today"
    media_server.status = 201
    await until(lambda: publication.info.state == "live", "the next try")
    await media_server.connections[0].close()
    await until(lambda: len(media_server.connections) == 2 and publication.info.state == "live", "a new connection")
    await publication.aclose()
    assert media_server.deleted == ["1", "2"]


@pytest.mark.parametrize("status", [401, 404, 422])
async def test_whip_publication_gives_up_where_it_is_refused(media_server: MediaServer, status: int) -> None:
    media_server.status = status
    publication = publish(media_server)
    await until(lambda: publication.info.state == "failed", "the refusal")
    assert publication.info.reason == f"the media server answered {status}: not today"
    await publication.aclose()
    assert len(media_server.tokens) == 1


async def test_whip_publication_says_that_nobody_answers() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    publication = Publications().make(f"whip:http://127.0.0.1:{port}/x", "session")
    publication.start(lambda _: None)
    await until(lambda: publication.info.state == "waiting", "the failure")
    assert publication.info.reason is not None and f"127.0.0.1:{port} does not answer" in publication.info.reason
    await publication.aclose()


def test_whip_target_keeps_its_token_to_itself() -> None:
    target = WhipTarget.parse("whip:https://secret@media.example.org/live?room=1")
    assert (target.url, target.token) == ("https://media.example.org/live?room=1", "secret")
    assert "secret" not in str(target) and "secret" not in shown_address("whip:https://secret@media.example.org/live/key")
    for text in ("whip:", "whip:ftp://a/b", "whip:https://", "whip:ftp://secret@a", "whip:http://a b/", "whip:http://a:99999/"):
        with pytest.raises(BadInput, match="is possible") as error:
            WhipTarget.parse(text)
        assert "secret" not in str(error.value)
