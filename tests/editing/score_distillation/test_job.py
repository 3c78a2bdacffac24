"""A whole edit by score distillation with a model of random weights: it ends with an avatar, and can be stopped anywhere."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from editing.edit.originals import Moments
from editing.score_distillation.config import DistillationConfig
from editing.score_distillation.job import DistillationJob, DistillationRequest
from renderer.avatar_file import file_sha256, load_avatar, save_avatar
from renderer.emotion import NEUTRAL, Emotion
from renderer.errors import BadInput
from tests.editing.score_distillation.conftest import BRIEF

if TYPE_CHECKING:
    from pathlib import Path

    from editing.score_distillation.latent_diffusion import LatentDiffusion
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

MOVES_THE_LIPS = ("audio.", "attention.", "head.ambient", "head.audio_grid", "head.density0.eye", "torso.deform")
REQUEST = DistillationRequest("bronze statue of a man", "man", BRIEF, threads=1)


def start(
    avatar: Avatar, encoder: AudioEncoder, folder: Path, model: LatentDiffusion, request: DistillationRequest = REQUEST
) -> DistillationJob:
    folder.mkdir(exist_ok=True)
    source = folder / "source.avatar"
    if not source.exists():
        save_avatar(avatar, source)
    return DistillationJob(source, load_avatar(source), folder / "bronze.avatar", request, model, encoder)


def silent(_: dict[str, Any]) -> None:
    pass


def test_a_whole_edit_ends_with_an_avatar(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, model: LatentDiffusion) -> None:
    states: list[dict[str, Any]] = []
    watched: list[int] = []
    sha256 = start(avatar, encoder, tmp_path, model).run(states.append, lambda step, _: watched.append(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bronze.avatar", "bronze.preview.png", "source.avatar"]
    edited, source = load_avatar(tmp_path / "bronze.avatar"), load_avatar(tmp_path / "source.avatar")
    assert sha256 == file_sha256(tmp_path / "bronze.avatar")
    for name, tensor in edited.tensors.items():
        if name.startswith(MOVES_THE_LIPS):
            np.testing.assert_array_equal(tensor, source.tensors[name])
    assert not np.array_equal(edited.tensors["head.colour1.weight"], source.tensors["head.colour1.weight"])
    np.testing.assert_array_equal(edited.pose_track, source.pose_track)
    lineage = edited.lineage
    assert lineage.instruction == "bronze statue of a man" and lineage.editor == f"vt-sds:{model.name}"
    assert lineage.parent_sha256 == file_sha256(tmp_path / "source.avatar")
    assert json.loads(lineage.schedule)["fine_tuning"]["steps"] == 4
    assert edited.poster is not None and edited.subject == source.subject
    assert [state["stage"] for state in states if state["step"] == state["steps"]] == [
        "preparing",
        "prior pictures",
        "fine-tuning",
        "distillation",
    ]
    assert states[-1]["preview"] in ("round_7.png", "edited_1.png") and watched == list(range(9))
    shares = [state["share"] for state in states]
    assert shares == sorted(shares) and shares[-1] == 1.0


@pytest.mark.parametrize("stop", ["prior pictures", "fine-tuning", "distillation"])
def test_an_edit_that_was_stopped_ends_with_the_same_avatar(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, model: LatentDiffusion, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editing.score_distillation.job.SAVE_EVERY_S", 0.0)
    monkeypatch.setattr("editing.score_distillation.job.PROGRESS_EVERY_STEPS", 1)
    expected = start(avatar, encoder, tmp_path / "whole", model).run(silent)
    at = {"prior pictures": 4, "fine-tuning": 3, "distillation": 5}[stop]

    def interrupt(state: dict[str, Any]) -> None:
        if state["stage"] == stop and state["step"] == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(avatar, encoder, tmp_path / "cut", model).run(interrupt)
    assert not (tmp_path / "cut" / "bronze.avatar").exists(), "nothing half-written on the shelf"
    seen: list[tuple[str, int]] = []
    resumed = start(avatar, encoder, tmp_path / "cut", model).run(lambda state: seen.append((state["stage"], state["step"])))
    assert resumed == expected
    assert (stop, at - 1) not in seen, "it went on where it was"


def test_another_request_does_not_go_on_from_this_one(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, model: LatentDiffusion
) -> None:
    start(avatar, encoder, tmp_path, model)
    other = dataclasses.replace(REQUEST, prompt="pencil sketch of a man")
    with pytest.raises(BadInput, match="begun with prompt 'bronze statue of a man', now it is 'pencil sketch of a man'"):
        start(avatar, encoder, tmp_path, model, other)


def test_a_broken_state_is_one_line(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, model: LatentDiffusion) -> None:
    job = start(avatar, encoder, tmp_path, model)
    (tmp_path / "bronze.edit" / "fine_tuning.state").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="pass --restart") as refused:
        job.run(silent)
    assert "\n" not in str(refused.value)


def test_single_token_gives_every_keyframe_the_same_label(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, model: LatentDiffusion
) -> None:
    single = dataclasses.replace(REQUEST, config=DistillationConfig(single_token=True))
    job = start(avatar, encoder, tmp_path, model)
    assert len(set(job.identifiers(5))) == 5
    assert len(set(start(avatar, encoder, tmp_path / "single", model, single).identifiers(5))) == 1


def test_an_edited_avatar_keeps_its_emotions(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, model: LatentDiffusion) -> None:
    start(avatar, encoder, tmp_path, model).run(silent)
    edited = load_avatar(tmp_path / "bronze.avatar")
    assert avatar.is_emotional and edited.is_emotional
    np.testing.assert_array_equal(edited.tensors["head.density0.emotion_condition"], avatar.tensors["head.density0.emotion_condition"])
    moments = Moments.of(avatar, encoder, 12)
    strong = [dataclasses.replace(moments, emotions=(emotion,) * 12) for emotion in (NEUTRAL, Emotion("angry", 1.0), Emotion("happy", 1.0))]
    neutral, angry, happy = ([told.render(shown, [0], 1).astype(float)[:, 16:44, 20:44] for shown in (avatar, edited)] for told in strong)
    for face in (angry, happy):
        before, after = (np.abs(face[k] - neutral[k]).mean() for k in (0, 1))
        assert before > 1.0 and after > 0.5 * before, (before, after)
