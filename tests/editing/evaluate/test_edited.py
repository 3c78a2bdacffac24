"""Edits of the shipped avatar at 64 pixels against it: from beginning to end, with stand-ins for the models that judge."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.__main__ import main
from editing.evaluate import stillness
from editing.evaluate.captions import Captions
from editing.evaluate.edit_sheet import compose_edit, mouth_square
from editing.evaluate.edited import OriginalClip, clip_metrics, compare, motion_metrics
from editing.evaluate.judges import ARCFACE_MODEL, CLIP_MODEL, OPENFACE, SYNCNET_MODEL, JudgeFiles, Judges
from editing.evaluate.shared_drive import SharedDrive
from editing.evaluate.table import EDIT_ROWS, table
from editing.landmarks import MODEL_VARIABLE
from editing.lpips import BACKBONE_VARIABLE, LINEAR_VARIABLE
from renderer.avatar_file import save_avatar
from renderer.errors import BadInput
from tests.editing.evaluate.tiny_clip import write_tiny_clip

if TYPE_CHECKING:
    from pathlib import Path

    from editing.evaluate.driving import Drive
    from editing.evaluate.syncnet import SyncScores
    from renderer.avatar import Avatar

N_FRAMES = 16


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (BACKBONE_VARIABLE, LINEAR_VARIABLE, SYNCNET_MODEL, OPENFACE, MODEL_VARIABLE, CLIP_MODEL, ARCFACE_MODEL):
        monkeypatch.delenv(variable, raising=False)


class WidestGapDetector:
    """A face whose place is fixed and whose mouth is as open as the picture's lower middle varies from row to row."""

    def detect(self, picture: np.ndarray) -> np.ndarray:
        landmarks = np.zeros((478, 2), np.float32)
        landmarks[263] = (64.0, 0.0)
        landmarks[14] = (0.0, float(picture[36:46, 26:38].astype(float).mean(axis=(1, 2)).std()))
        return landmarks


class BlindTo:
    """Sees no face where the picture is greener than red, which skin is not."""

    def detect(self, picture: np.ndarray) -> np.ndarray | None:
        green = picture[24:44, 24:40, 1].mean() > picture[24:44, 24:40, 0].mean()
        return None if green else WidestGapDetector().detect(picture)


class CountingSyncNet:
    def scores(self, clip, samples: np.ndarray, detector: object) -> SyncScores:  # type: ignore[no-untyped-def]
        from editing.evaluate.syncnet import SyncScores

        return SyncScores(float(len(list(clip()))), float(len(samples)), 1)


class LevelArcFace:
    def distance(self, a: np.ndarray, b: np.ndarray, landmarks_a: np.ndarray, landmarks_b: np.ndarray) -> float:
        return abs(float(a.mean()) - float(b.mean())) / 255.0


@pytest.fixture(scope="module")
def shared(drive: Drive) -> SharedDrive:
    return SharedDrive.of_dataset(drive.avatar, drive.encoder, drive.dataset).cut(range(N_FRAMES))


def recoloured(avatar: Avatar) -> Avatar:
    """Red becomes green, green blue, blue red: another look, the same lips."""
    last = "head.colour1.weight"
    return avatar.replace(name="recoloured", tensors=avatar.tensors | {last: np.ascontiguousarray(avatar.tensors[last][[2, 0, 1]])})


@pytest.fixture(scope="module")
def clip(drive: Drive, shared: SharedDrive) -> OriginalClip:
    return OriginalClip(drive.avatar, shared, Judges(no_detector="no model"))


def test_the_original_against_itself_is_perfect(clip: OriginalClip) -> None:
    found = compare(clip, clip.avatar)
    assert found["mouth_motion_correlation"] == pytest.approx(1.0) and found["mouth_motion_gain"] == pytest.approx(1.0)
    assert found["mouth_motion_error_px"] == pytest.approx(0.0, abs=1e-9)
    assert found["warping_error"] == found["warping_error_by_original_flow"] == found["warping_error_of_original"] > 0
    assert found["warping_error"] == pytest.approx(found["warping_error_short"] + found["warping_error_long"])


