"""The command end to end on tiny takes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from editing.__main__ import main
from editing.dataset import Dataset
from editing.synthesize.presenter import LABELS, LANDMARK_NAMES, Presenter
from editing.synthesize.sentences import HELD_OUT, TRAIN
from editing.synthesize.speech import compose
from renderer.types import FPS

TINY = ["--size", "64", "--supersample", "1", "--jobs", "1", "--seed", "3", "--voices", "en-us+f3,en-us+m3", "--quiet"]


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("takes") / "one"
    assert main(["synthesize", "--out", str(out), "--seconds", "4", *TINY]) == 0
    return out


def test_synthesize_writes_a_complete_dataset(take: Path) -> None:
    dataset = Dataset.open(take)
    assert dataset.meta.n_frames == 4 * FPS
    assert {path.name for path in take.iterdir()} == {
        "meta.json", "audio.wav", "frames.npy", "labels.npy", "background.npy", "track.npz", "transcript.json",
        "preview.mp4",
    }  # fmt: skip
    assert set(np.unique(dataset.labels)) == set(LABELS.values())
    assert dataset.frames.std() > 20.0
    assert not take.with_name("one.partial").exists()


def test_synthesize_truth_fits_the_pictures(take: Path) -> None:
    dataset = Dataset.open(take)
    presenter, track = Presenter(), dataset.track
    for k in (0, 37, 99):
        pose, camera = presenter.pose(track.articulation[k], 64)
        np.testing.assert_allclose(track.camera_from_head[k], pose)
        assert camera == dataset.meta.camera
        rgb, labels = presenter.render(track.articulation[k], 64, 1)
        assert np.array_equal(dataset.frames[k], rgb)
        assert np.array_equal(dataset.labels[k], labels)
        x, y = track.landmarks[k, LANDMARK_NAMES.index("nose_tip")]
        assert dataset.labels[k, int(y), int(x)] == LABELS["face"]


def test_synthesize_closes_the_mouth_in_closures_and_silence(take: Path) -> None:
    dataset = Dataset.open(take)
    opening = dataset.track.lip_opening
    phones = [phone for sentence in dataset.transcript["sentences"] for phone in sentence["phones"]]
    closures = [p for p in phones if p[2] in ("M", "B", "P") and p[1] < 3.9]
    assert closures
    for start_s, end_s, _ in closures:
        near = opening[max(0, round((start_s - 0.05) * FPS)) : round((end_s + 0.02) * FPS) + 1]
        assert near.min() < 0.005
    assert opening.max() > 0.2
    spoken = np.zeros(len(opening), bool)
    for start_s, end_s, _ in phones:
        spoken[max(0, int((start_s - 0.12) * FPS)) : int((end_s + 0.14) * FPS) + 1] = True
    assert np.all(opening[~spoken] < 0.005)


def test_synthesize_mouth_follows_the_sound(take: Path) -> None:
    dataset = Dataset.open(take)
    level = np.sqrt((dataset.audio().reshape(-1, 640) ** 2).mean(axis=1))
    smooth = np.convolve(level, np.ones(3) / 3.0, "same")
    lags = {lag: np.corrcoef(np.roll(smooth, lag), dataset.track.lip_opening)[0, 1] for lag in range(-6, 7)}
    assert max(lags, key=lambda lag: lags[lag]) in (-2, -1, 0, 1)
    assert max(lags.values()) > 0.3


def test_synthesize_is_deterministic(take: Path, tmp_path: Path) -> None:
    main(["synthesize", "--out", str(tmp_path / "a"), "--seconds", "0.4", *TINY])
    main(["synthesize", "--out", str(tmp_path / "b"), "--seconds", "0.4", *TINY])
    for name in ("frames.npy", "labels.npy", "audio.wav", "transcript.json", "track.npz", "meta.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_synthesize_goes_on_after_an_interrupt(tmp_path: Path) -> None:
    out = tmp_path / "long"
    options = ["--out", str(out), "--seconds", "40", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "editing", "synthesize", *options], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    progress = tmp_path / "long.partial" / "progress.npy"
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if (tmp_path / "long.partial" / "request.json").is_file() and np.load(progress).sum() >= 3:
            break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"stopped after \d+ of 1000 frames; run the same command again to go on\n", errors)
    done = np.load(progress)
    assert 3 <= done.sum() < 1000
    kept = np.load(tmp_path / "long.partial" / "frames.npy")[done]
    assert main(["synthesize", *options, "--seed", "8"]) == 2  # other options: refused, nothing lost
    assert main(["synthesize", *options]) == 0
    assert np.array_equal(Dataset.open(out).frames[done], kept)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", "-1"], "seconds -1"),
        (["--size", "33"], "size 33"),
        (["--size", "big"], "big"),
        (["--jobs", "0"], "jobs 0"),
        (["--supersample", "99"], "supersample 99"),
        (["--emotion", "bored:1"], "bored"),
        (["--emotion", "happy:much"], "happy:much"),
        (["--voices", ""], "no voice"),
        (["--voices", "en-us+nobody", "--seconds", "1"], "nobody"),
        (["--sentences", "all"], "all"),
        (["--colour"], "--colour"),
        (["--out", "/nowhere/at/all"], "/nowhere/at"),
    ],
)
def test_synthesize_rejects_bad_options_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["synthesize", "--out", str(tmp_path / "x"), *arguments]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_synthesize_does_not_overwrite(take: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", "--out", str(take)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_main_rejects_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2
    assert "dance" in capsys.readouterr().err
    assert main(["--help"]) == 0


def test_sentences_are_disjoint_and_hold_no_digit_words() -> None:
    assert not set(TRAIN) & set(HELD_OUT)
    digits = re.compile(r"\b(zero|oh|one|two|three|four|five|six|seven|eight|nine)s?\b")
    assert [text for text in TRAIN + HELD_OUT if digits.search(text.lower())] == []


def test_compose_pauses_a_tenth_of_the_time_and_changes_voices() -> None:
    speech = compose(60.0, 3, ("en-us+f3", "en-us+m3", "en-us+m1"), "train")
    assert len(speech.samples) == 60 * 16000
    assert {s.voice for s in speech.sentences} == {"en-us+f3", "en-us+m3", "en-us+m1"}
    gaps = [b.start_s - a.end_s for a, b in pairwise(speech.sentences)]
    assert 0.05 < sum(gaps) / 60.0 < 0.16
    assert min(gaps) >= 0.19
    assert max(gaps) <= 1.21
