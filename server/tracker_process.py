"""The face tracker as the media process sees it: pictures go in and never wait, what was seen comes out.

One process for all who follow, started for the first and ended with the last. Of each follower only the newest picture waits; the tracker
has one picture at a time, the followers take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from server.tracker_messages import ToTrack, Tracked, TrackerFailed, TrackerReady
from server.worker_messages import Unpacker, pack

if TYPE_CHECKING:
    from renderer.head_guide import SeenFace
    from server.camera_picture import CameraPicture

logger = logging.getLogger(__name__)

PROGRAM_FOLDER = Path(__file__).resolve().parent.parent
RECEIVE_BYTES = 1 << 16


class FaceListener(Protocol):
    """Who follows; called in the event loop."""

    def tracked(self, face: SeenFace | None, sample: int) -> None:
        """In the picture that belongs to `sample`."""

    def tracking_failed(self, message: str) -> None:
        """There is no tracker any more, for the reason given in one line."""


class TrackerProcess:
    """All methods but `aclose` return at once; `aclose` may be called twice."""

    def __init__(self) -> None:
        self._waiting: dict[FaceListener, tuple[CameraPicture, int] | None] = {}
        """Newest picture of each follower, and its sample; in the order of their turns."""
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._work = asyncio.Event()
        self.track_ms: float | None = None
        """What the last picture took."""
        self.pictures = 0
        """Looked at so far."""

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def follow(self, listener: FaceListener) -> None:
        """Begin; starts the process where it does not run."""
        self._waiting.setdefault(listener, None)
        if not self.is_running:
            self._task = asyncio.create_task(self._run())

    def leave(self, listener: FaceListener) -> None:
        """Nothing more is heard. The last one ends the process."""
        self._waiting.pop(listener, None)
        if not self._waiting and self._task is not None:
            self._task.cancel()
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
            self._task = None

    def put(self, listener: FaceListener, picture: CameraPicture, sample: int) -> None:
        """Take the newest picture; the one that still waits is left out."""
        if listener in self._waiting:
            self._waiting[listener] = picture, sample
            self._work.set()

    async def aclose(self) -> None:
        """End the process and wait for it."""
        for listener in list(self._waiting):
            self.leave(listener)
        await asyncio.gather(*self._ending, return_exceptions=True)

    # ---- the process

    async def _run(self) -> None:
        message = "the face tracker ended unexpectedly"
        try:
            message = await self._serve() or message
        except OSError as error:
            message = f"the face tracker cannot be started: {error.strerror}"
        except Exception:
            logger.exception("the face tracker's keeper failed")
        logger.warning("%s", message)
        listeners, self._waiting = list(self._waiting), {}
        for listener in listeners:
            listener.tracking_failed(message)

    async def _serve(self) -> str | None:
        """Until the process ends: its own last words, if any."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            command = [sys.executable, "-m", "server.tracker_worker", str(theirs.fileno())]
            paths = [str(PROGRAM_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
            process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # MediaPipe's native parts write there as they like, and this server's log is for the user.
                stderr=None if logger.isEnabledFor(logging.DEBUG) else subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            return await self._exchange(reader, writer)
        finally:
            if writer is not None:
                writer.transport.abort()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
        unpacker = Unpacker()
        asked: tuple[FaceListener, int] | None = None
        is_ready = False
        receiving = asyncio.create_task(reader.read(RECEIVE_BYTES))
        try:
            while True:
                if is_ready and asked is None and (turn := self._next()) is not None:
                    listener, picture, sample = turn
                    asked = listener, sample
                    writer.write(pack(ToTrack(picture)))
                if is_ready and asked is None:
                    working = asyncio.create_task(self._work.wait())
                    try:
                        await asyncio.wait({receiving, working}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        working.cancel()
                else:
                    await asyncio.wait({receiving})
                if not receiving.done():
                    continue
                if not (data := receiving.result()):
                    return None
                for message in unpacker.feed(data):
                    if isinstance(message, TrackerFailed):
                        return message.message
                    if isinstance(message, TrackerReady):
                        is_ready = True
                    elif isinstance(message, Tracked) and asked is not None:
                        self._tell(message, *asked)
                        asked = None
                receiving = asyncio.create_task(reader.read(RECEIVE_BYTES))
        except ConnectionError:
            return None
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    def _next(self) -> tuple[FaceListener, CameraPicture, int] | None:
        """Whose turn it is, and the picture; None where none waits."""
        for listener, newest in self._waiting.items():
            if newest is not None:
                # To the end of the line.
                del self._waiting[listener]
                self._waiting[listener] = None
                return listener, *newest
        self._work.clear()
        return None

    def _tell(self, message: Tracked, listener: FaceListener, sample: int) -> None:
        self.track_ms = message.track_ms
        self.pictures += 1
        if listener in self._waiting:
            listener.tracked(message.face, sample)
