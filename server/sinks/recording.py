"""Recordings: files of what a performance shows and says.

FOLDER/NAME.unfinished.mp4   while it runs; written in fragments, so it plays even if nothing closes it
FOLDER/NAME.mp4              when it is whole, and also when it had to end early
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from renderer.errors import BadInput, VisavisError
from server.sinks.encoder_messages import EncoderFailed, EncoderOptions
from server.sinks.encoder_process import EncoderProcess
from server.sinks.formats import choose_codecs, container_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.media import Media

logger = logging.getLogger(__name__)

FORMATS = ("mp4", "mkv")
UNFINISHED = ".unfinished"
FILE_BITS = 4_000_000
"""A second, where the codec does not go by quality."""
NEEDED_BYTES = 200 << 20
"""Of free disk, for a recording to begin."""
LEFT_BYTES = 50 << 20
"""A recording ends before the disk has less."""
LOOK_PERIOD_S = 0.5
STOP_TIMEOUT_S = 8.0
"""For what waits to be written; an encoder that takes longer is ended, and the file plays up to there."""
MAX_REMEMBERED = 100

RecordingState = Literal["running", "ended", "failed"]


class RecordingRefused(VisavisError):
    """It cannot begin: another one runs."""


class NoRoom(VisavisError):
    """The disk is full."""


class UnknownRecording(VisavisError):
    """There is none of that id."""


class RecordingInfo(BaseModel):
    id: str
    session: str
    name: str
    """Of the file, when it is whole."""
    state: RecordingState
    """`running`, `ended` (whole), or `failed` (it plays up to where it broke off, if there is anything)."""
    seconds: float
    n_bytes: int
    reason: str | None = None
    """Why it ended, where nobody asked for it."""
    file: str | None = None
    """Address of the file, relative to the page, once it has ended."""


@dataclass(frozen=True)
class RecordingLimits:
    """What ends a recording by itself."""

    seconds: float
    n_bytes: int


class Recording:
    """A sink that writes a file, from `run` to its end."""

    def __init__(self, folder: Path, name: str, container: str, session: str, limits: RecordingLimits) -> None:
        """`container`: "mp4" or "mkv". Raises BadInput where PyAV cannot make it."""
        self.id = secrets.token_hex(6)
        self.path = folder / f"{name}.{container}"
        self._session, self._limits = session, limits
        self._state: RecordingState = "running"
        self._reason: str | None = None
        format_name = container_of(container, FORMATS)
        video, audio = choose_codecs(format_name)
        options = EncoderOptions(
            target=str(folder / f"{name}{UNFINISHED}.{container}"),
            container=format_name,
            video_codec=video,
            audio_codec=audio,
            is_live=False,
            max_video_bits=FILE_BITS,
            final=str(self.path),
        )
        self._encoder = EncoderProcess(options)
        self._task: asyncio.Task[None] | None = None

    def start(self, on_end: Callable[[Recording], None]) -> None:
        """`on_end` is called once, when the file is whole or will not become so."""
        self._task = asyncio.create_task(self._run(on_end))

    def put(self, media: Media) -> None:
        """See `Sink.put`."""
        self._encoder.put(media)

    async def stop(self, reason: str | None = None) -> None:
        """End it; returns when the file is whole."""
        if self._state == "running" and self._reason is None:
            self._reason = reason
        self._encoder.finish()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def aclose(self) -> None:
        await self.stop()

    @property
    def info(self) -> RecordingInfo:
        progress = self._encoder.progress
        return RecordingInfo(
            id=self.id,
            session=self._session,
            name=self.path.name,
            state=self._state,
            seconds=round(progress.seconds, 2),
            n_bytes=progress.n_bytes,
            reason=self._reason,
            file=f"api/recordings/{self.id}/file" if self._state != "running" and self.path.exists() else None,
        )

    async def _run(self, on_end: Callable[[Recording], None]) -> None:
        watching = asyncio.create_task(self._watch())
        try:
            end = await self._encoder.run()
            if not isinstance(end, EncoderFailed):
                self._state = "ended"
            else:
                self._state, self._reason = "failed", end.message
                logger.error("the recording %s ended early: %s", self.path.name, end.message)
        finally:
            watching.cancel()
            _name_unfinished(Path(self._encoder.target))
            if self._state == "running":
                self._state, self._reason = "failed", "it took too long to end"
            on_end(self)

    async def _watch(self) -> None:
        """End it at its limits, and before the disk is full."""
        while True:
            await asyncio.sleep(LOOK_PERIOD_S)
            progress = self._encoder.progress
            if progress.seconds >= self._limits.seconds:
                reason = f"it reached the longest time, {self._limits.seconds / 60:g} min"
            elif progress.n_bytes >= self._limits.n_bytes:
                reason = f"it reached the largest size, {self._limits.n_bytes / 1e6:g} MB"
            elif _free_bytes(self.path.parent) < LEFT_BYTES:
                reason = "the disk is nearly full"
            else:
                continue
            self._reason = reason
            self._encoder.finish()
            return


class Recordings:
    """All recordings of a server; at most one a performance at a time."""

    def __init__(self, folder: Path, limits: RecordingLimits) -> None:
        self._folder, self._limits = folder, limits
        self._known: dict[str, Recording] = {}

    def make(self, container: str, session: str, avatar: str) -> Recording:
        """A recording that has not begun: see `Recording.start`. Raises RecordingRefused, NoRoom, BadInput."""
        if any(info.session == session and info.state == "running" for info in self.infos()):
            raise RecordingRefused("this session is being recorded already; stop that recording first")
        container_of(container, FORMATS)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"recordings {str(self._folder)!r}: {error.strerror}") from error
        if not os.access(self._folder, os.W_OK):
            raise BadInput(f"recordings {str(self._folder)!r}: this folder cannot be written to")
        if (free := _free_bytes(self._folder)) < NEEDED_BYTES:
            raise NoRoom(f"{free >> 20} MB are free on the disk of the recordings; {NEEDED_BYTES >> 20} MB are needed")
        recording = Recording(self._folder, self._name(avatar), container, session, self._limits)
        self._known[recording.id] = recording
        for old in [name for name, known in self._known.items() if known.info.state != "running"][:-MAX_REMEMBERED]:
            del self._known[old]
        return recording

    def get(self, name: str) -> Recording:
        """By its id. Raises UnknownRecording."""
        try:
            return self._known[name]
        except KeyError:
            raise UnknownRecording(f"no recording {name!r}") from None

    def infos(self) -> list[RecordingInfo]:
        """Of this server's recordings, the newest first."""
        return [recording.info for recording in reversed(self._known.values())]

    def name_unfinished(self) -> list[str]:
        """Give files that a killed server left their names; returns these. Files that are being written are left alone."""
        if not self._folder.is_dir():
            return []
        return [name for path in sorted(self._folder.glob(f"*{UNFINISHED}.*")) if (name := _name_unfinished(path)) is not None]

    def _name(self, avatar: str) -> str:
        """After time and avatar; nobody's yet."""
        shown = re.sub(r"[^\w .-]", "", avatar) or "avatar"
        base = f"{time.strftime('%Y-%m-%d %H.%M.%S')} {shown}"
        names = {path.name for path in self._folder.iterdir()}
        number, name = 1, base
        while any(f"{name}{middle}.{end}" in names for middle in ("", UNFINISHED) for end in FORMATS):
            number += 1
            name = f"{base} {number}"
        return name


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _name_unfinished(path: Path) -> str | None:
    """What nobody writes any more gets its name; None where somebody does, or nothing is there."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(descriptor).st_size:
                path.unlink()
                return None
            final = path.with_name(path.name.replace(UNFINISHED, ""))
            if final.exists():
                return None
            path.rename(final)
            return final.name
        finally:
            os.close(descriptor)
    return None
