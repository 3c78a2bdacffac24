"""The server's edits, run by a stand-in for the editing command in real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError

from renderer.avatar_file import read_header, save_avatar
from renderer.errors import BadInput
from server.avatar_library import AvatarLibrary
from server.edit_jobs import EditJobs, EditRefused, NoSpace, UnknownEdit
from server.edit_orders import EditOrder, EditState, style_name
from tests.server import scripted_edit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from server.edit_orders import EditInfo
    from tests.server.conftest import Studio

COMMAND = (sys.executable, scripted_edit.__file__)
PATIENCE_S = 60.0


class Bench:
    """A shelf with one avatar, and the server's side of its edits."""

    def __init__(self, shelf: Path, studio: Studio) -> None:
        self.shelf, self.changes = shelf, 0
        avatar = studio.avatar("first")
        n_steps = 2 * len(avatar.pose_track)
        heard = np.zeros((n_steps, avatar.field_config.feature_dim), np.float32)
        save_avatar(avatar.replace(audio_track=heard), shelf / "first.avatar")
        save_avatar(avatar, shelf / "deaf.avatar")
        self.library = AvatarLibrary(str(shelf / "first.avatar"), shelf)

    def note(self) -> None:
        self.changes += 1

    @contextlib.asynccontextmanager
    async def jobs(self, command: tuple[str, ...] = COMMAND) -> AsyncIterator[EditJobs]:
        """From a server's start to its end."""
        jobs = EditJobs(self.shelf, self.library, self.note, command=command)
        jobs.start()
        try:
            yield jobs
        finally:
            await jobs.aclose()

    def styles(self) -> list[str]:
        return sorted(path.name for path in self.shelf.glob("*.avatar"))


@pytest.fixture
def bench(tmp_path: Path, studio: Studio) -> Bench:
    return Bench(tmp_path, studio)


def wish(instruction: str, **more: object) -> EditOrder:
    return EditOrder(avatar="first", instruction=instruction, **more)  # type: ignore[arg-type]


async def until(jobs: EditJobs, edit: EditInfo, *states: EditState) -> EditInfo:
    deadline_s = time.monotonic() + PATIENCE_S
    while (now := jobs.info(edit.id)).state not in states:
        assert time.monotonic() < deadline_s, f"waited for {states}, it is {now}"
        await asyncio.sleep(0.02)
    return now


async def until_true(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.02)


async def until_it_gets_on(jobs: EditJobs, edit: EditInfo) -> EditInfo:
    await until(jobs, edit, "running")
    await until_true(lambda: jobs.info(edit.id).preview is not None)
    return jobs.info(edit.id)


async def test_edit_makes_a_style_and_leaves_nothing_half_done(bench: Bench) -> None:
    async with bench.jobs() as jobs:
        edit = await jobs.order(wish("make her look like a bronze statue", seed=3))
        assert (edit.state, edit.name, edit.share) == ("queued", "first-bronze-statue", 0.0)
        running = await until_it_gets_on(jobs, edit)
        assert running.stage == "head" and 0 < running.share < 1
        assert jobs.preview(edit.id)[:8] == b"\x89PNG\r\n\x1a\n"
        done = await until(jobs, edit, "done")
    assert (done.share, done.preview, done.message) == (1.0, None, "")
    assert bench.styles() == ["deaf.avatar", "first-bronze-statue.avatar", "first.avatar"]
    assert not list(bench.shelf.glob("*.edit")) and bench.changes >= 3
    assert read_header(bench.shelf / "first-bronze-statue.avatar")["lineage"]["instruction"] == "make her look like a bronze statue"
    assert [info.instruction for info in bench.library.infos()] == [None, None, "make her look like a bronze statue"]


async def test_edits_run_one_after_the_other_under_names_of_their_own(bench: Bench) -> None:
    async with bench.jobs() as jobs:
        first, second = [await jobs.order(wish("red lips")) for _ in range(2)]
        assert (first.name, second.name) == ("first-red-lips", "first-red-lips-2")
        await until(jobs, first, "running")
        assert jobs.info(second.id).state == "queued"
        await until(jobs, first, "done")
        await until(jobs, second, "done")
        assert [edit.id for edit in jobs.infos()] == [second.id, first.id]
        with pytest.raises(BadInput, match="'first-red-lips': there is a style"):
            await jobs.order(wish("red lips", name="first-red-lips"))


