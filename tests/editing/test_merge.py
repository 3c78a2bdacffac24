"""Datasets of one subject become one; what does not belong together is refused in one line."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.__main__ import main
from editing.dataset import Dataset, write_meta
from editing.joints import MARGIN_FRAMES, away_from_joints, eased, eased_poses
from editing.synthesize.take import TakeConfig, synthesize

if TYPE_CHECKING:
    from pathlib import Path

N = 25


def small_take(path: Path, emotion: str, strength: float, seed: int, size_px: int = 32) -> Path:
    config = TakeConfig(
        seconds=1.0, size_px=size_px, supersample=1, seed=seed, voices=("en-us+m3",), emotion=emotion, emotion_strength=strength
    )
    synthesize(path, config, 1, show_progress=False)
    return path


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("takes")
    return small_take(folder / "neutral", "neutral", 0.0, 1), small_take(folder / "sad", "sad", 2 / 3, 2)


def test_merged_takes_follow_each_other(takes: tuple[Path, Path], tmp_path: Path) -> None:
    names = [str(path) for path in takes]
    # Another program may number emotions otherwise.
    transcript = json.loads((takes[1] / "transcript.json").read_text())
    transcript["emotions"] = ["sad" if name == "neutral" else "neutral" if name == "sad" else name for name in transcript["emotions"]]
    other = tmp_path / "other"
    other.mkdir()
    for path in takes[1].iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "transcript.json").write_text(json.dumps(transcript))
    with np.load(other / "track.npz") as file:
        track = dict(file)
    track["emotion"] = np.zeros(N, np.int16)
    np.savez(other / "track.npz", **track)

    for second in (names[1], str(other)):
        out = tmp_path / f"both of {file_name(second)}"
        assert main(["merge", names[0], second, "--out", str(out)]) == 0
        both, parts = Dataset.open(out), [Dataset.open(path) for path in takes]
        assert both.meta.n_frames == 2 * N and both.meta.joints == (N,)
        np.testing.assert_array_equal(both.frames, np.concatenate([part.frames for part in parts]))
        np.testing.assert_array_equal(both.labels, np.concatenate([part.labels for part in parts]))
        np.testing.assert_array_equal(both.audio(), np.concatenate([part.audio() for part in parts]))
        np.testing.assert_array_equal(both.track.camera_from_head, np.concatenate([part.track.camera_from_head for part in parts]))
        assert [both.emotion(k).category for k in (0, N - 1, N, 2 * N - 1)] == ["neutral", "neutral", "sad", "sad"]
        assert both.has_emotions()
        assert both.usable().tolist() == away_from_joints(2 * N, (N,)).tolist()
        moved = both.transcript["sentences"][-1]["start_s"] - parts[1].transcript["sentences"][-1]["start_s"]
        assert moved == pytest.approx(1.0)
        assert not out.with_name(out.name + ".partial").exists()


def file_name(path: str) -> str:
    return path.rpartition("/")[2]


def test_merge_refuses_what_does_not_belong_together(takes: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    captured = tmp_path / "captured"
    captured.mkdir()
    for path in takes[1].iterdir():
        (captured / path.name).write_bytes(path.read_bytes())
    write_meta(captured, dataclasses.replace(Dataset.open(takes[1]).meta, subject={"kind": "person"}))
    larger = small_take(tmp_path / "larger", "neutral", 0.0, 3, 48)
    for second, complaint in (
        (larger, "has camera"), (captured, "was captured, with a head shape of its own"), (tmp_path / "none", "is not a dataset folder"),
    ):  # fmt: skip
        assert main(["merge", str(takes[0]), str(second), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert complaint in error and error.count("\n") == 1
    assert main(["merge", str(takes[0]), "--out", str(tmp_path / "out")]) == 2
    assert "at least two" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_eased_goes_from_clip_to_clip_without_a_jump() -> None:
    values = np.where(np.arange(100) < 50, 0.0, 1.0)
    smooth = eased(values, (50,))
    assert np.abs(np.diff(smooth)).max() < 0.1
    away = away_from_joints(100, (50,))
    np.testing.assert_array_equal(smooth[away], values[away])


def test_eased_poses_are_rotations() -> None:
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    poses = np.tile(np.eye(4, dtype=np.float32), (60, 1, 1))
    poses[30:, :3, :3], poses[30:, 0, 3] = turn, 1.0
    found = eased_poses(poses, (30,))
    np.testing.assert_allclose(found[:, :3, :3] @ found[:, :3, :3].transpose(0, 2, 1), np.tile(np.eye(3), (60, 1, 1)), atol=1e-5)
    assert np.abs(np.diff(found[:, :3, :3], axis=0)).max() < 0.2
    assert found.dtype == np.float32 and np.array_equal(found[: 30 - MARGIN_FRAMES], poses[: 30 - MARGIN_FRAMES])


def test_eased_of_clips_shorter_than_the_margins_stays_finite() -> None:
    values = np.repeat(np.arange(6.0), 5)
    found = eased(values, (5, 10, 15, 20, 25))
    assert np.isfinite(found).all() and np.abs(np.diff(found)).max() < 1.5
