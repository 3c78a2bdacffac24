"""The WebSocket `/api/feed`, for programs: sound or text in, encoded video out.

Text messages are JSON, one object each; binary messages to the server are sound, those from it the next bytes of one container (see
`server/README.md`). The socket's end is the end of the session, where the socket began it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocketDisconnect

from renderer.errors import BadInput, VisavisError
from server.live_server import NotReady, ServerBusy
from server.messages import Bye, Error, Ping, Say, Set, StopSaying
from server.sinks.encoder_messages import EncoderFailed, EncoderOptions
from server.sinks.encoder_process import EncoderProcess
from server.sinks.formats import CONTAINERS, choose_codecs
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    import av
    from jaxtyping import Int16
    from starlette.websockets import WebSocket

    from server.live_server import LiveServer
    from server.media import Media
    from server.messages import ErrorCode, ServerMessage
    from server.performance import Performance

logger = logging.getLogger(__name__)

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
LIVE_BITS = 2_500_000
MAX_WAITING_MESSAGES = 64
SEND_TIMEOUT_S = 10.0
"""A program that reads nothing for so long is let go."""
CLOSE_POLICY_VIOLATION = 1008


class Begin(BaseModel):
    """First message."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["begin"]
    session: str | None = None
    """A session that runs, to speak in it or to watch it; null: begin one, which ends with the socket."""
    avatar: str | None = None
    size: int | None = None
    rate: int = Field(default=VOICE_RATE_HZ, ge=MIN_RATE_HZ, le=MAX_RATE_HZ)
    """Of the sound that will be sent, Hz."""
    format: Literal["mp4", "mkv", "mpegts"] | None = "mp4"
    """Of what comes back; null: nothing comes back."""


class Begun(BaseModel):
    """Answer to `begin`; from now on media flow."""

    type: Literal["begun"] = "begun"
    session: str
    size: int
    latency_ms: float
    format: str | None
    video: str | None
    """Codec."""
    audio: str | None


FeedMessage = Annotated[Set | Ping | Say | StopSaying | Bye, Field(discriminator="type")]
_FEED_MESSAGE: TypeAdapter[Set | Ping | Say | StopSaying | Bye] = TypeAdapter(FeedMessage)


