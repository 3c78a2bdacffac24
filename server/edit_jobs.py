"""The edits of a server: each is `python -m editing edit` in a process of its own, one at a time, at low priority.

All that is known of an edit lies in files, so that it survives whatever ends:

SHELF/.edits/ID.json   the order and how it stands; replaced as a whole
SHELF/.edits/ID.log    what the process said; its last line is the reason of a failure
SHELF/.edits/ID.lock   locked by the process for as long as it lives, also when this server is gone
SHELF/NAME.edit/       the edit's own folder (`editing.edit.job`), with `progress.json`
SHELF/NAME.avatar      what it makes; appears when it is whole

    queued ──► running ──► done
                  │  └───► failed, cancelled, interrupted (the server stopped) ──► resume ──► queued
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.errors import BadInput, VisavisError
from server.edit_orders import ENDED, RESUMABLE, EditInfo, EditOptions, EditOrder, EditState, style_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.avatar_library import AvatarLibrary

logger = logging.getLogger(__name__)

PROGRAM_FOLDER = Path(__file__).resolve().parent.parent
EDIT_COMMAND = (sys.executable, "-m", "editing", "edit")
RECORDS_FOLDER = ".edits"
MAX_WAITING = 20
"""Edits that may be queued; one more is refused."""
MAX_REMEMBERED = 100
"""Ended edits that are listed; older ones that are done are forgotten, others stay until somebody removes them."""
POLL_S = 0.4
"""How often the progress file is looked at. Files are what also an edit of a former server leaves."""
CANCEL_TIMEOUT_S, CLOSE_TIMEOUT_S = 20.0, 4.0
"""An edit ends at the end of a step; after this long it is killed, which loses at most two minutes of its work. A server that is
stopped waits for less."""
NICENESS = 10
FREE_BYTES_A_FRAME_PIXEL = 12
"""Of disk: an edit keeps every frame up to four times, three bytes a pixel."""
FREE_BYTES_BESIDE = 256 << 20
LOG_TAIL_BYTES = 4096
EXIT_BAD_INPUT = 2
PREVIEW_NAME = re.compile(r"(edited|round)_\d+\.png")


class UnknownEdit(BadInput):
    """An id that is not there."""


class EditRefused(VisavisError):
    """What is asked for cannot be done now; the text says why."""


class NoSpace(EditRefused):
    """The disk is too full to begin."""


@dataclass(frozen=True)
class EditRecord:
    """What ID.json holds."""

    id: str
    order: dict[str, Any]
    name: str
    source: str
    """Path of the avatar that is edited."""
    created_s: float
    state: EditState = "queued"
    message: str = ""
    pid: int = 0
    """Of the process while it runs."""


class EditJobs:
    """Takes orders, runs them one after the other, and knows how they stand. All methods belong to one event loop."""

    def __init__(
        self, shelf: Path, library: AvatarLibrary, changed: Callable[[], None], threads: int = 1, command: Sequence[str] = EDIT_COMMAND
    ) -> None:
        """`changed` is called whenever there is something new to show. Nothing is read or made before `start`."""
        self._shelf, self._library, self._changed, self._threads = shelf, library, changed, threads
        self._command = tuple(command)
        self._folder = shelf / RECORDS_FOLDER
        self._records: dict[str, EditRecord] = {}
        self._progress: dict[str, dict[str, Any]] = {}
        self._cancelled: set[str] = set()
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._options: asyncio.Task[EditOptions] | None = None

    def start(self) -> None:
        """Read what a former server left, and go on with what was queued."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = EditRecord(**json.loads(path.read_text(encoding="utf-8")))
                EditOrder(**record.order)
            except (OSError, ValueError, TypeError) as error:
                logger.warning("%s is no record of an edit and is left alone: %s", path, error)
                continue
            if record.state == "running" and not self._lives(record.id):
                record = self._after_an_unseen_end(record)
            self._records[record.id] = record
        self._runner = asyncio.create_task(self._run_all())

    async def aclose(self) -> None:
        """Stop the edit that runs, so that it can go on another time."""
        for task in (self._runner, self._options):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    # ---- orders

    async def order(self, order: EditOrder) -> EditInfo:
        """Queue an edit. Raises BadInput, EditRefused (NoSpace among them)."""
        source = self._library.path(order.avatar)
        options = await self.options()
        if not options.available:
            raise EditRefused(options.reason)
        for word, value, known in (("preset", order.preset, list(options.presets)), ("strategy", order.strategy, options.strategies)):
            if value not in known:
                raise BadInput(f"{word} {value!r}: one of {', '.join(known)} is possible")
        if not self._library.is_editable(order.avatar):
            raise BadInput(f"avatar {order.avatar!r} does not hold what was said in its training clip; train it again with this program")
        if sum(record.state == "queued" for record in self._records.values()) >= MAX_WAITING:
            raise EditRefused(f"{MAX_WAITING} edits wait already; cancel one, or come back later")
        self._check_space(order, options)
        name = self._free_name(order.name) if order.name else self._unused_name(style_name(order.avatar, order.instruction))
        record = EditRecord(f"edit-{secrets.token_hex(6)}", order.model_dump(), name, str(source), round(time.time(), 3))
        self._keep(record)
        self._forget_old()
        self._wake.set()
        return self.info(record.id)

    def _check_space(self, order: EditOrder, options: EditOptions) -> None:
        frames = order.frames or options.presets[order.preset].get("frames", 0)
        wanted = FREE_BYTES_BESIDE + frames * FREE_BYTES_A_FRAME_PIXEL * self._library.picture_pixels(order.avatar)
        self._shelf.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._shelf).free
        if free < wanted:
            raise NoSpace(f"{self._shelf} has {free >> 20} MB free and this edit needs about {wanted >> 20} MB; make room first")

    def _taken(self, name: str) -> bool:
        return (
            name in self._library.names()
            or any((self._shelf / f"{name}{suffix}").exists() for suffix in (".avatar", ".edit"))
            or any(record.name == name and record.state != "done" for record in self._records.values())
        )

    def _free_name(self, name: str) -> str:
        if self._taken(name):
            raise BadInput(f"name {name!r}: there is a style, or an edit, of that name; choose another")
        return name

    def _unused_name(self, name: str) -> str:
        count = 1
        while self._taken(name if count == 1 else f"{name}-{count}"):
            count += 1
        return name if count == 1 else f"{name}-{count}"

    def cancel(self, id_: str) -> EditInfo:
        """Stop an edit that waits or runs; it can go on later. Returns at once: the process ends at the end of its step."""
        record = self._record(id_)
        if record.state in ENDED:
            raise EditRefused(f"edit {id_} is {record.state}; there is nothing to cancel")
        if record.state == "queued":
            self._keep(replace(record, state="cancelled"))
        elif id_ not in self._cancelled:
            self._cancelled.add(id_)
            self._wake.set()
        return self.info(id_)

    def resume(self, id_: str) -> EditInfo:
        """Queue it again; it goes on from where it was."""
        record = self._record(id_)
        if record.state not in RESUMABLE:
            raise EditRefused(f"edit {id_} is {record.state}; only one that failed or was stopped can go on")
        if not Path(record.source).is_file():
            raise EditRefused(f"the avatar {record.source} is gone; this edit cannot go on")
        self._keep(replace(record, state="queued", message=""))
        self._wake.set()
        return self.info(id_)

    def forget(self, id_: str) -> None:
        """Remove an edit that has ended, and what it left half-done; a finished style stays on the shelf."""
        record = self._record(id_)
        if record.state not in ENDED:
            raise EditRefused(f"edit {id_} is {record.state}; cancel it first")
        if record.state != "done":
            shutil.rmtree(self._work_folder(record), ignore_errors=True)
        for path in (self._path(id_, "log"), self._path(id_, "lock"), self._path(id_, "json")):
            path.unlink(missing_ok=True)
        del self._records[id_]
        self._progress.pop(id_, None)
        self._changed()

    # ---- what there is

    def infos(self) -> list[EditInfo]:
        """Newest first."""
        return [self.info(id_) for id_ in sorted(self._records, key=lambda id_: -self._records[id_].created_s)]

    def info(self, id_: str) -> EditInfo:
        """Raises UnknownEdit."""
        record = self._record(id_)
        progress = self._progress.get(id_) or ({} if record.state == "done" else self._read_progress(record))
        self._progress[id_] = progress
        preview = progress.get("preview")
        version = f"{progress.get('round')}-{preview}"
        return EditInfo(
            id=id_,
            name=record.name,
            avatar=str(record.order["avatar"]),
            instruction=str(record.order["instruction"]),
            editor=str(record.order["editor"]),
            state=record.state,
            resumable=record.state in RESUMABLE,
            message=record.message,
            stage="stopping" if id_ in self._cancelled else progress.get("stage"),
            round=progress.get("round"),
            rounds=progress.get("rounds"),
            share=1.0 if record.state == "done" else float(progress.get("share", 0.0)),
            eta_s=progress.get("eta_s") if record.state == "running" else None,
            preview=f"api/edits/{id_}/preview.png?v={version}" if preview and record.state != "done" else None,
            created_s=record.created_s,
        )

    def preview(self, id_: str) -> bytes:
        """The newest preview, a PNG. Raises UnknownEdit where there is none."""
        record = self._record(id_)
        name = self._read_progress(record).get("preview")
        if not isinstance(name, str) or not PREVIEW_NAME.fullmatch(name):
            raise UnknownEdit(f"edit {id_} has no preview yet")
        try:
            return (self._work_folder(record) / name).read_bytes()
        except OSError as error:
            raise UnknownEdit(f"edit {id_} has no preview any more") from error

    async def options(self) -> EditOptions:
        """What the editing side says can be asked for; asked once, and again as long as it says that something is missing."""
        if self._options is None or (self._options.done() and not _is_available(self._options)):
            self._options = asyncio.create_task(self._ask_for_options())
        return await asyncio.shield(self._options)

    async def _ask_for_options(self) -> EditOptions:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            "--list-instructions",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
        )
        answer, complaint = await process.communicate()
        try:
            found = json.loads(answer) if process.returncode == 0 else None
            if isinstance(found, dict):
                missing = [str(line) for line in found.pop("missing")]
                return EditOptions(available=not missing, reason="; ".join(missing), **found)
        except (ValueError, KeyError, TypeError):
            logger.exception("the editing command's answer is not understood")
        logger.warning("the editing command does not answer: %s", complaint.decode(errors="replace").strip())
        return EditOptions(available=False, reason="editing is not installed here: pip install 'visavis[editing]'")

    # ---- running

    async def _run_all(self) -> None:
        while True:
            self._wake.clear()
            record = next((r for r in self._records.values() if r.state == "running"), None)
            record = record or min((r for r in self._records.values() if r.state == "queued"), key=lambda r: r.created_s, default=None)
            if record is None:
                await self._wake.wait()
                continue
            try:
                await (self._attend(record) if record.state == "running" else self._run(record))
            except OSError as error:
                logger.exception("edit %s cannot be run", record.id)
                self._keep(replace(record, state="failed", message=f"the edit cannot be started: {error.strerror}"))
            except VisavisError as error:
                self._end(record, "failed", str(error))

    async def _run(self, record: EditRecord) -> None:
        order = EditOrder(**record.order)
        arguments = [
            *self._command,
            record.source,
            f"--out={self._shelf / record.name}.avatar",
            f"--threads={self._threads}",
            *order.options(),
        ]
        with self._path(record.id, "lock").open("w") as lock, self._path(record.id, "log").open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._folder,
                env=_environment(),
                pass_fds=(lock.fileno(),),
                # Not this terminal's: Ctrl-C stops the server, and the server stops the edit.
                start_new_session=True,
            )
        _lower_priority(process.pid)
        record = replace(record, state="running", pid=process.pid)
        self._keep(record)
        try:
            while process.returncode is None:
                if record.id in self._cancelled:
                    await self._stop(process, CANCEL_TIMEOUT_S)
                    break
                await self._look(record, process.wait())
        except asyncio.CancelledError:
            await self._stop(process, CLOSE_TIMEOUT_S)
            self._end(record, "done" if process.returncode == 0 else "interrupted", "")
            raise
        self._judge(record, process.returncode)

    async def _stop(self, process: asyncio.subprocess.Process, timeout_s: float) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), timeout_s)
        except asyncio.TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _attend(self, record: EditRecord) -> None:
        """Watch an edit that a former server began."""
        told = False
        while self._lives(record.id):
            if record.id in self._cancelled and not told and record.pid > 0:
                told = True
                with contextlib.suppress(ProcessLookupError):
                    os.kill(record.pid, signal.SIGINT)
            await self._look(record, self._wake.wait())
            self._wake.clear()
        self._judge(record, None)

    async def _look(self, record: EditRecord, end: Any) -> None:
        """Wait a moment, or until `end`, and take note of the progress."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(end, POLL_S)
        progress = await asyncio.to_thread(self._read_progress, record)
        if progress and progress != self._progress.get(record.id):
            self._progress[record.id] = progress
            self._changed()

    def _judge(self, record: EditRecord, exit_code: int | None) -> None:
        """None: it was not our child, and only what it left can tell."""
        out = self._shelf / f"{record.name}.avatar"
        if exit_code == 0 or (exit_code is None and out.is_file()):
            self._end(record, "done", "")
        elif record.id in self._cancelled:
            self._end(record, "cancelled", "")
        elif exit_code is None:
            self._end(record, "interrupted", "")
        elif exit_code == EXIT_BAD_INPUT:
            self._end(record, "failed", self._last_line(record.id))
        elif exit_code < 0:
            self._end(record, "failed", f"the edit was ended by signal {-exit_code} ({signal.Signals(-exit_code).name})")
        else:
            self._end(record, "failed", f"the edit ended with exit code {exit_code}: {self._last_line(record.id)}")

    def _end(self, record: EditRecord, state: EditState, message: str) -> None:
        self._cancelled.discard(record.id)
        self._keep(replace(record, state=state, message=message, pid=0))

    def _after_an_unseen_end(self, record: EditRecord) -> EditRecord:
        done = (self._shelf / f"{record.name}.avatar").is_file()
        return replace(record, state="done" if done else "interrupted", pid=0)

    def _lives(self, id_: str) -> bool:
        """Whether a process holds the edit's lock."""
        try:
            with self._path(id_, "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    # ---- files

    def _record(self, id_: str) -> EditRecord:
        if id_ not in self._records:
            raise UnknownEdit(f"no edit {id_!r}")
        return self._records[id_]

    def _path(self, id_: str, suffix: str) -> Path:
        return self._folder / f"{id_}.{suffix}"

    def _work_folder(self, record: EditRecord) -> Path:
        return self._shelf / f"{record.name}.edit"

    def _keep(self, record: EditRecord) -> None:
        """In memory, and on disk if it can be; raises EditRefused where a new one cannot be written."""
        path = self._path(record.id, "json")
        temporary = path.with_suffix(".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            if record.id not in self._records:
                raise EditRefused(f"the shelf {self._shelf} cannot be written: {error.strerror}") from error
            # The edit itself goes on; only a restart would not know of this change.
            logger.error("cannot write %s: %s", path, error.strerror)
        self._records[record.id] = record
        self._changed()

    def _read_progress(self, record: EditRecord) -> dict[str, Any]:
        try:
            found = json.loads((self._work_folder(record) / "progress.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _last_line(self, id_: str) -> str:
        try:
            text = self._path(id_, "log").read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            text = ""
        lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
        return lines[-1] if lines else f"no reason was given; see {self._path(id_, 'log')}"

    def _forget_old(self) -> None:
        done = sorted((r for r in self._records.values() if r.state == "done"), key=lambda r: r.created_s)
        for record in done[: max(0, len(done) - MAX_REMEMBERED)]:
            self.forget(record.id)


def _is_available(task: asyncio.Task[EditOptions]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().available


def _environment() -> dict[str, str]:
    """The editing command is this very program, wherever it was started from; its threads do not spin while they wait."""
    paths = [str(PROGRAM_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_WAIT_POLICY": "PASSIVE"}


def _lower_priority(pid: int) -> None:
    """Live pictures come first. Where the system groups processes by session (Linux's autogroup), niceness counts only within a group,
    so the group itself is lowered as well."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS), encoding="ascii")
