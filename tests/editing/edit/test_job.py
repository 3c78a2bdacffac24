"""A whole edit on small pictures: it does what the instruction says, and can be stopped anywhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from editing.edit.job import EditJob, EditRequest
from editing.edit.optimise import OptimisationSteps
from editing.edit.originals import Moments
from editing.edit.schedule import EditSchedule
from renderer.avatar_file import file_sha256, load_avatar, save_avatar
from renderer.errors import BadInput
from tests.editing.edit import killed_edit

if TYPE_CHECKING:
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar
    from tests.editing.edit.conftest import Redder

pytestmark = pytest.mark.usefixtures("without_landmarks")
MOVES_THE_LIPS = ("audio.", "attention.", "head.ambient")
REQUEST = EditRequest("red, please", EditSchedule(rounds=2, frames=6), OptimisationSteps(60, 4, 40), threads=1)


def start(avatar: Avatar, encoder: AudioEncoder, folder: Path, editor: Redder, request: EditRequest = REQUEST) -> EditJob:
    source = folder / "source.avatar"
    if not source.exists():
        save_avatar(avatar, source)
    return EditJob(source, load_avatar(source), folder / "red.avatar", request, editor, encoder)


def silent(_: dict[str, Any]) -> None:
    pass


def redness(pictures: np.ndarray) -> float:
    """Of the face."""
    face = pictures[:, 24:36, 26:36].astype(float)
    return float((face[..., 0] - face[..., 1:].mean(-1)).mean())


def test_edit_follows_the_instruction_and_keeps_what_moves_the_lips(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder
) -> None:
    states: list[dict[str, Any]] = []
    sha256 = start(avatar, encoder, tmp_path, redder).run(states.append)
    edited = load_avatar(tmp_path / "red.avatar")
    assert sha256 == file_sha256(tmp_path / "red.avatar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["red.avatar", "source.avatar"], "the folder of the job is gone"
    moments = Moments.of(avatar, encoder, 3)
    before, after = (redness(moments.render(a, range(3), 1)) for a in (avatar, edited))
    assert after > before + 30.0, (before, after)
    source = load_avatar(tmp_path / "source.avatar")
    for name, tensor in edited.tensors.items():
        if name.startswith(MOVES_THE_LIPS):
            np.testing.assert_array_equal(tensor, source.tensors[name])
    assert not np.array_equal(edited.tensors["head.colour0.weight"], source.tensors["head.colour0.weight"])
    np.testing.assert_array_equal(edited.pose_track, source.pose_track)
    np.testing.assert_array_equal(edited.audio_track, source.audio_track)  # type: ignore[arg-type]
    np.testing.assert_array_equal(edited.background, source.background)
    lineage = edited.lineage
    assert (lineage.instruction, lineage.editor, lineage.parent_sha256) == (
        "red, please",
        "redder",
        file_sha256(tmp_path / "source.avatar"),
    )
    assert edited.poster is not None and edited.subject == source.subject
    assert [(settings.text_guidance, settings.steps) for _, settings, _ in redder.calls] == [(3.0, 10), (6.0, 20)]
    assert {state["stage"] for state in states} == {"preparing", "editing", "rendering", "head", "lips", "torso"}
    assert states[-1]["round"] == 2 and states[-1]["previews"] == ["round_1.png"] and states[-1]["preview"] == "edited_2.png"
    shares = [state["share"] for state in states]
    assert shares == sorted(shares) and shares[0] < 0.1 and shares[-1] == 1.0


def test_iterative_edit_sees_the_original_and_a_few_frames_at_a_time(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder
) -> None:
    request = EditRequest("red", EditSchedule("iterative", frames=6), OptimisationSteps(24, 12, 12), threads=1)
    start(avatar, encoder, tmp_path, redder, request).run(silent)
    assert len(redder.calls) == 12 and all(with_original for _, _, with_original in redder.calls)
    assert [len(indices) for indices, _, _ in redder.calls] == [1] * 12


@pytest.mark.parametrize("stop", [("editing", 1), ("head", 1), ("torso", 1), ("rendering", 2), ("lips", 2)], ids=lambda s: f"{s[0]} {s[1]}")
def test_an_edit_that_was_stopped_ends_with_the_same_avatar(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder, stop: tuple[str, int]
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir(), cut.mkdir()
    brief = EditRequest("red", EditSchedule(rounds=2, frames=4), OptimisationSteps(20, 4, 20), threads=1)
    expected = start(avatar, encoder, whole, redder, brief).run(silent)

    def interrupt(state: dict[str, Any]) -> None:
        if (state["stage"], state["round"]) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(avatar, encoder, cut, redder, brief).run(interrupt)
    assert not (cut / "red.avatar").exists(), "nothing half-written on the shelf"
    assert json.loads((cut / "red.edit" / "request.json").read_text())["instruction"] == "red"
    assert start(avatar, encoder, cut, redder, brief).run(silent) == expected


def test_edited_frames_are_not_edited_twice(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder) -> None:
    request = EditRequest("red", EditSchedule("one-time", frames=12), OptimisationSteps(2, 2, 2), threads=1)
    job = start(avatar, encoder, tmp_path, redder, request)
    redder.interrupt_after = 4
    with pytest.raises(KeyboardInterrupt):
        job.run(silent)
    redder.interrupt_after = None
    start(avatar, encoder, tmp_path, redder, request).run(silent)
    assert sorted(k for indices, _, _ in redder.calls for k in indices) == list(range(12))


def test_another_request_does_not_go_on_from_this_one(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder) -> None:
    start(avatar, encoder, tmp_path, redder)
    with pytest.raises(BadInput, match="was begun with instruction 'red, please', now it is 'very red'"):
        start(avatar, encoder, tmp_path, redder, EditRequest("very red", REQUEST.schedule, REQUEST.steps))


def test_an_instruction_that_the_editor_does_not_know_leaves_nothing_behind(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder
) -> None:
    with pytest.raises(BadInput, match="only red is known"):
        start(avatar, encoder, tmp_path, redder, EditRequest("blue"))
    assert [path.name for path in tmp_path.iterdir()] == ["source.avatar"]


def test_a_full_disk_is_one_line_and_what_was_done_stays(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = EditRequest("red", EditSchedule("one-time", frames=4), OptimisationSteps(2, 2, 2), threads=1)
    job = start(avatar, encoder, tmp_path, redder, request)
    with monkeypatch.context() as full:
        full.setattr("pathlib.Path.write_bytes", lambda path, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(BadInput, match=r"cannot write .*red\.edit.*No space left on device"):
            job.run(silent)
    assert not (tmp_path / "red.avatar").exists()
    assert [path.name for path in (tmp_path / "red.edit").iterdir()] == ["request.json"]
    start(avatar, encoder, tmp_path, redder, request).run(silent)


def test_an_edit_killed_at_any_point_ends_with_the_same_avatar(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder
) -> None:
    """By a signal that nothing can answer, before and after files are renamed; nothing but a whole avatar ever lies on the shelf."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir(), cut.mkdir()
    expected = start(avatar, encoder, whole, redder, killed_edit.REQUEST).run(silent)
    save_avatar(avatar, cut / "source.avatar")
    for kill_at in (3, 8, 15, 22, 0):
        assert not (cut / "red.avatar").exists()
        command = [
            sys.executable,
            "-m",
            "tests.editing.edit.killed_edit",
            str(cut / "source.avatar"),
            str(cut / "red.avatar"),
            str(kill_at),
        ]
        ended = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
        assert ended.returncode == (-signal.SIGKILL if kill_at else 0), ended.stderr
        assert {path.name for path in cut.glob("*.avatar")} <= {"source.avatar", "red.avatar"}
    assert file_sha256(cut / "red.avatar") == expected
