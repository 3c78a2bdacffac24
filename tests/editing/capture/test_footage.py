"""Clips by emotion become one footage and one dataset; what is laid out otherwise is refused in one line."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.__main__ import main
from editing.capture import tracking
from editing.capture.footage import Footage, labelled_files
from editing.dataset import Dataset
from editing.joints import MARGIN_FRAMES
from renderer.emotion import NEUTRAL, Emotion
from renderer.errors import BadInput
from tests.editing.capture.painted_person import PaintDetector, paint
from tests.editing.capture.test_capture_command import film

if TYPE_CHECKING:
    from pathlib import Path

SIZE_PX = 128
SECONDS = 2.4
N_CLIP = round(SECONDS * 25)
BEGINS_S = {"neutral/level_1": 0.0, "fear/level_1": 3.0, "happy/level_3": 6.0, "contempt/level_2": 9.0}
"""Where in the painted person's motion each clip begins."""


def speaking() -> tuple[np.ndarray, np.ndarray]:
    """A tone that comes and goes, and a mouth that goes with it."""
    times_s = np.arange(16_000 * 3) / 16_000
    opening = 0.5 - 0.5 * np.cos(2.0 * np.pi * 2.0 * np.arange(300) / 100)
    return (0.3 * np.sin(2 * np.pi * 200 * times_s) * (0.5 - 0.5 * np.cos(4.0 * np.pi * times_s))).astype(np.float32), opening


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labels and an emotion that the field does not know; in each clip the head is somewhere else."""
    root = tmp_path_factory.mktemp("actor")
    for name, begin_s in BEGINS_S.items():
        (root / name).mkdir(parents=True)
        film(root / name / "001.mp4", speaking(), lambda s, opening, begin_s=begin_s: paint(s + begin_s, opening, 192).picture, SECONDS)
    (root / "happy" / "level_3" / "notes.txt").write_text("not a clip")
    return root


def test_labelled_files_are_mapped_and_the_others_named(folder: Path) -> None:
    found, left_out = labelled_files(folder)
    assert [(path.parent.parent.name, emotion) for path, emotion in found] == [
        ("fear", Emotion("fearful", 1 / 3)), ("happy", Emotion("happy", 1.0)), ("neutral", NEUTRAL),
    ]  # fmt: skip
    assert left_out == ("contempt",)


def test_footage_is_its_clips_one_after_the_other(folder: Path) -> None:
    footage = Footage.of_emotions(folder)
    assert footage.n_frames == 3 * N_CLIP and footage.joints == (N_CLIP, 2 * N_CLIP)
    first, second = (list(Footage("one", (clip,)).frames()) for clip in footage.clips[:2])
    for found, wanted in zip(footage.frames(N_CLIP - 2, 4), [*first[-2:], *second[:2]], strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert len(footage.sound()) == footage.n_frames * 640


@pytest.fixture(scope="module")
def captured(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, str]:
    """The dataset of the folder and what the command prints."""
    out = tmp_path_factory.mktemp("captured") / "set"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(tracking, "LandmarkDetector", PaintDetector)
        assert main(["capture", str(folder), "--emotions", "--out", str(out), "--size", str(SIZE_PX), "--jobs", "1"]) == 0
    return Dataset.open(out), printed.getvalue()


def test_clips_by_emotion_become_one_dataset(captured: tuple[Dataset, str]) -> None:
    dataset, printed = captured
    assert "left out: contempt" in printed and "no clip shows weak angry" in printed
    assert dataset.meta.joints == (N_CLIP, 2 * N_CLIP) and dataset.has_emotions()
    assert [dataset.emotion(k).category for k in (0, N_CLIP, 2 * N_CLIP)] == ["fearful", "happy", "neutral"]
    assert [dataset.emotion(k).strength for k in (0, N_CLIP, 2 * N_CLIP)] == pytest.approx([1 / 3, 1.0, 0.0])
    usable = dataset.usable()
    assert not usable[N_CLIP - MARGIN_FRAMES : N_CLIP + MARGIN_FRAMES].any()
    assert usable.mean() > 0.7


def test_poses_jump_where_the_clips_do(captured: tuple[Dataset, str]) -> None:
    """The prior on acceleration holds within a clip, not across: the pictures on either side keep the poses of their own clip."""
    dataset, _ = captured
    begins_s = [BEGINS_S[name] for name in ("fear/level_1", "happy/level_3", "neutral/level_1")]
    truth = np.concatenate([[paint(begin_s + k / 25, 0.0, 64).translation[0] for k in range(N_CLIP)] for begin_s in begins_s])
    found = dataset.track.camera_from_head[:, 0, 3] * 17.0
    error = np.abs(np.polyval(np.polyfit(truth, found, 1), truth) - found)
    near = [k for joint in dataset.meta.joints for k in range(joint - 2, joint + 2)]
    assert np.abs(np.diff(truth))[[joint - 1 for joint in dataset.meta.joints]].max() > 0.5, "the clips do not jump at all"
    assert error[near].max() < 0.25


@pytest.mark.parametrize(
    ("layout", "complaint"),
    [
        ((), "holds no clip with a label"),
        (("bored/level_1/001.mp4",), "holds no clip with a label"),
        (("happy/level_4/001.mp4",), "level_4: level_1 to level_3 are possible"),
        (("happy/level_1/001.mp4",), "cannot be read as a video"),
    ],
)
def test_folder_of_another_layout_is_refused(tmp_path: Path, layout: tuple[str, ...], complaint: str) -> None:
    for name in layout:
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no film")
    with pytest.raises(BadInput, match=complaint):
        Footage.of_emotions(tmp_path)


def test_clips_of_two_sizes_are_refused(tmp_path: Path) -> None:
    for level, size_px in (("level_1", 96), ("level_2", 128)):
        (tmp_path / "sad" / level).mkdir(parents=True)
        film(tmp_path / "sad" / level / "1.mp4", speaking(), lambda s, o, size_px=size_px: paint(s, o, size_px).picture, 0.4)
    with pytest.raises(BadInput, match=r"128x128.*96x96.*one camera"):
        Footage.of_emotions(tmp_path)


@pytest.mark.parametrize(
    ("what", "more", "complaint"),
    [("happy/level_3/001.mp4", (), "is not a folder; --emotions takes one"), (".", ("--seconds", "9"), "--seconds shortens one video")],
)
def test_emotions_of_what_is_no_folder_of_clips_are_refused(
    folder: Path, tmp_path: Path, what: str, more: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capture", str(folder / what), "--emotions", *more, "--out", str(tmp_path / "x")]) == 2
    assert complaint in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
