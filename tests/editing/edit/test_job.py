"""A whole edit on small pictures: it does what the instruction says, and can be stopped anywhere."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from editing.edit.job import EditJob, EditRequest
from editing.edit.job_folder import discard
from editing.edit.optimise import Learning, OptimisationSteps
from editing.edit.originals import Moments
from editing.edit.schedule import EditSchedule
from editing.train.emotion_tensors import with_emotion
from renderer.avatar_file import file_sha256, load_avatar, save_avatar
from renderer.emotion import EMOTION_DIM, NEUTRAL, Emotion
from renderer.errors import BadInput
from renderer.refiner.config import RefinerConfig
from tests.renderer.refiner.random_refiner import random_network

if TYPE_CHECKING:
    from pathlib import Path

    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar
    from tests.editing.edit.conftest import Redder

pytestmark = pytest.mark.usefixtures("without_landmarks")
ANGRY = Emotion("angry", 1.0)
MOVES_THE_LIPS = ("audio.", "attention.", "head.ambient")
REQUEST = EditRequest("red, please", EditSchedule(rounds=2, frames=6), OptimisationSteps(60, 4, 40, 8), threads=1)


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
    remaining = sorted(path.name for path in tmp_path.iterdir())
    assert remaining == ["red.avatar", "red.preview.png", "source.avatar"], "the folder of the job is gone"
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
    assert {state["stage"] for state in states} == {"preparing", "editing", "rendering", "head", "torso", "patches", "lip patches"}
    assert states[-1]["round"] == 2 and states[-1]["previews"] == ["round_1.png"] and states[-1]["preview"] == "edited_2.png"
    shares = [state["share"] for state in states]
    assert shares == sorted(shares) and shares[0] < 0.1 and shares[-1] == 1.0


def test_iterative_edit_sees_the_original_and_a_few_frames_at_a_time(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder
) -> None:
    request = EditRequest("red", EditSchedule("iterative", frames=6), OptimisationSteps(24, 12, 12, 12), threads=1)
    start(avatar, encoder, tmp_path, redder, request).run(silent)
    assert len(redder.calls) == 12 and all(with_original for _, _, with_original in redder.calls)
    assert [len(indices) for indices, _, _ in redder.calls] == [1] * 12


@pytest.mark.parametrize("strategy", ["progressive", "one-time", "iterative"])
def test_edit_of_an_avatar_with_emotions_keeps_them(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder, strategy: str
) -> None:
    """Whatever the strategy: an edited face changes with the emotion as the original's does, and the style is there in all of them."""
    emotional = with_emotion(avatar)
    tensors = {**emotional.tensors}
    tensors["head.density0.emotion_condition"] = np.random.default_rng(0).normal(0.0, 0.2, (64, EMOTION_DIM)).astype(np.float32)
    emotional = emotional.replace(tensors=tensors)
    moments = Moments.of(emotional, encoder, 12)
    assert moments.emotions[0] == NEUTRAL and len(set(moments.emotions)) == 7
    request = EditRequest("red", EditSchedule(strategy, rounds=1, frames=6), OptimisationSteps(40, 12, 12, 12), threads=1)
    start(emotional, encoder, tmp_path, redder, request).run(silent)
    edited = load_avatar(tmp_path / "red.avatar")
    assert edited.is_emotional
    for k in (0, 1, 3) if strategy != "iterative" else ():  # of 40 steps, too few follow each of its small updates
        before, after = (moments.render(a, [k], 1) for a in (emotional, edited))
        assert redness(after) > redness(before) + 5.0, moments.emotions[k]
    changes = []
    for a in (emotional, edited):
        neutral, angry = (dataclasses.replace(moments, emotions=(e,) * 12).render(a, [0], 1).astype(float) for e in (NEUTRAL, ANGRY))
        changes.append(float(np.abs(angry - neutral)[:, 16:44, 20:44].mean()))
    assert changes[1] > 0.4 * changes[0] > 0.0, changes


