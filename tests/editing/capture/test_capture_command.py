"""`python -m editing capture` from a video file to a dataset, with a detector that finds paint instead of the landmark model."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from editing.__main__ import main
from editing.capture import capture as capture_module
from editing.capture import tracking
from editing.capture.capture import CaptureConfig, capture
from editing.capture.labels import LABELS
from editing.capture.sound_offset import OPENNESS
from editing.dataset import Dataset
from editing.phones import VISEME_OF_PHONE_INDEX, VISEMES
from editing.speech_synthesis import SpeechSynthesizer
from renderer.errors import BadInput
from tests.editing.capture.painted_person import PaintDetector, paint, wall

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE_PX = 160
SECONDS = 6.4
LATE_S = 0.16
TEXT = "The birch canoe slid on the smooth planks. Bob bought a big brown bag of bananas. A very thick rope fell off the umbrella."


@pytest.fixture(autouse=True)
def _paint_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "LandmarkDetector", PaintDetector)


@pytest.fixture(scope="module")
def speech() -> tuple[np.ndarray, np.ndarray]:
    """16 kHz sound, and openings at 100 a second."""
    from editing.audio_encoder.voices import labelled

    voice = SpeechSynthesizer()
    utterance = voice.say(TEXT, "en-us+m3", 150, 50, 50)
    spoken = labelled(utterance.samples, utterance.rate_hz, [(p.start_s, (p.phone,)) for p in utterance.phones])
    opening = gaussian_filter1d([OPENNESS[VISEMES[VISEME_OF_PHONE_INDEX[int(k)]]] for k in spoken.labels], 3.0)
    assert len(opening) > 100 * SECONDS
    return spoken.samples, opening


def film(
    path: Path, speech: tuple[np.ndarray, np.ndarray], picture: Callable[[float, float], np.ndarray], seconds: float = SECONDS
) -> Path:
    """A video of `picture(seconds, opening)` at 30 a second whose sound is LATE_S behind the lips."""
    import av

    sound, opening = speech
    sound = np.concatenate([np.zeros(round(LATE_S * 16000), np.float32), sound])[: round(seconds * 16000)]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30)
        first = picture(0.0, 0.0)
        video.height, video.width = first.shape[:2]
        video.pix_fmt, video.options = "yuv444p", {"crf": "12"}
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for k in range(round(seconds * 30)):
            frame = picture(k / 30, float(opening[min(len(opening) - 1, round(k / 30 * 100))]))
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(video.encode(None))
        for first_sample in range(0, len(sound), 1024):
            block = av.AudioFrame.from_ndarray(
                sound[None, first_sample : first_sample + 1024].astype(np.float32), format="fltp", layout="mono"
            )
            block.sample_rate, block.pts = 16000, first_sample
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return path


def alone(seconds: float, opening: float) -> np.ndarray:
    return paint(seconds, opening, 320).picture


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, speech: tuple[np.ndarray, np.ndarray]) -> Path:
    return film(tmp_path_factory.mktemp("film") / "clip.mp4", speech, alone)


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory, video: Path) -> tuple[Path, str]:
    """The dataset that the command makes of `video`, and what it prints."""
    out = tmp_path_factory.mktemp("captured") / "set"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(tracking, "LandmarkDetector", PaintDetector)
        assert main(["capture", str(video), "--out", str(out), "--size", str(SIZE_PX), "--jobs", "1"]) == 0
    return out, printed.getvalue()


def test_a_video_becomes_a_dataset(captured: tuple[Path, str]) -> None:
    out, printed = captured
    assert "behind the lips: corrected" in printed and str(out / "report.html") in printed
    assert not out.with_name("set.partial").exists()
    dataset = Dataset.open(out)
    n = dataset.meta.n_frames
    assert n == round(SECONDS * 25) and dataset.meta.size == (SIZE_PX, SIZE_PX)
    assert dataset.meta.subject == {"kind": "person"}
    assert dataset.track.usable is not None and dataset.track.usable.mean() > 0.95
    report = json.loads((out / "report.json").read_text())
    assert report["sound"]["belongs_together"] and abs(report["sound"]["offset_s"] - LATE_S) < 0.05
    page = (out / "report.html").read_text()
    assert page.count("<img") >= 14 and "http" not in page.replace("http-equiv", "")

    # The square that was cut out of the source, scaled: truth in the dataset's pixels.
    crop = report["crop"]
    scale = SIZE_PX / crop["side"]
    errors, shares = [], []
    for k in range(0, n, 13):
        truth = paint(k / 25, 0.0, 320)
        corner = np.array([crop["left"], crop["top"]])
        landmarks = (truth.landmarks[[33, 263, 1, 10], :2] - corner) * scale
        errors.append(np.abs(dataset.track.landmarks[k][[33, 263, 1, 10]] - landmarks).mean())
        labels = truth.labels[crop["top"] : crop["top"] + crop["side"], crop["left"] : crop["left"] + crop["side"]]
        rows = ((np.arange(SIZE_PX) + 0.5) / scale).astype(int)
        person = labels[rows][:, rows] != LABELS["background"]
        found = dataset.labels[k] != LABELS["background"]
        shares.append((person & found).sum() / (person | found).sum())
    assert np.mean(errors) < 1.5
    assert np.mean(shares) > 0.93
    moved = dataset.track.camera_from_head[:, 0, 3] * 17.0
    truth_x = np.array([paint(k / 25, 0.0, 64).translation[0] for k in range(n)])
    assert np.corrcoef(moved, truth_x)[0, 1] > 0.99
    assert dataset.track.eye_ratio.min() >= 0 and dataset.track.eye_ratio.max() <= 1
    box = dataset.meta.head_box
    assert 0.5 < box.half_extent < 1.2


def test_an_interrupted_capture_goes_on(tmp_path: Path, video: Path, captured: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = CaptureConfig(size_px=SIZE_PX)
    seen: list[str] = []

    class InterruptingBar(capture_module._Bar):
        def __call__(self, count: int) -> None:
            super().__call__(count)
            seen.append(f"{self._bar.desc} {count}")
            if seen[-1] == "parsing 80" and seen.count("parsing 80") == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(tracking, "CHUNK_FRAMES", 80)
    monkeypatch.setattr("editing.capture.parsing.CHUNK_FRAMES", 80)
    monkeypatch.setattr(capture_module, "_Bar", InterruptingBar)
    with pytest.raises(KeyboardInterrupt):
        capture(video, tmp_path / "cut", config, 1)
    assert not (tmp_path / "cut").exists()
    capture(video, tmp_path / "cut", config, 1)
    # What was done is not done again: the second run begins with all frames tracked and one chunk parsed.
    assert seen == ["tracking 0", "tracking 80", "tracking 80", "parsing 0", "parsing 80", "tracking 160", "parsing 80", "parsing 80"]
    a, b = Dataset.open(tmp_path / "cut"), Dataset.open(captured[0])
    np.testing.assert_array_equal(a.frames, b.frames)
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.track.camera_from_head, b.track.camera_from_head)
    np.testing.assert_array_equal(a.audio(), b.audio())

    with pytest.raises(BadInput, match="exists already"):
        capture(video, tmp_path / "cut", config, 1)


def test_an_unfinished_capture_is_not_mixed_with_another(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedBar(capture_module._Bar):
        def __call__(self, count: int) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(capture_module, "_Bar", StoppedBar)
    with pytest.raises(KeyboardInterrupt):
        capture(video, tmp_path / "set", CaptureConfig(size_px=SIZE_PX), 1)
    with pytest.raises(BadInput, match="was begun with size_px 160, now it is 192"):
        capture(video, tmp_path / "set", CaptureConfig(size_px=192), 1)


def two_people(seconds: float, opening: float) -> np.ndarray:
    left = paint(seconds, opening, 320, beside_cm=-6.0)
    return paint(seconds, opening, 320, beside_cm=6.5, behind=left.picture).picture


def leaving(seconds: float, opening: float) -> np.ndarray:
    return alone(seconds, opening) if seconds < 3.0 else wall(320)


@pytest.mark.parametrize(
    ("picture", "seconds", "reason"),
    [
        (lambda seconds, opening: wall(320), SECONDS, "a face was found in 0 of"),
        (two_people, SECONDS, "two faces are in the picture"),
        (leaving, SECONDS, "can be used .most often: no face.; at least 5 s"),
        (alone, 3.0, "is 3.0 s long; at least 5 s"),
    ],
    ids=["no face", "two faces", "a face that leaves", "3 s"],
)
def test_clips_that_cannot_teach_are_refused_in_one_line(
    tmp_path: Path,
    speech: tuple[np.ndarray, np.ndarray],
    picture: Callable[[float, float], np.ndarray],
    seconds: float,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import re

    clip = film(tmp_path / "clip.mp4", speech, picture, seconds)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["capture", str(clip), "--out", str(tmp_path / "set"), "--size", "128", "--jobs", "1"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(reason, error), error
    assert not (tmp_path / "set").exists()
    assert set(before) <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--size", "100"], "--size 100"),
        (["--seconds", "2"], "--seconds 2"),
        (["--jobs", "0"], "--jobs 0"),
    ],
)
def test_impossible_options_are_named(
    tmp_path: Path, video: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capture", str(video), "--out", str(tmp_path / "set"), *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