async def test_a_cancelled_edit_goes_on_from_where_it_was(bench: Bench) -> None:
    async with bench.jobs() as jobs:
        edit = await jobs.order(wish("slow"))
        await until_it_gets_on(jobs, edit)
        progress = bench.shelf / f"{edit.name}.edit" / "progress.json"
        await until_true(lambda: json.loads(progress.read_text())["step"] >= 2 * scripted_edit.STEPS)
        assert jobs.cancel(edit.id).stage == "stopping"
        cancelled = await until(jobs, edit, "cancelled")
        assert cancelled.resumable and cancelled.share > 0
        assert bench.styles() == ["deaf.avatar", "first.avatar"]
        with pytest.raises(EditRefused, match="nothing to cancel"):
            jobs.cancel(edit.id)
        jobs.resume(edit.id)
        await until(jobs, edit, "done")
        with pytest.raises(EditRefused, match="only one that failed or was stopped"):
            jobs.resume(edit.id)
    assert f"{edit.name}.avatar" in bench.styles()


async def test_removing_a_cancelled_edit_removes_what_it_left(bench: Bench) -> None:
    async with bench.jobs() as jobs:
        edit = await jobs.order(wish("slow"))
        waiting = await jobs.order(wish("red"))
        await until_it_gets_on(jobs, edit)
        with pytest.raises(EditRefused, match="cancel it first"):
            jobs.forget(edit.id)
        assert jobs.cancel(waiting.id).state == "cancelled"
        jobs.cancel(edit.id)
        await until(jobs, edit, "cancelled")
        jobs.forget(edit.id)
        jobs.forget(waiting.id)
        with pytest.raises(UnknownEdit):
            jobs.info(edit.id)
    assert sorted(path.name for path in bench.shelf.iterdir()) == [".edits", "deaf.avatar", "first.avatar"]
    assert list((bench.shelf / ".edits").iterdir()) == []


async def test_a_stopped_server_leaves_an_edit_that_can_go_on(bench: Bench) -> None:
    async with bench.jobs() as jobs:
        edit = await jobs.order(wish("slow"))
        waiting = await jobs.order(wish("red"))
        await until_it_gets_on(jobs, edit)
    async with bench.jobs() as jobs:
        assert jobs.info(edit.id).state == "interrupted" and jobs.info(edit.id).resumable
        assert jobs.info(edit.id).share > 0, "its progress is still known"
        await until(jobs, waiting, "done")


async def test_an_edit_outlives_a_server_that_was_killed(bench: Bench) -> None:
    """The next server finds it running, can follow it, and can stop it."""
    async with bench.jobs() as jobs:
        edit = await jobs.order(wish("slow"))
        await until_it_gets_on(jobs, edit)
        assert jobs._runner is not None
        # As if this process had been killed: nobody stops the edit, nobody waits for it.
        record = json.loads((bench.shelf / ".edits" / f"{edit.id}.json").read_text())
        async with bench.jobs() as later:
            found = await until(later, edit, "running")
            assert found.share > 0
            later.cancel(edit.id)
            ended = await until(later, edit, "cancelled", "interrupted")
            assert ended.resumable
        with pytest.raises(ProcessLookupError):
            for _ in range(200):
                os.kill(record["pid"], 0)
                await asyncio.sleep(0.02)


async def test_a_killed_edit_says_so_and_can_go_on(bench: Bench) -> None:
    async with bench.jobs() as jobs:
        edit = await jobs.order(wish("slow"))
        await until_it_gets_on(jobs, edit)
        os.kill(json.loads((bench.shelf / ".edits" / f"{edit.id}.json").read_text())["pid"], signal.SIGKILL)
        failed = await until(jobs, edit, "failed")
    assert "SIGKILL" in failed.message and failed.resumable
    assert bench.styles() == ["deaf.avatar", "first.avatar"]


