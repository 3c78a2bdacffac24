"""The render worker as the media process sees it: the one place where processes meet the event loop.

Messages arrive through the loop's own watching of the socket; nothing polls and nothing blocks. What goes to the worker is bounded:
when more than `MAX_UNSENT_BYTES` wait, sound is dropped (the worker hears silence there) and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from renderer.errors import VisavisError
from server.frame_ring import FrameRing, RingLayout
from server.worker_messages import (
    AvatarChosen,
    AvatarRefused,
    CloseSession,
    FrameReady,
    FromWorker,
    Ready,
    SessionFailed,
    SessionOpened,
    Sound,
    StartFailed,
    ToWorker,
    Unpacker,
    WorkerOptions,
    pack,
)

if TYPE_CHECKING:
    from server.worker_messages import OpenSession

logger = logging.getLogger(__name__)

MAX_UNSENT_BYTES = 1 << 20
"""About ten seconds of one session's sound."""
PROGRAM_FOLDER = Path(__file__).resolve().parent.parent
STOP_TIMEOUT_S = 3.0
OPEN_TIMEOUT_S = 20.0


class FrameListener(Protocol):
    """What a session does with the worker's news; called in the event loop."""

    def frame_ready(self, message: FrameReady) -> None: ...
    def avatar_chosen(self, message: AvatarChosen) -> None: ...
    def avatar_refused(self, message: AvatarRefused) -> None: ...
    def render_failed(self, message: str) -> None: ...


class RenderProcess(asyncio.Protocol):
    """Starts, feeds and stops the worker."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self.ring = FrameRing.create(RingLayout(options.regions, options.max_pixels))
        self._unpacker = Unpacker()
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[Ready] | None = None
        self._opened: dict[int, asyncio.Future[None]] = {}
        self._listeners: dict[int, FrameListener] = {}
        self._free_regions = list(range(options.regions))
        self._region_of: dict[int, int] = {}
        self._last_session = 0
        self._stopping = False
        self.ended = asyncio.Event()
        """Set when the worker is gone, asked for or not."""
        self.dropped_sound_bytes = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._transport is not None and not self.ended.is_set()

    async def start(self) -> Ready:
        """Start the worker; returns when it has loaded and measured everything. Raises VisavisError with its reason."""
        await self.spawn()
        return await self.wait_ready()

    async def wait_ready(self) -> Ready:
        """See `start`."""
        assert self._ready is not None, "spawn() comes first"
        return await self._ready

    async def spawn(self) -> None:
        """Start the worker's process; returns at once. Raises VisavisError where the system allows no more processes."""
        try:
            await self._spawn()
        except OSError as error:
            raise VisavisError(f"the render worker cannot be started: {error.strerror}") from error

    async def _spawn(self) -> None:
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            descriptors = (theirs.fileno(), self.ring.descriptor)
            command = [sys.executable, "-m", "server.render_worker", *map(str, descriptors)]
            # The worker is this very program, wherever it was started from.
            paths = [str(PROGRAM_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
            self._process = await asyncio.create_subprocess_exec(
                *command, pass_fds=descriptors, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
            )
        transport, _ = await loop.create_connection(lambda: self, sock=ours)
        self._transport = transport
        transport.write(pack(self._options))

    async def open_session(self, opening: OpenSession, listener: FrameListener) -> None:
        """Returns when the worker is ready for the session's sound. Raises VisavisError with its reason."""
        if not self.is_running:
            raise VisavisError("the render worker is not running")
        opened = asyncio.get_running_loop().create_future()
        self._opened[opening.session], self._listeners[opening.session] = opened, listener
        self.send(opening)
        try:
            await asyncio.wait_for(opened, OPEN_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            raise VisavisError(f"the avatar was not loaded within {OPEN_TIMEOUT_S:g} s") from error
        finally:
            self._opened.pop(opening.session, None)

    def reserve(self) -> tuple[int, int]:
        """A session number that was never used, and a region of the ring. Raises VisavisError when none is free."""
        if not self._free_regions:
            raise VisavisError(f"all {self._options.regions} places are taken")
        self._last_session += 1
        region = self._free_regions.pop(0)
        self._region_of[self._last_session] = region
        return self._last_session, region

    def release(self, session: int) -> None:
        """The session is over; nothing more is heard of it."""
        self._listeners.pop(session, None)
        region = self._region_of.pop(session, None)
        if region is None:
            return
        # Last in line, so that a picture still on its way from the old session cannot meet a new one.
        self._free_regions.append(region)
        if self.is_running:
            self.send(CloseSession(session))

    def send(self, message: ToWorker) -> None:
        if self._transport is None or self.ended.is_set():
            return
        data = pack(message)
        if isinstance(message, Sound) and self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.dropped_sound_bytes += len(message.pcm)
            return
        self._transport.write(data)

    async def stop(self) -> None:
        """End the worker and give the shared memory back; may be called twice."""
        if self._stopping:
            return
        self._stopping = True
        if self._transport is not None:
            self._transport.close()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
            except asyncio.TimeoutError:
                self._process.kill()
                await self._process.wait()
        self.ring.close()

    # ---- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            try:
                self._act(cast("FromWorker", message))
            except Exception:
                # A session's fault must not close the worker's connection, which all sessions share.
                logger.exception("a message of the render worker failed")

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()
        reason = "the render worker ended"
        assert self._ready is not None
        if not self._ready.done():
            self._ready.set_exception(VisavisError(f"{reason} before it was ready"))
        elif not self._stopping and self._ready.exception() is None:
            logger.error("%s unexpectedly", reason)
        for opened in self._opened.values():
            if not opened.done():
                opened.set_exception(VisavisError(reason))
        for listener in list(self._listeners.values()):
            listener.render_failed(reason)

    def _act(self, message: FromWorker) -> None:
        assert self._ready is not None
        if isinstance(message, Ready):
            self._ready.set_result(message)
            return
        if isinstance(message, StartFailed):
            self._ready.set_exception(VisavisError(message.message))
            return
        opened, listener = self._opened.get(message.session), self._listeners.get(message.session)
        if isinstance(message, SessionOpened):
            if opened is not None and not opened.done():
                opened.set_result(None)
        elif isinstance(message, SessionFailed) and opened is not None and not opened.done():
            opened.set_exception(VisavisError(message.message))
        elif listener is None:
            return
        elif isinstance(message, FrameReady):
            listener.frame_ready(message)
        elif isinstance(message, AvatarChosen):
            listener.avatar_chosen(message)
        elif isinstance(message, AvatarRefused):
            listener.avatar_refused(message)
        else:
            listener.render_failed(message.message)
