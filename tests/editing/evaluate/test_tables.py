"""Both tables from beginning to end, on a tiny take and the shipped avatar at 64 pixels; who judges is a stand-in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.evaluate import stillness
from editing.evaluate.cross_driven import cross_driven
from editing.evaluate.driving import Drive
from editing.evaluate.judges import Judges
from editing.evaluate.moving import consecutive, lag_scores
from editing.evaluate.self_driven import self_driven
from editing.evaluate.table import ROWS, table
from editing.landmarks import Face
from renderer.avatar_file import load_avatar
from renderer.errors import BadInput
from renderer.library import find_avatar

if TYPE_CHECKING:
    from pathlib import Path

    from editing.evaluate.syncnet import SyncScores

SIZE_PX = 64
SAMPLES_PER_FRAME = 640
WEIGHTS = ("lpips", "sync_confidence", "sync_distance", "sync_confidence_of_truth", "aue", "identity")
PICTURES = ("psnr_db", "psnr_head_db", "psnr_face_db", "psnr_lips_db", "ssim")


class DarkMouthDetector:
    """Takes the darkness of the picture's lower half for the mouth's opening."""

    def detect(self, picture: np.ndarray) -> np.ndarray:
        return self.detect_face(picture).landmarks

    def detect_face(self, picture: np.ndarray) -> Face:
        landmarks = np.zeros((478, 2), np.float32)
        landmarks[263] = (SIZE_PX, 0.0)
        landmarks[14] = (0.0, 255.0 - float(picture[SIZE_PX // 2 :].mean()))
        return Face(landmarks, np.zeros(478, np.float32), {"jawOpen": float(picture.mean()) / 255.0}, np.eye(4, dtype=np.float32))

    def close(self) -> None:
        return None


class EqualLpips:
    name = "alex"

    def distance(self, a: np.ndarray, b: np.ndarray) -> float:
        return 0.25


class CountingSyncNet:
    """Gives the numbers of pictures and samples that it was shown."""

    def scores(self, clip, samples: np.ndarray, detector: object) -> SyncScores:  # type: ignore[no-untyped-def]
        from editing.evaluate.syncnet import SyncScores

        return SyncScores(float(len(list(clip()))), float(len(samples)), 1)


class LevelOpenFace:
    def mouth_intensities(self, pictures) -> np.ndarray:  # type: ignore[no-untyped-def]
        return np.array([[float(picture.mean())] for picture in pictures])


@pytest.fixture(autouse=True)
def short_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stillness, "QUIET_S", 1.2)


def judges(**extra: object) -> Judges:
    return Judges(detector=DarkMouthDetector(), **extra)  # type: ignore[arg-type]


def test_self_driven_without_weights_says_what_is_missing(drive: Drive, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    found = self_driven(drive, range(0, drive.n_frames, 2), judges(), sheet)
    assert found["setting"] == "self-driven" and found["frames"] == 15 and found["face_missed"] == 0
    assert all(found[name] is None and "not available: needs" in found[f"{name}_reason"] for name in WEIGHTS)
    assert all(np.isfinite(found[name]) for name in PICTURES)
    assert found["lmd_512_px"] == pytest.approx(8 * found["lmd_px"])
    assert -1 <= found["opening_correlation"] <= 1 and found["opening_lag_frames"] % 2 == 0
    assert {row.key for row in ROWS} <= found.keys(), "the table has lines that are not measured"
    json.loads(json.dumps(found, allow_nan=False))
    assert sheet.read_bytes().startswith(b"\x89PNG") and not list(tmp_path.glob("*.partial"))


def test_self_driven_without_landmarks_gives_pictures_only(drive: Drive) -> None:
    found = self_driven(drive, range(0, 30, 10), Judges(no_detector="no model"))
    assert found["psnr_db"] > 5
    for name in ("lmd_px", "opening_correlation", "phone_correlation", "mouth_moves_in_silence"):
        assert found[name] is None and found[f"{name}_reason"] == "not available: no model"


def test_self_driven_asks_every_judge(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("editing.evaluate.syncnet.MIN_FRAMES", 10)
    found = self_driven(drive, range(0, 30, 6), judges(lpips=EqualLpips(), syncnet=CountingSyncNet(), openface=LevelOpenFace()))
    assert found["lpips"] == 0.25 and found["lpips_network"] == "alex"
    # SyncNet hears consecutive frames although every sixth was asked for.
    assert found["sync_confidence"] == found["sync_confidence_of_truth"] == 30
    assert found["sync_distance"] == 30 * SAMPLES_PER_FRAME
    assert 0 < found["aue"] < 100
    lines = table(found)
    assert "LPIPS by alex" in lines and "0.2500" in lines and "needs ArcFace" in lines


def test_cross_driven_measures_what_needs_no_truth(drive: Drive, tmp_path: Path) -> None:
    speech = np.concatenate([drive.samples, drive.samples[::-1]])
    other = Drive.prepare(drive.avatar, drive.dataset, drive.encoder, speech)
    assert other.n_frames == 2 * drive.n_frames
    sheet = tmp_path / "sheet.png"
    found = cross_driven(other, range(0, other.n_frames, 3), judges(), sheet)
    assert found["setting"] == "cross-driven" and found["frames"] == 20
    for name in (*PICTURES, "lmd_px", "aue", "opening_correlation", "phone_correlation_of_truth", "sync_confidence_of_truth"):
        assert found[name] is None and "no true pictures" in found[f"{name}_reason"]
    assert "syncnet_v2.model" in found["sync_confidence_reason"]
    assert -1 <= found["phone_correlation"] <= 1 and found["mouth_moves_in_silence"] is not None
    assert {row.key for row in ROWS} <= found.keys() and sheet.is_file()
    assert "cross-driven: 20 frames" in table(found)


def test_drive_goes_to_and_fro_through_the_poses(drive: Drive) -> None:
    n = drive.dataset.meta.n_frames
    assert [drive.pose_frame(k) for k in (0, n - 1, n, 2 * n - 2, 2 * n - 1)] == [0, n - 1, n - 2, 0, 1]


def test_drive_rejects_what_cannot_be_rendered(drive: Drive) -> None:
    with pytest.raises(BadInput, match="one frame"):
        Drive.prepare(drive.avatar, drive.dataset, drive.encoder, np.zeros(100, np.float32))
    with pytest.raises(BadInput, match="dataset of 64x64 pixels, avatar of 256x256"):
        Drive.prepare(load_avatar(find_avatar("bundled")), drive.dataset, drive.encoder)


def test_lag_is_in_frames_whatever_the_step() -> None:
    curve = np.random.default_rng(0).normal(size=80).cumsum()
    found = lag_scores("opening", curve[:-1], curve[1:], 3)
    assert found["opening_lag_frames"] == -3 and found["opening_correlation"] > 0.99
    assert "flat" in lag_scores("opening", curve, np.zeros(80), 1)["opening_correlation_reason"]


def test_consecutive_frames_are_as_many_but_not_too_few() -> None:
    assert consecutive(range(10, 1000, 1)) == range(10, 1000)
    assert consecutive(range(10, 1000, 60)) == range(10, 135)
    assert consecutive(range(10, 40, 5)) == range(10, 40)


def test_table_says_each_reason_once() -> None:
    result = {"setting": "cross-driven", "frames": 3, "size": 64, "face_missed": 1, "psnr_db": 30.123, "sync_offset_frames": -2}
    result |= {"ssim": None, "ssim_reason": "not available: one", "lpips": None, "lpips_reason": "not available: one"}
    lines = table(result).splitlines()
    assert lines[0] == "cross-driven: 3 frames of 64 px, no face in 1"
    assert lines[1].endswith("30.12 dB") and any(line.endswith("-2 frames") for line in lines)
    assert sum("not available: one" in line for line in lines) == 1
    assert len(lines) == 1 + len(ROWS) + 2