@pytest.mark.parametrize(
    "stop",
    [("editing", 1), ("head", 1), ("torso", 1), ("rendering", 2), ("patches", 1), ("lip patches", 2)],
    ids=lambda s: f"{s[0]} {s[1]}",
)
def test_an_edit_that_was_stopped_ends_with_the_same_avatar(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder, stop: tuple[str, int]
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir(), cut.mkdir()
    brief = EditRequest("red", EditSchedule(rounds=2, frames=4), OptimisationSteps(20, 4, 20, 6), threads=1)
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
    request = EditRequest("red", EditSchedule("one-time", frames=12), OptimisationSteps(2, 2, 2, 2), threads=1)
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
    request = EditRequest("red", EditSchedule("one-time", frames=4), OptimisationSteps(2, 2, 2, 2), threads=1)
    job = start(avatar, encoder, tmp_path, redder, request)
    with monkeypatch.context() as full:
        full.setattr("pathlib.Path.write_bytes", lambda path, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(BadInput, match=r"cannot write .*red\.edit.*No space left on device"):
            job.run(silent)
    assert not (tmp_path / "red.avatar").exists()
    assert [path.name for path in (tmp_path / "red.edit").iterdir()] == ["request.json"]
    start(avatar, encoder, tmp_path, redder, request).run(silent)


def refined_change(avatar: Avatar, encoder: AudioEncoder, refine_weight: float) -> float:
    """How much omega changes the picture, of 255."""
    moments = Moments.of(avatar, encoder, 2)
    plain, refined = (moments.render(avatar, range(2), 1, refine_weight=weight).astype(float) for weight in (0.0, refine_weight))
    return float(np.abs(refined - plain).mean())


def test_the_edited_avatar_has_a_refiner_that_omega_weighs(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder) -> None:
    request = EditRequest("red", EditSchedule("one-time", frames=4), OptimisationSteps(2, 2, 2, 30), threads=1)
    start(avatar, encoder, tmp_path, redder, request).run(silent)
    edited = load_avatar(tmp_path / "red.avatar")
    assert edited.refiner is not None and edited.refiner.config == RefinerConfig()
    half, whole = (refined_change(edited, encoder, weight) for weight in (0.4, 0.8))
    assert whole > 0.5 and half == pytest.approx(whole / 2, rel=0.2)


def test_an_edit_without_refiner_has_none_and_still_fine_tunes_the_lips(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder
) -> None:
    states: list[dict[str, Any]] = []
    schedule, steps = EditSchedule("one-time", frames=4), OptimisationSteps(2, 2, 2, 4)
    request = EditRequest("red", schedule, steps, threads=1, learning=Learning(refiner=None))
    start(avatar, encoder, tmp_path, redder, request).run(states.append)
    assert load_avatar(tmp_path / "red.avatar").refiner is None
    assert {"lip patches"} == {state["stage"] for state in states} & {"patches", "lip patches"}


def test_an_edited_avatars_refiner_begins_with_the_one_that_is_there(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, redder: Redder
) -> None:
    first = random_network().to_refiner()
    shown = avatar.replace(refiner=first)
    assert refined_change(shown, encoder, 0.8) > 0.5
    request = EditRequest("red", EditSchedule("one-time", frames=4), OptimisationSteps(1, 0, 1, 1), threads=1)
    start(shown, encoder, tmp_path, redder, request).run(silent)
    after = load_avatar(tmp_path / "red.avatar").refiner
    assert after is not None
    apart = {name: float(np.abs(array - first.tensors[name]).max()) for name, array in after.tensors.items()}
    assert 0.0 < max(apart.values()) < 2e-3, "one step of Adam at 1e-3"


def test_discarded_folders_are_gone_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "red.edit"
    for _ in range(2):  # the second time something is left of the first
        folder.mkdir()
        (folder / "request.json").touch()
        discard(folder)
        assert not folder.exists()
        (tmp_path / ".red.edit.removed").mkdir()
