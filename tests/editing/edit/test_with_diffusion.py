"""Edits by InstructPix2Pix: a tiny network of random weights, through the whole of `edit`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from editing.edit.job import EditJob, EditRequest
from editing.edit.job_folder import job_folder
from editing.edit.optimise import OptimisationSteps
from editing.edit.schedule import EditSchedule
from editing.image_editors import open_image_editor
from renderer.avatar_file import load_avatar, save_avatar
from tests.editing.image_editors.tiny_pipeline import write_tiny_pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from editing.image_editors.editor import ImageEditor
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

pytestmark = pytest.mark.usefixtures("without_landmarks")
SCHEDULE = EditSchedule("one-time", frames=4, text_guidance=(3.0, 6.0), diffusion_steps=(2, 3))
REQUEST = EditRequest("make him old", SCHEDULE, OptimisationSteps(2, 2, 2, 2), threads=1)


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> ImageEditor:
    return open_image_editor(str(write_tiny_pipeline(tmp_path_factory.mktemp("ip2p") / "tiny")), device="cpu", size_px=32, batch_size=4)


@pytest.fixture
def source(avatar: Avatar, tmp_path: Path) -> Path:
    save_avatar(avatar, tmp_path / "source.avatar")
    return tmp_path / "source.avatar"


def edited_frames(source: Path, editor: ImageEditor, encoder: AudioEncoder, name: str, request: EditRequest) -> np.ndarray:
    """The first round's dataset: the job is stopped when the field begins to learn from it."""

    def stop(state: dict[str, Any]) -> None:
        if state["stage"] not in ("preparing", "editing"):
            raise KeyboardInterrupt

    out = source.with_name(f"{name}.avatar")
    with pytest.raises(KeyboardInterrupt):
        EditJob(source, load_avatar(source), out, request, editor, encoder).run(stop)
    return np.asarray(np.load(job_folder(out) / "edited.npy")).astype(int)


def test_an_edit_by_diffusion_ends_with_an_avatar(source: Path, editor: ImageEditor, encoder: AudioEncoder) -> None:
    schedule = dataclasses.replace(SCHEDULE, strategy="progressive", rounds=2)
    request = dataclasses.replace(REQUEST, schedule=schedule, steps=OptimisationSteps(20, 4, 4, 4))
    out = source.with_name("old.avatar")
    EditJob(source, load_avatar(source), out, request, editor, encoder).run(lambda _: None)
    edited = load_avatar(out)
    assert edited.refiner is not None and edited.lineage.instruction == "make him old" and "tiny" in (edited.lineage.editor or "")
    before = load_avatar(source).tensors["head.colour0.weight"]
    assert not np.array_equal(edited.tensors["head.colour0.weight"], before)


@pytest.mark.parametrize(
    "changed",
    [
        {"image_guidance": 4.0},
        {"seed": 1},
        {"schedule": dataclasses.replace(SCHEDULE, text_guidance=(3.0, 15.0))},
        {"schedule": dataclasses.replace(SCHEDULE, diffusion_steps=(2, 6))},
        {"schedule": dataclasses.replace(SCHEDULE, strategy="iterative")},
        {"instruction": "zombie"},
    ],
    ids=["image guidance", "seed", "text guidance", "diffusion steps", "original as condition", "instruction"],
)
def test_every_setting_of_an_edit_reaches_the_diffusion(
    source: Path, editor: ImageEditor, encoder: AudioEncoder, changed: dict[str, Any]
) -> None:
    usual = edited_frames(source, editor, encoder, "usual", REQUEST)
    again = edited_frames(source, editor, encoder, "again", REQUEST)
    other = edited_frames(source, editor, encoder, "other", dataclasses.replace(REQUEST, **changed))
    np.testing.assert_array_equal(usual, again)
    first = 1 if "schedule" in changed and changed["schedule"].strategy == "iterative" else 4  # a round of which edits one frame
    assert np.abs(other[:first] - usual[:first]).mean() > 0.5
