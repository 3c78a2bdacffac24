"""The measures themselves, on material whose answer is known."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from editing.audio_encoder.evaluation import area_under_curve, step_labels, viseme_probabilities, viterbi_score
from editing.audio_encoder.reference_alignment import TranscriptWord, aligned_phones, phone_of_steps, words_of
from editing.audio_encoder.voices import EspeakVoices
from editing.phones import PHONE_INDEX, PHONES, VISEMES
from editing.speech_synthesis import PhoneInterval
from renderer.errors import BadInput

REPOSITORY = Path(__file__).resolve().parents[2]


def features_saying(phones: str, steps_each: int = 5) -> np.ndarray:
    features = np.full((len(phones.split()) * steps_each, len(PHONES)), -5.0, np.float32)
    for index, phone in enumerate(phones.split()):
        features[index * steps_each : (index + 1) * steps_each, PHONE_INDEX[phone]] = -0.1
    return features


def test_viterbi_score_prefers_what_was_said() -> None:
    features = features_saying("SIL F AY V SIL")
    scores = {word: viterbi_score(features, word) for word in ("F AY V", "N AY N", "F AO R", "V AY F")}
    assert max(scores, key=lambda word: scores[word]) == "F AY V"
    assert scores["F AY V"] == pytest.approx(-0.1 * 25, abs=1e-4)


def test_viterbi_score_needs_no_silence_around_the_word() -> None:
    assert viterbi_score(features_saying("T UW"), "T UW") == pytest.approx(-0.1 * 10, abs=1e-4)


def test_area_under_curve_of_known_orders() -> None:
    positive = np.array([False, False, True, True])
    assert area_under_curve(np.array([0.1, 0.2, 0.3, 0.4]), positive) == 1
    assert area_under_curve(np.array([0.4, 0.3, 0.2, 0.1]), positive) == 0
    assert area_under_curve(np.zeros(4), positive) == 0.5
    with pytest.raises(BadInput):
        area_under_curve(np.zeros(4), np.ones(4, bool))


def test_viseme_probabilities_gather_phones() -> None:
    features = np.log(np.full((2, len(PHONES)), 1 / len(PHONES), np.float32))
    probabilities = viseme_probabilities(features)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert probabilities[0, VISEMES.index("closed")] == pytest.approx(3 / 40, abs=1e-6)


def test_step_labels_are_taken_at_step_centres() -> None:
    labels = np.arange(20, dtype=np.uint8)
    assert step_labels(labels, 4).tolist() == [1, 3, 5, 7]


def test_words_of_reads_transcripts() -> None:
    assert words_of("Ask Digium{D IH JH IY AH M}, it's here.") == [
        TranscriptWord("ask"),
        TranscriptWord("digium", "D IH JH IY AH M"),
        TranscriptWord("it's"),
        TranscriptWord("here"),
    ]
    with pytest.raises(BadInput, match="digits"):
        words_of("dial 5")


def test_phone_of_steps_looks_at_centres() -> None:
    phones = [PhoneInterval(0.02, 0.05, "M"), PhoneInterval(0.05, 0.2, "AA")]
    indices = phone_of_steps(phones, 3200)
    assert [PHONES[index] for index in indices[:5]] == ["SIL", "M", "AA", "AA", "AA"]


def test_aligned_phones_match_a_synthesiser_that_knows() -> None:
    pytest.importorskip("pocketsphinx")
    text = "The old man saw a big map on the table."
    speech = EspeakVoices().english(text, "en-us+m3", 140, 40, 50)
    aligned = aligned_phones(speech.samples, words_of(text))
    found = phone_of_steps(aligned, len(speech.samples))
    truth = step_labels(speech.labels, len(found))
    vowels = [PHONE_INDEX[p] for p in ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "EY", "IH", "IY", "OW")]
    assert (np.isin(found, vowels) == np.isin(truth, vowels)).mean() > 0.75
    with pytest.raises(BadInput, match="does not know"):
        aligned_phones(speech.samples, words_of("xqzt"))
    with pytest.raises(BadInput, match="no words"):
        aligned_phones(speech.samples, [])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "editing", "audio-encoder", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


def test_evaluate_command_measures_what_it_is_given(tmp_path: Path) -> None:
    result = run("evaluate", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["look_ahead_ms"] <= 80 and report["cost"]["median_ms"] > 0
    assert report["digits"] is None and report["held_out_voices"] is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["evaluate", "--digits", "d.zip"], "--digits needs --corpus"),
        (["evaluate", "--encoder", "nowhere.onnx"], "nowhere.onnx"),
        (["evaluate", "--transcript", "nowhere.txt"], "nowhere.txt"),
        (["export", "--run", "nowhere"], "nowhere"),
        (["train", "--corpus", "nowhere", "--out", "run"], "no shard"),
        (["dance"], "dance"),
        ([], "STEP"),
    ],
)
def test_command_answers_bad_input_with_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    command = [sys.executable, "-m", "editing", "audio-encoder", *arguments]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, env=environment)
    assert result.returncode == 2
    assert reason in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_digit_files_are_read_from_folders_and_archives(tmp_path: Path) -> None:
    from editing.audio_encoder.evaluation import _digit_files

    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "3_ann_0.wav").write_bytes(b"x")
    archive = tmp_path / "digits.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("folder/3_ann_0.wav", b"x")
    assert _digit_files(tmp_path / "digits") == _digit_files(archive) == {"3_ann_0.wav": b"x"}
    with pytest.raises(BadInput, match="no file"):
        (tmp_path / "empty").mkdir()
        _digit_files(tmp_path / "empty")
    with pytest.raises(BadInput, match="ZIP"):
        _digit_files(tmp_path / "missing.zip")