def test_new_colours_keep_the_lips_and_other_words_do_not(clip: OriginalClip, shared: SharedDrive) -> None:
    kept = motion_metrics(clip, recoloured(clip.avatar))["mouth_motion_correlation"]
    assert kept > 0.5
    # The same comparison with an "edit" that says something else: the original, driven by shuffled sound.
    order = np.random.default_rng(0).permutation(N_FRAMES)
    other = OriginalClip(clip.avatar, dataclasses.replace(shared, windows=shared.windows[order]), clip.judges)
    other.__dict__["mouth_flows"] = clip.mouth_flows
    shuffled = motion_metrics(other, clip.avatar)["mouth_motion_correlation"]
    assert shuffled < 0.5 * kept


def test_a_mouth_that_does_not_hear_does_not_move(clip: OriginalClip) -> None:
    deaf = clip.avatar.replace(tensors=clip.avatar.tensors | {"head.audio_grid": np.zeros_like(clip.avatar.tensors["head.audio_grid"])})
    found = motion_metrics(clip, deaf)
    assert abs(found["mouth_motion_gain"]) < 0.05 and found["mouth_motion_error_px"] > 0.9 * found["mouth_motion_of_original_px"]


def test_landmarks_say_whether_the_lips_are_preserved(drive: Drive, shared: SharedDrive) -> None:
    judges = Judges(detector=WidestGapDetector())  # type: ignore[arg-type]
    held = dataclasses.replace(shared.held(), speech=None)
    clip = OriginalClip(drive.avatar, held, judges)
    found = compare(clip, recoloured(drive.avatar))
    assert found["lip_opening_correlation_lag0"] > 0.5 and found["faces_found_in_edited"] == 1.0
    backwards = OriginalClip(drive.avatar, dataclasses.replace(held, windows=held.windows[::-1]), judges)
    backwards.landmarks = clip.landmarks
    other = compare(backwards, recoloured(drive.avatar))
    assert other["lip_opening_correlation_lag0"] < found["lip_opening_correlation_lag0"] - 0.3


def test_faces_that_are_not_found_are_counted(drive: Drive, shared: SharedDrive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stillness, "QUIET_S", 1.2)
    clip = OriginalClip(drive.avatar, shared.cut(range(10, 16)), Judges(detector=BlindTo()))  # type: ignore[arg-type]
    found = compare(clip, recoloured(drive.avatar))
    assert found["faces_found_in_original"] == 1.0 and found["faces_found_in_edited"] == 0.0
    assert found["face_missed"] == 6 and found["lip_lmd_px"] is None
    assert found["mouth_motion_correlation"] is not None, "the measure without a detector is there for this"
    assert found["mouth_open_in_silence"] is None and found["mouth_open_in_silence_of_original"] is not None


def test_compare_asks_every_judge(drive: Drive, shared: SharedDrive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stillness, "QUIET_S", 1.2)
    monkeypatch.setattr("editing.evaluate.syncnet.MIN_FRAMES", 5)
    parts = {"detector": WidestGapDetector(), "syncnet": CountingSyncNet(), "arcface": LevelArcFace()}
    judges = dataclasses.replace(Judges(**parts), clip=Judges.open(JudgeFiles(clip=str(write_tiny_clip(tmp_path / "clip")))).clip)  # type: ignore[arg-type]
    clip = OriginalClip(drive.avatar, shared, judges)
    edited, sheet = recoloured(drive.avatar), tmp_path / "sheet.png"
    found = compare(clip, edited, instruction="make her a bronze statue", sheet=sheet)
    assert {row.key for row in EDIT_ROWS} <= found.keys(), "the table has lines that are not measured"
    assert all(found[row.key] is not None for row in EDIT_ROWS)
    assert found["sync_confidence"] == found["sync_confidence_of_original"] == N_FRAMES
    assert found["sync_distance"] == N_FRAMES * 640
    assert found["caption_after"] == "A bronze statue of a woman" and -1 <= found["clip_direction"] <= 1
    assert 0 < found["clip_consistency"] <= 1.00001 and 0 < found["identity"] < 1
    assert sheet.read_bytes().startswith(b"\x89PNG") and not list(tmp_path.glob("*.partial"))
    json.loads(json.dumps(found, allow_nan=False))
    lines = table(found)
    assert lines.startswith("recoloured against Robin, speaking a dataset: 16 frames") and "'A bronze statue of a woman'" in lines
    pictures = np.stack(list(shared.pictures(edited, "edited")))
    other = clip_metrics(clip, pictures, Captions("a face", "a tree"), "make her a bronze statue")
    assert (other["caption_before"], other["caption_after"]) == ("a face", "a tree") and other["clip_direction"] != found["clip_direction"]
    without = clip_metrics(clip, pictures, None, None)
    assert "no instruction" in without["clip_direction_reason"] and without["clip_consistency"] == found["clip_consistency"]