class ProgramFeed:
    """Serves one socket from its acceptance to its end; a sink of its session."""

    def __init__(self, socket: WebSocket, server: LiveServer) -> None:
        self._socket, self._server = socket, server
        self._outbox: asyncio.Queue[BaseModel] = asyncio.Queue(MAX_WAITING_MESSAGES)
        self._sending = asyncio.Lock()
        self._over = asyncio.Event()
        self._encoder: EncoderProcess | None = None
        self._resampler: av.AudioResampler | None = None
        self._rate_hz = VOICE_RATE_HZ

    async def serve(self) -> None:
        """Returns when the socket is closed."""
        await self._socket.accept()
        performance: Performance | None = None
        begin: Begin | None = None
        stop_listening = None
        tasks: list[asyncio.Task[None]] = []
        try:
            begin = await self._first_message()
            performance = await self._performance(begin)
            begun = self._prepare(begin, performance)
            performance.sinks.add(self)
            tasks = [asyncio.create_task(part) for part in (self._send_all(), self._encode(), self._wait_for_end())]
            await self._wait_for_encoder(tasks)
            self._say(begun)
            self._say(performance.state)
            stop_listening = performance.listen(self._say)
            tasks.append(asyncio.create_task(self._read_all(performance)))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except VisavisError as error:
            await self._refuse(_code(error), str(error))
        except WebSocketDisconnect:
            pass
        finally:
            if stop_listening is not None:
                stop_listening()
            if performance is not None:
                performance.sinks.remove(self)
                if begin is not None and begin.session is None:
                    self._server.close_performance(performance)
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | RuntimeError | asyncio.TimeoutError):
                    logger.error("a program's socket failed", exc_info=result)
            with contextlib.suppress(RuntimeError):
                await self._socket.close()

    # ---- a sink

    def put(self, media: Media) -> None:
        """See `sinks.sink`."""
        if self._encoder is not None:
            self._encoder.put(media)

    async def aclose(self) -> None:
        """The session has ended."""
        self._over.set()

    async def _wait_for_end(self) -> None:
        await self._over.wait()

    async def _encode(self) -> None:
        if self._encoder is None:
            await self._over.wait()
            return
        end = await self._encoder.run()
        if isinstance(end, EncoderFailed):
            await self._refuse("internal", f"the encoder ended: {end.message}")

    async def _wait_for_encoder(self, tasks: list[asyncio.Task[None]]) -> None:
        """So that a program's first sound is in what it gets back."""
        if self._encoder is None:
            return
        ready = asyncio.create_task(self._encoder.ready.wait())
        await asyncio.wait({ready, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()

    async def _send_chunk(self, data: bytes) -> None:
        """While the program does not read, the encoder waits, and then pictures are left out."""
        async with self._sending:
            await asyncio.wait_for(self._socket.send_bytes(data), SEND_TIMEOUT_S)

    # ---- beginning

    async def _first_message(self) -> Begin:
        event = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        try:
            return Begin.model_validate_json(event.get("text") or "")
        except ValidationError as error:
            raise BadInput(f"the first message must be begin: {_in_one_line(error)}") from error

    async def _performance(self, begin: Begin) -> Performance:
        await self._server.wait_ready()
        if begin.session is not None:
            return self._server.performance(begin.session)
        return await self._server.open_performance(begin.avatar, begin.size, lambda _: self._over.set())

    def _prepare(self, begin: Begin, performance: Performance) -> Begun:
        """The encoder, and the way of the sound to 48 kHz. Raises BadInput."""
        self._rate_hz = begin.rate
        if begin.rate != VOICE_RATE_HZ:
            import av

            self._resampler = av.AudioResampler("s16", "mono", VOICE_RATE_HZ)
        video = audio = None
        if begin.format is not None:
            container = CONTAINERS[begin.format]
            video, audio = choose_codecs(container)
            options = EncoderOptions(
                target="", container=container, video_codec=video, audio_codec=audio, is_live=True, max_video_bits=LIVE_BITS
            )
            self._encoder = EncoderProcess(options, self._send_chunk)
        return Begun(
            session=performance.id,
            size=performance.size,
            latency_ms=round(performance.plan.latency_ms, 1),
            format=begin.format,
            video=video,
            audio=audio,
        )

    # ---- messages

    async def _read_all(self, performance: Performance) -> None:
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            if (sound := event.get("bytes")) is not None:
                await self._hear(performance, sound)
                continue
            try:
                message = _FEED_MESSAGE.validate_json(event.get("text") or "")
            except ValidationError as error:
                self._say(Error(code="bad_message", message=_in_one_line(error)))
                continue
            if isinstance(message, Bye):
                return
            if isinstance(message, StopSaying):
                self._resampler = self._fresh_resampler()
            performance.control(message, self._say)

    async def _hear(self, performance: Performance, sound: bytes) -> None:
        """Sound is spoken in its own time; whoever sends it faster waits here, and an interruption must come over HTTP then."""
        if len(sound) % 2:
            self._say(Error(code="bad_message", message=f"sound of {len(sound)} bytes; int16 samples of 2 bytes were expected"))
            return
        await performance.speech.push(self._at_voice_rate(np.frombuffer(sound, "<i2").astype(np.int16)))

    def _at_voice_rate(self, samples: Int16[np.ndarray, " n"]) -> Int16[np.ndarray, " m"]:
        if self._resampler is None or not len(samples):
            return samples
        import av

        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = self._rate_hz
        parts = [piece.to_ndarray()[0] for piece in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    def _fresh_resampler(self) -> av.AudioResampler | None:
        if self._resampler is None:
            return None
        import av

        return av.AudioResampler("s16", "mono", VOICE_RATE_HZ)

    def _say(self, message: ServerMessage | Begun) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self._over.set()

    async def _send_all(self) -> None:
        while True:
            message = await self._outbox.get()
            async with self._sending:
                await asyncio.wait_for(self._socket.send_text(message.model_dump_json()), SEND_TIMEOUT_S)

    async def _refuse(self, code: ErrorCode, words: str) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            async with self._sending:
                await self._socket.send_text(Error(code=code, message=words).model_dump_json())


def _code(error: VisavisError) -> ErrorCode:
    if isinstance(error, ServerBusy | NotReady):
        return "busy"
    return "bad_message" if isinstance(error, BadInput) else "internal"


def _in_one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
