"""An encoder's process as a sink sees it: media go in and never wait, news come out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renderer.types import FPS
from server.media import PACKETS_A_SECOND
from server.sinks.encoder_messages import (
    EncodedChunk,
    EncoderEnded,
    EncoderFailed,
    EncoderProgress,
    EncoderReady,
    Finish,
)
from server.sinks.sink import MediaQueue
from server.worker_messages import Unpacker, pack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from server.media import Media
    from server.sinks.encoder_messages import EncoderOptions

logger = logging.getLogger(__name__)

PROGRAM_FOLDER = Path(__file__).resolve().parents[2]
MAX_WAITING_S = 3
"""Media that wait for an encoder that is slow; beyond that the oldest are left out."""
STALL_S = 6.0
"""An encoder that takes nothing for so long hangs, in a network as a rule, and is ended."""
FINISH_TIMEOUT_S = 6.0
RECEIVE_BYTES = 1 << 18
MAX_UNSENT_BYTES = 1 << 16
"""asyncio's own mark, from which on `drain` waits."""

End = EncoderEnded | EncoderFailed


class EncoderProcess:
    """One process, from `run` to its end. All its methods but `run` return at once."""

    def __init__(self, options: EncoderOptions, on_chunk: Callable[[bytes], Awaitable[None]] | None = None) -> None:
        """`on_chunk` is awaited with each chunk of a stream without target; while it waits, so does the encoder."""
        self._options, self._on_chunk = options, on_chunk
        self._queue = MediaQueue(MAX_WAITING_S * FPS, MAX_WAITING_S * PACKETS_A_SECOND)
        self.ready = asyncio.Event()
        """It takes media; what comes before is left out."""
        self._process: asyncio.subprocess.Process | None = None
        self.progress = EncoderProgress(0.0, 0, 0)

    @property
    def target(self) -> str:
        return self._options.target

    @property
    def dropped_pictures(self) -> int:
        """That were left out because the encoder was slow."""
        return self._queue.dropped_pictures

    def put(self, media: Media) -> None:
        """See `Sink.put`."""
        if self.ready.is_set():
            self._queue.put(media)

    def finish(self) -> None:
        """What waits is still encoded; `run` returns when all is written."""
        self._queue.close()

    async def run(self) -> End:
        """Start the process and serve it to its end. Cancelled, it kills the process."""
        try:
            reader, writer = await self._spawn()
        except OSError as error:
            return EncoderFailed(f"the encoder cannot be started: {error.strerror}")
        writer.write(pack(self._options))
        feeder = asyncio.create_task(self._feed(writer))
        listener = asyncio.create_task(self._listen(reader))
        try:
            await asyncio.wait({feeder, listener}, return_when=asyncio.FIRST_COMPLETED)
            if not listener.done():
                # All is handed over, or it hangs.
                if feeder.result():
                    with contextlib.suppress(asyncio.TimeoutError):
                        return await asyncio.wait_for(asyncio.shield(listener), FINISH_TIMEOUT_S)
                return EncoderFailed(f"nothing was taken for {STALL_S:g} s")
            return await listener
        finally:
            for task in (feeder, listener):
                task.cancel()
            await asyncio.gather(feeder, listener, return_exceptions=True)
            writer.transport.abort()
            self._kill()
            if self._process is not None:
                await self._process.wait()

    async def _spawn(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            command = [sys.executable, "-m", "server.sinks.encoder_worker", str(theirs.fileno())]
            paths = [str(PROGRAM_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
            # A session of its own, so that it ends together with what it starts and not with the terminal.
            self._process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        return await asyncio.open_connection(sock=ours)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _feed(self, writer: asyncio.StreamWriter) -> bool:
        """True when all was handed over or nobody is there any more, False when the encoder hangs."""
        try:
            while (media := await self._queue.get()) is not None:
                writer.write(pack(media))
                if not await _has_taken(writer):
                    return False
            writer.write(pack(Finish()))
            return await _has_taken(writer)
        except ConnectionError:
            # Its last words say why, and come to the listener.
            return True

    async def _listen(self, reader: asyncio.StreamReader) -> End:
        unpacker = Unpacker()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(RECEIVE_BYTES):
                for message in unpacker.feed(data):
                    if isinstance(message, EncoderEnded):
                        self.progress = EncoderProgress(message.seconds, message.pictures, message.n_bytes)
                    if isinstance(message, EncoderEnded | EncoderFailed):
                        return message
                    await self._act(message)
        return EncoderFailed("the encoder ended unexpectedly")

    async def _act(self, message: EncoderReady | EncoderProgress | EncodedChunk) -> None:
        if isinstance(message, EncoderReady):
            self.ready.set()
        elif isinstance(message, EncoderProgress):
            self.progress = message
        elif self._on_chunk is not None:
            await self._on_chunk(message.data)


async def _has_taken(writer: asyncio.StreamWriter) -> bool:
    """Whether there is room for more, at once as a rule."""
    if writer.transport.get_write_buffer_size() < MAX_UNSENT_BYTES and not writer.transport.is_closing():
        return True
    try:
        await asyncio.wait_for(writer.drain(), STALL_S)
    except asyncio.TimeoutError:
        return False
    return True
