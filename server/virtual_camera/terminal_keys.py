"""Keys in the terminal that the server was started in, while its virtual camera is on.

p privacy, + and − the delay, a the automatic one, f the avatar follows this machine's camera, or no more.

Only where the standard input is a terminal; it is read key by key then, without echo, and put back as it was at the end. Ctrl-C works as
ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING

from renderer.errors import VisavisError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.virtual_camera.call import Call
    from server.virtual_camera.virtual_camera import CameraInfo

logger = logging.getLogger(__name__)

HELP = "keys: p privacy (a still, and silence), + and - the delay, a the automatic delay, f follow your camera"
STEP_MS = 20.0
KEYS_BYTES = 64


class TerminalKeys:
    """Acts on keys of one call; `press` is what a terminal calls."""

    def __init__(self, call: Call, show: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)) -> None:
        """`show` prints a line."""
        self._call, self._show = call, show
        self._tasks: set[asyncio.Task[None]] = set()

    def press(self, key: str) -> None:
        """Returns at once; a key that means nothing here does nothing."""
        if key.lower() not in ("p", "+", "=", "-", "a", "f"):
            return
        task = asyncio.create_task(self._act(key.lower()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, key: str) -> None:
        info = self._call.info
        try:
            if key == "p":
                info = await self._call.change(privacy=not info.privacy, delay_s=None, changes_delay=False)
            elif key == "f":
                await self._call.follow(not self._call.follows)
                self._show(
                    "virtual camera: the avatar follows your camera" if self._call.follows else "virtual camera: it no longer follows you"
                )
                return
            elif key == "a":
                info = await self._call.change(privacy=None, delay_s=None, changes_delay=True)
            elif info.delay_ms is not None:
                wished_ms = round((info.delay_ms + (STEP_MS if key in "+=" else -STEP_MS)) / STEP_MS) * STEP_MS
                await self._call.change(privacy=None, delay_s=wished_ms / 1000, changes_delay=True)
                self._show(f"virtual camera: delay {wished_ms:g} ms")
                return
        except VisavisError as error:
            self._show(f"virtual camera: {error}")
            return
        self._show(describe(info))


def describe(info: CameraInfo) -> str:
    """The state in one line."""
    if info.state == "off":
        return "virtual camera: off"
    parts = [f"virtual camera {info.camera!r} and microphone {info.microphone!r}", info.state]
    if info.delay_ms is not None:
        parts.append(f"delay {info.delay_ms:.0f} ms ({'as asked for' if info.holds_delay else 'automatic'})")
    parts.append("privacy: a still is shown, nothing is heard" if info.privacy else "live")
    return " · ".join(parts)


@contextlib.contextmanager
def reading_keys(press: Callable[[str], None]) -> Iterator[bool]:
    """Hands every key to `press`, in the event loop that runs; yields whether there is a terminal."""
    if not _has_terminal():
        yield False
        return
    import termios
    import tty

    descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)
    # Signals and output stay as they are; only lines and echo go.
    tty.setcbreak(descriptor, termios.TCSADRAIN)

    def read() -> None:
        data = os.read(descriptor, KEYS_BYTES)
        if not data:
            loop.remove_reader(descriptor)
        for key in data.decode(errors="ignore"):
            press(key)

    loop.add_reader(descriptor, read)
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _has_terminal() -> bool:
    """A server in the background of a shell must leave the terminal alone, or it would be stopped."""
    return sys.stdin is not None and sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
