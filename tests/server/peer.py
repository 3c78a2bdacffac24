"""A client of the live server made of `websockets` and aiortc: what the page does, without a browser."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from websockets.asyncio.client import ClientConnection, connect

RATE_HZ = 48_000
PACKET = 960
PATIENCE_S = 30.0

Sound = Callable[[int], np.ndarray]
"""From the index of a packet to its 960 samples, int16."""


def silence(_: int) -> np.ndarray:
    return np.zeros(PACKET, np.int16)


def bursts(packet: int) -> np.ndarray:
    """0.3 s of a 400 Hz tone in each second."""
    samples = np.arange(packet * PACKET, (packet + 1) * PACKET)
    tone = 12_000 * np.sin(2 * np.pi * 400 * samples / RATE_HZ)
    return np.where(samples % RATE_HZ < 0.3 * RATE_HZ, tone, 0).astype(np.int16)


class MicrophoneTrack(MediaStreamTrack):
    kind = "audio"

    def __init__(self, sound: Sound) -> None:
        super().__init__()
        self._sound, self._packet, self.start_s = sound, 0, 0.0
        self.pause = asyncio.Event()
        self.pause.set()

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        if self._packet == 0:
            self.start_s = loop.time()
        await asyncio.sleep(max(0.0, self.start_s + 0.02 * self._packet - loop.time()))
        await self.pause.wait()
        frame = av.AudioFrame.from_ndarray(self._sound(self._packet)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._packet * PACKET, fractions.Fraction(1, RATE_HZ)
        self._packet += 1
        return frame


class Peer:
    """One socket and its connection. Everything received is kept with its time of arrival."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.connection: RTCPeerConnection | None = None
        self.messages: list[dict[str, Any]] = []
        self.pictures: list[tuple[float, int]] = []
        """Arrival, s, and time stamp at 90 kHz."""
        self.picture: av.VideoFrame | None = None
        """The newest."""
        self.voice: list[tuple[float, np.ndarray]] = []
        self.channel_messages: list[dict[str, Any]] = []
        self._arrived = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._read())]

    async def _read(self) -> None:
        async for text in self.socket:
            async with self._arrived:
                self.messages.append(json.loads(text))
                self._arrived.notify_all()

    async def wait_for(self, kind: str, after: int = 0, **fields: Any) -> dict[str, Any]:
        """The first message of a type (with the given fields) from index `after` on."""

        def found() -> list[dict[str, Any]]:
            return [m for m in self.messages[after:] if m["type"] == kind and all(m.get(k) == v for k, v in fields.items())]

        async with self._arrived:
            try:
                await asyncio.wait_for(self._arrived.wait_for(lambda: bool(found())), PATIENCE_S)
            except asyncio.TimeoutError:
                raise AssertionError(f"no {kind} {fields} in {self.messages}") from None
        return found()[0]

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def offer(self, sound: Sound = silence, channel: bool = False, **more: Any) -> None:
        """Send an offer; the answer is awaited by `connect_media`."""
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = MicrophoneTrack(sound)
        self.connection.addTrack(self.microphone)
        self.connection.addTransceiver("video", direction="recvonly")
        self.connection.on("track", lambda track: self._tasks.append(asyncio.create_task(self._collect(track))))
        if channel:
            self.channel = self.connection.createDataChannel("control")
            self.channel.on("message", lambda text: self.channel_messages.append(json.loads(text)))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self.say(type="offer", sdp=self.connection.localDescription.sdp, **more)

    async def connect_media(self, sound: Sound = silence, channel: bool = False, **more: Any) -> dict[str, Any]:
        """Offer, answer, and the first picture; returns the answer."""
        await self.offer(sound, channel, **more)
        answer = await self.wait_for("answer")
        assert self.connection is not None
        await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await self.until(lambda: bool(self.pictures), "a picture")
        return answer

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s for {what}; messages: {self.messages[-3:]}"
            await asyncio.sleep(0.02)

    async def _collect(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                now_s = time.monotonic()
                if isinstance(frame, av.VideoFrame):
                    assert frame.pts is not None
                    self.pictures.append((now_s, frame.pts))
                    self.picture = frame
                else:
                    assert isinstance(frame, av.AudioFrame)
                    self.voice.append((now_s, frame.to_ndarray().reshape(-1, 2)[:, 0].copy()))

    def corner(self) -> np.ndarray:
        """Mean colour of the newest picture's upper left corner, RGB 0...255."""
        assert self.picture is not None
        return self.picture.to_ndarray(format="rgb24")[:6, :6].reshape(-1, 3).mean(0)

    async def vanish(self) -> None:
        """Drop the socket without a goodbye, as a closed tab does."""
        self.socket.transport.abort()
        await self.aclose()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.connection is not None:
            await self.connection.close()
        await self.socket.close()


@contextlib.asynccontextmanager
async def join(url: str, **options: Any) -> AsyncIterator[Peer]:
    """A peer that has said nothing yet."""
    async with connect(url, **options) as socket:
        peer = Peer(socket)
        try:
            yield peer
        finally:
            await peer.aclose()
