"""A WHIP publisher and a WHEP player made of `httpx` and aiortc."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, VideoStreamTrack

from tests.server.peer import MicrophoneTrack, Sound, bursts

if TYPE_CHECKING:
    import httpx
    import numpy as np

PATIENCE_S = 30.0
SDP = {"Content-Type": "application/sdp"}


class WhipClient:
    """One connection, whose pictures and voice are kept with their times of arrival."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.response: httpx.Response | None = None
        self.pictures: list[tuple[float, int]] = []
        """Arrival, s, and time stamp at 90 kHz."""
        self.voice: list[np.ndarray] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", lambda track: self._tasks.append(asyncio.create_task(self._collect(track))))

    @property
    def location(self) -> str:
        assert self.response is not None
        return self.response.headers["location"]

    async def publish(self, address: str = "whip", sound: Sound = bursts, video: bool = False, **options: Any) -> httpx.Response:
        self.connection.addTransceiver(MicrophoneTrack(sound), direction="sendonly")
        if video:
            self.connection.addTransceiver(VideoStreamTrack(), direction="sendonly")
        return await self._offer(address, **options)

    async def play(self, address: str = "whep", kinds: tuple[str, ...] = ("video", "audio"), **options: Any) -> httpx.Response:
        for kind in kinds:
            self.connection.addTransceiver(kind, direction="recvonly")
        return await self._offer(address, **options)

    async def _offer(self, address: str, **options: Any) -> httpx.Response:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        response = await self.http.post(address, content=self.connection.localDescription.sdp, headers=SDP, **options)
        if response.status_code == 201:
            self.response = response
            await self.connection.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        return response

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s for {what}; {self.connection.connectionState}"
            await asyncio.sleep(0.02)

    async def connected(self) -> None:
        await self.until(lambda: self.connection.connectionState == "connected", "the connection")

    async def _collect(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, av.VideoFrame):
                    assert frame.pts is not None
                    self.pictures.append((time.monotonic(), frame.pts))
                else:
                    assert isinstance(frame, av.AudioFrame)
                    self.voice.append(frame.to_ndarray().reshape(-1, 2)[:, 0].copy())

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()