def test_what_is_missing_is_named(clip: OriginalClip) -> None:
    found = compare(clip, recoloured(clip.avatar))
    reasons = [("clip_direction", "CLIP"), ("identity", "ArcFace"), ("sync_confidence", "syncnet_v2"), ("lip_lmd_px", "no model")]
    for name, reason in reasons:
        assert found[name] is None and reason in found[f"{name}_reason"]
    assert "syncnet_v2" in found["sync_confidence_of_original_reason"]
    assert {row.key for row in EDIT_ROWS} <= found.keys()
    assert table(found).count("syncnet_v2") == 1


def test_avatars_that_cannot_do_the_same_are_refused(clip: OriginalClip) -> None:
    larger = clip.avatar.camera.resized(128, 128)
    background = np.zeros((128, 128, 3), np.uint8)
    with pytest.raises(BadInput, match="128x128 pixels"):
        compare(clip, clip.avatar.replace(camera=larger, background=background, poster=None))
    with pytest.raises(BadInput, match="same"):
        compare(clip, clip.avatar.replace(encoder=dataclasses.replace(clip.avatar.encoder, sha256="0" * 64)))


def test_shared_drive_of_the_training_clip_and_of_a_sound(drive: Drive) -> None:
    own = SharedDrive.of_training_clip(drive.avatar, drive.encoder)
    assert own.n_frames == len(drive.avatar.pose_track) and own.samples is None
    spoken = SharedDrive.of_speech(drive.avatar, drive.encoder, drive.samples)
    assert spoken.n_frames == drive.n_frames
    np.testing.assert_array_equal(spoken.windows, drive.windows)
    part = spoken.cut(range(5, 9))
    np.testing.assert_array_equal(part.sound(range(1, 3)), drive.samples[6 * 640 : 8 * 640])
    np.testing.assert_array_equal(part.poses[0], drive.avatar.pose_track[5])
    assert part.held().eye_ratio.min() == 1.0 and np.ptp(part.held().poses, axis=0).max() == 0.0
    with pytest.raises(BadInput, match="training clip"):
        SharedDrive.of_training_clip(drive.avatar.replace(audio_track=None), drive.encoder)
    with pytest.raises(BadInput, match="one frame"):
        SharedDrive.of_speech(drive.avatar, drive.encoder, np.zeros(100, np.float32))


def test_mouth_square_is_cut_within_the_picture() -> None:
    rows, columns = mouth_square(None, (slice(40, 64), slice(20, 44)), 64, 64)
    assert rows.stop - rows.start == columns.stop - columns.start >= 8 and rows.stop <= 64
    at_the_edge = np.full((478, 2), 63.0, np.float32)
    rows, columns = mouth_square(at_the_edge, None, 64, 64)
    assert rows.stop == columns.stop == 64
    pictures = np.zeros((2, 64, 64, 3), np.uint8)
    assert compose_edit(pictures, pictures + 9, [None, None], None).shape == (4 * 64, 2 * 64, 3)


def test_the_command_compares_two_files(drive: Drive, tiny_take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original, edited = tmp_path / "a.avatar", tmp_path / "b.avatar"
    save_avatar(drive.avatar, original)
    save_avatar(recoloured(drive.avatar), edited)
    command = ["evaluate", str(edited), "--original", str(original)]
    assert main([*command, "--dataset", str(tiny_take), "--frames", ":4", "--background", "own", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["setting"] == "edited" and found["frames"] == 4 and found["background"] == "own"
    assert main([*command, "--frames", ":3"]) == 0
    assert "speaking its training clip: 3 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--original", "bundled", "--every", "2"],
        ["--original", "bundled", "--align-poses"],
        ["--original", "bundled", "--background", "blue"],
        ["--original", "bundled", "--caption-before", "a man"],
        ["--original", "bundled", "--frames", "9:3"],
        ["--original", "bundled", "--clip", "./none"],
        ["--original", "no-such-avatar"],
        ["--clip", "x"],
        [],
    ],
)
def test_the_command_answers_bad_input_with_one_line(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert main(["evaluate", "bundled", *options]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
