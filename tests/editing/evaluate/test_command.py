from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.__main__ import main
from editing.evaluate.command import chosen_frames, parser
from editing.evaluate.judges import ARCFACE_MODEL, CLIP_MODEL, OPENFACE, SYNCNET_MODEL, JudgeFiles, Judges
from editing.evaluate.phone_opening import open_probability
from editing.landmarks import MODEL_VARIABLE
from editing.lpips import BACKBONE_VARIABLE, LINEAR_VARIABLE
from renderer.audio.encoder import AudioEncoder
from renderer.errors import BadInput
from tests.end_to_end.speech import RATE_HZ, read_sound, write_speech

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (BACKBONE_VARIABLE, LINEAR_VARIABLE, SYNCNET_MODEL, OPENFACE, CLIP_MODEL, ARCFACE_MODEL, MODEL_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def test_chosen_frames_of_a_span() -> None:
    assert chosen_frames(":", 4, 100) == range(0, 100, 4)
    assert chosen_frames("10:20", 1, 100) == range(10, 20)
    assert chosen_frames("90:", 3, 100) == range(90, 100, 3)


@pytest.mark.parametrize("span", ["20:10", "5:5", "0:101", "-1:4", "a:b", "7", "1.5:3"])
def test_chosen_frames_rejects(span: str) -> None:
    with pytest.raises(BadInput, match="--frames"):
        chosen_frames(span, 1, 100)


def test_chosen_frames_rejects_no_step() -> None:
    with pytest.raises(BadInput, match="--every 0"):
        chosen_frames(":", 0, 100)


def test_help_fits_a_screen() -> None:
    assert len(parser().format_help().splitlines()) <= 50


def test_judges_are_absent_where_nothing_is_named() -> None:
    judges = Judges.open()
    assert judges.lpips is judges.syncnet is judges.openface is judges.clip is judges.arcface is judges.detector is None
    assert MODEL_VARIABLE in judges.no_detector


def test_judges_reject_a_named_file_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    with pytest.raises(BadInput, match="only one of the two"):
        Judges.open(JudgeFiles(lpips_linear=wrong))
    with pytest.raises(BadInput, match="syncnet_v2"):
        Judges.open(JudgeFiles(syncnet=wrong))
    monkeypatch.setenv(OPENFACE, str(wrong))
    with pytest.raises(BadInput, match="FeatureExtraction"):
        Judges.open()


def test_evaluate_answers_bad_input_with_one_line(tiny_take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--speech", str(tmp_path / "none.wav")], ["--pictures", str(tmp_path / "no" / "sheet.png")], ["--frames", "x"]):
        assert main(["evaluate", "bundled", "--dataset", str(tiny_take), *options]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_open_probability_is_high_in_speech_and_none_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    write_speech(path, 4.0)
    samples = read_sound(path)[:: RATE_HZ // 16_000]
    curve = open_probability(AudioEncoder.bundled(), samples, len(samples) // 640)
    assert len(curve) == len(samples) // 640 and curve.min() >= 0.0 and 0.3 < curve.max() <= 1.0
    assert open_probability(AudioEncoder.bundled(), np.zeros(16_000, np.float32), 25).max() < 0.1