@pytest.mark.parametrize(
    ("instruction", "line"), [("fail here", "fail here: one line for the user"), ("crash", "exit code 1.*a fault of the")]
)
async def test_a_failed_edit_gives_one_line(bench: Bench, instruction: str, line: str) -> None:
    async with bench.jobs() as jobs:
        failed = await until(jobs, await jobs.order(wish(instruction)), "failed")
    assert re.search(line, failed.message) and "\n" not in failed.message
    assert bench.styles() == ["deaf.avatar", "first.avatar"]


async def test_orders_that_cannot_be_followed_are_refused_in_one_line(bench: Bench) -> None:
    async with bench.jobs() as jobs:
        with pytest.raises(BadInput, match="no avatar 'nobody'; known: first"):
            await jobs.order(EditOrder(avatar="nobody", instruction="red"))
        with pytest.raises(BadInput, match="'deaf' does not hold what was said"):
            await jobs.order(EditOrder(avatar="deaf", instruction="red"))
        with pytest.raises(BadInput, match="preset 'endless': one of draft, standard"):
            await jobs.order(wish("red", preset="endless"))
        with pytest.raises(BadInput, match="strategy 'magic'"):
            await jobs.order(wish("red", strategy="magic"))
        assert jobs.infos() == []


async def test_a_full_disk_refuses_an_edit_before_it_begins(bench: Bench) -> None:
    async with bench.jobs() as jobs:
        (await jobs.options()).presets["huge"] = {"frames": 10**9}
        with pytest.raises(NoSpace, match=r"MB free and this edit needs about \d+ MB; make room first"):
            await jobs.order(wish("red", preset="huge"))
    assert bench.styles() == ["deaf.avatar", "first.avatar"]


async def test_a_shelf_that_cannot_be_written_refuses(bench: Bench) -> None:
    (bench.shelf / ".edits").write_text("in the way")
    async with bench.jobs() as jobs:
        with pytest.raises(EditRefused, match="cannot be written"):
            await jobs.order(wish("red"))
        assert jobs.infos() == []


async def test_an_install_without_editing_says_what_to_install(bench: Bench) -> None:
    async with bench.jobs((sys.executable, "-c", "import sys; sys.exit('no module named torch')")) as jobs:
        options = await jobs.options()
        assert not options.available and "pip install 'visavis[editing]'" in options.reason
        with pytest.raises(EditRefused, match="not installed"):
            await jobs.order(wish("red"))


async def test_damaged_records_are_left_alone(bench: Bench) -> None:
    folder = bench.shelf / ".edits"
    folder.mkdir()
    (folder / "edit-1.json").write_text("{not json")
    (folder / "edit-2.json").write_text(json.dumps({"id": "edit-2", "order": {"avatar": "x"}, "name": "n", "source": "s", "created_s": 1}))
    async with bench.jobs() as jobs:
        assert jobs.infos() == []
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"instruction": "  "}, "the instruction is empty"),
        ({"instruction": "red\nlips"}, "control character"),
        ({"instruction": "x" * 301}, "300"),
        ({"instruction": "red", "editor": "../../etc"}, "editor"),
        ({"instruction": "red", "editor": "/models/mine"}, "editor"),
        ({"instruction": "red", "name": "../up"}, "name"),
        ({"instruction": "red", "name": ".hidden"}, "name"),
        ({"instruction": "red", "strength": 0}, "strength"),
        ({"instruction": "red", "rounds": 21}, "rounds"),
        ({"instruction": "red", "surprise": 1}, "surprise"),
    ],
)
def test_order_rejects_bad_fields(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        EditOrder(avatar="first", **fields)  # type: ignore[arg-type]


def test_order_becomes_options_that_cannot_be_mistaken() -> None:
    options = wish("--out=/etc/passwd", frames=8).options()
    assert "--instruction=--out=/etc/passwd" in options and "--frames=8" in options
    assert all(option.startswith("--") and "=" in option for option in options) and "--rounds=None" not in options


def test_style_names_are_file_names() -> None:
    assert style_name("first", "what if he had BLUE hair?") == "first-blue-hair"
    assert style_name("first", "日本") == "first"
    assert len(style_name("a" * 50, "one two three four")) <= 60
