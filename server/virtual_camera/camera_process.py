"""The virtual camera's process as the media process sees it: media go in and never wait, news come out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from server.virtual_camera.messages import CameraFailed, CameraReady, CameraReport
from server.worker_messages import Unpacker, pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.media import Media
    from server.virtual_camera.messages import CameraOptions, ToCamera

logger = logging.getLogger(__name__)

PROGRAM_FOLDER = Path(__file__).resolve().parents[2]
MAX_UNSENT_BYTES = 4 << 20
"""Media that wait for the process; what comes beyond is left out. It takes all at once, unless the machine stalls."""
STALL_S = 5.0
"""A process that takes nothing for so long hangs and is ended."""
OPEN_TIMEOUT_S = 15.0
END_TIMEOUT_S = 2.0
RECEIVE_BYTES = 1 << 16


class CameraProcess:
    """One process, from `run` to its end."""

    def __init__(self, options: CameraOptions, on_report: Callable[[CameraReport], None]) -> None:
        """`on_report` is called once a second."""
        self._options, self._on_report = options, on_report
        self._writer: asyncio.StreamWriter | None = None
        self._full_since_s: float | None = None
        self._hangs = asyncio.Event()
        self._finishing = asyncio.Event()
        self.opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The camera's name, when both devices are open; cancelled where they never are."""
        self.dropped = 0
        """Pictures and packets left out because the process was slow."""

    def put(self, media: Media) -> None:
        """See `Sink.put`; nothing happens before the devices are open."""
        if self._writer is None or not self.opened.done():
            return
        if self._writer.transport.get_write_buffer_size() < MAX_UNSENT_BYTES:
            self._full_since_s = None
            self._writer.write(pack(media))
            return
        self.dropped += 1
        now_s = asyncio.get_running_loop().time()
        if self._full_since_s is None:
            self._full_since_s = now_s
        elif now_s - self._full_since_s > STALL_S:
            self._hangs.set()

    def tell(self, message: ToCamera) -> None:
        """In its place among the media; nothing happens while there is no process."""
        if self._writer is not None:
            self._writer.write(pack(message))

    def finish(self) -> None:
        """Have `run` return."""
        self._finishing.set()

    async def run(self) -> str | None:
        """Start the process and serve it to its end: why it ended, or None after `finish`. Cancelled, it ends the process."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        paths = [str(PROGRAM_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "server.virtual_camera.worker", str(theirs.fileno())),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                )
            except OSError as error:
                ours.close()
                self.opened.cancel()
                return f"the virtual camera's process cannot be started: {error.strerror}"
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(pack(self._options))
        parts = [asyncio.create_task(part) for part in (self._listen(reader), self._watch(), self._wait_to_finish())]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            return next(part for part in parts if part in done).result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self.opened.cancel()
            self._writer.transport.abort()
            self._writer = None
            await _end(process)

    async def _listen(self, reader: asyncio.StreamReader) -> str:
        unpacker = Unpacker()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(RECEIVE_BYTES):
                for message in unpacker.feed(data):
                    if isinstance(message, CameraFailed):
                        return message.message
                    if isinstance(message, CameraReady):
                        self.opened.set_result(message.camera)
                    elif isinstance(message, CameraReport):
                        self._on_report(message)
        return "the virtual camera's process ended unexpectedly"

    async def _watch(self) -> str:
        """Returns when it hangs."""
        await asyncio.wait({self.opened}, timeout=OPEN_TIMEOUT_S)
        if not self.opened.done():
            return f"the virtual camera did not open within {OPEN_TIMEOUT_S:g} s"
        await self._hangs.wait()
        return f"the virtual camera took nothing for {STALL_S:g} s"

    async def _wait_to_finish(self) -> None:
        await self._finishing.wait()


async def _end(process: asyncio.subprocess.Process) -> None:
    """It ends by itself, as its socket has ended; otherwise it is killed."""
    try:
        await asyncio.wait_for(process.wait(), END_TIMEOUT_S)
    except asyncio.TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
