"""Voices for these tests are buzzes in syllables: what counts is how loud and how high they are. Two of espeak-ng's speak as well."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import numpy as np
import pytest

from renderer.audio.sound_file import read_sound_file
from renderer.emotion import NEUTRAL, Emotion, emotion_code
from renderer.types import SAMPLE_RATE_HZ
from renderer.voice_emotion import HOP_SAMPLES, LEARNING_S, PAUSE_S, RELAX_S, WINDOW_SAMPLES, VoiceEmotion, voice_of

USUAL_HZ, USUAL_PEAK = 140.0, 0.1
SYLLABLE_S, VOICED_SHARE = 0.25, 0.7


def voice(seconds: float, semitones: float = 0.0, decibels: float = 0.0, seed: int = 0) -> np.ndarray:
    """Syllables of a buzz, with the ups and downs of pitch and level that a calm speaker has."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    syllable = (t / SYLLABLE_S).astype(int)
    melody = rng.normal(0.0, 1.0, syllable[-1] + 1)[syllable]
    stress = rng.normal(0.0, 1.5, syllable[-1] + 1)[syllable]
    frequency = USUAL_HZ * 2 ** ((semitones + melody) / 12)
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE_HZ
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
    shape = np.clip(8 * np.sin(np.pi * np.clip((t / SYLLABLE_S - syllable) / VOICED_SHARE, 0, 1)), 0, 1)
    return (USUAL_PEAK * 10 ** ((decibels + stress) / 20) * shape * buzz).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


def emotions(sound: np.ndarray) -> list[Emotion]:
    """After every 40 ms."""
    follower, found = VoiceEmotion(), []
    for first in range(0, len(sound), HOP_SAMPLES):
        follower.push(sound[first : first + HOP_SAMPLES])
        found.append(follower.emotion)
    return found


@pytest.mark.parametrize("hz", [70.0, 110.0, 220.0, 440.0])
def test_voice_of_a_buzz_has_its_pitch_and_level(hz: float) -> None:
    t = np.arange(WINDOW_SAMPLES) / SAMPLE_RATE_HZ
    buzz = 0.1 * sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 8))
    found = voice_of(buzz.astype(np.float32))
    assert found is not None
    level, pitch = found
    assert pitch == pytest.approx(12 * math.log2(hz), abs=0.5)
    assert level == pytest.approx(20 * math.log10(np.sqrt(np.mean(buzz**2))), abs=0.1)


def test_voice_of_noise_and_silence_is_none() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (50, WINDOW_SAMPLES)).astype(np.float32)
    assert sum(voice_of(window) is not None for window in noise) <= 1
    assert voice_of(np.zeros(WINDOW_SAMPLES, np.float32)) is None


@pytest.mark.parametrize(
    ("semitones", "decibels", "category"), [(4.0, 7.0, "happy"), (-4.0, 7.0, "angry"), (4.0, -7.0, "fearful"), (-4.0, -7.0, "sad")]
)
def test_voice_that_leaves_its_usual_moves_the_face_within_two_seconds(semitones: float, decibels: float, category: str) -> None:
    found = emotions(np.concatenate([voice(10.0), voice(3.0, semitones, decibels, seed=1)]))
    assert all(emotion.strength < 0.25 for emotion in found[:240]), "a calm voice makes a calm face"
    assert found[240 + 60].category == category and found[240 + 60].strength > 0.3
    assert {emotion.category for emotion in found[255:] if emotion.strength > 0.1} == {category}


@pytest.mark.parametrize(("semitones", "decibels"), [(0.0, 8.0), (5.0, 0.0), (0.0, -8.0), (-5.0, 0.0)])
def test_loudness_alone_and_pitch_alone_hardly_move_it(semitones: float, decibels: float) -> None:
    found = emotions(np.concatenate([voice(10.0), voice(3.0, semitones, decibels, seed=1)]))
    assert max(emotion.strength for emotion in found[240:]) < 0.3


@pytest.mark.parametrize("gain", [0.05, 4.0])
def test_only_what_is_relative_to_the_speaker_counts(gain: float) -> None:
    sound = np.concatenate([voice(8.0), voice(2.0, 4.0, 7.0, seed=1)])
    ours, theirs = emotions(sound), emotions(gain * sound)
    assert [emotion.category for emotion in ours] == [emotion.category for emotion in theirs]
    np.testing.assert_allclose([emotion.strength for emotion in ours], [emotion.strength for emotion in theirs], atol=1e-3)


def test_another_voice_is_as_calm_as_the_first() -> None:
    low, high = emotions(voice(10.0, -4.0)), emotions(voice(10.0, 9.0))
    assert max(emotion.strength for emotion in low + high) < 0.25


def test_silence_and_noise_are_neutral() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 6 * SAMPLE_RATE_HZ).astype(np.float32)
    assert set(emotions(np.concatenate([silence(3.0), noise]))) == {NEUTRAL}


def test_nothing_is_said_before_the_usual_is_known() -> None:
    found = emotions(voice(LEARNING_S * 0.9, 0.0, 0.0))
    assert set(found) == {NEUTRAL}


def test_a_pause_calms_the_face_down_and_a_short_one_does_not() -> None:
    found = emotions(np.concatenate([voice(10.0), voice(3.0, 4.0, 7.0, seed=1), silence(PAUSE_S + 4 * RELAX_S)]))
    end = 25 * 13
    assert found[end - 1].strength > 0.3
    assert found[end + round(25 * PAUSE_S * 0.7)] == found[end + 2], "between two words it holds"
    assert found[-1] == NEUTRAL


def test_what_stays_becomes_the_usual() -> None:
    found = emotions(np.concatenate([voice(10.0), voice(60.0, 4.0, 7.0, seed=1)]))
    assert max(emotion.strength for emotion in found[25 * 12 : 25 * 15]) > 0.4
    assert max(emotion.strength for emotion in found[-100:]) < 0.25


def test_another_speaker_is_learned_anew() -> None:
    found = emotions(np.concatenate([voice(10.0), voice(12.0, 13.0, 0.0, seed=2), voice(3.0, 17.0, 7.0, seed=3)]))
    assert max(emotion.strength for emotion in found[25 * 17 : 25 * 22]) < 0.25
    assert found[-10].category == "happy" and found[-10].strength > 0.3


def test_it_moves_smoothly() -> None:
    sound = np.concatenate([voice(8.0), voice(3.0, 5.0, 9.0, seed=1), voice(3.0, -5.0, -9.0, seed=2), silence(4.0)])
    way = np.stack([emotion_code(emotion) for emotion in emotions(sound)])
    assert np.ptp(way, axis=0).max() > 0.9, "it goes far"
    assert np.abs(np.diff(way, axis=0)).max() < 0.35, "and never at one stroke"


@pytest.mark.parametrize("chunk", [1, 160, 777, 5000])
def test_how_the_sound_is_cut_makes_no_difference(chunk: int) -> None:
    sound = np.concatenate([voice(4.0), voice(1.0, 4.0, 7.0, seed=1)])
    sound = sound[: -(len(sound) % HOP_SAMPLES) or None]
    whole, pieces = VoiceEmotion(), VoiceEmotion()
    whole.push(sound)
    for first in range(0, len(sound), chunk):
        pieces.push(sound[first : first + chunk])
    assert pieces.emotion == whole.emotion != NEUTRAL


def test_what_comes_later_changes_nothing_before() -> None:
    begun = voice(6.0)
    ours = emotions(np.concatenate([begun, voice(2.0, 5.0, 9.0, seed=1)]))
    theirs = emotions(np.concatenate([begun, silence(2.0)]))
    assert ours[: 25 * 6] == theirs[: 25 * 6]


TEXT = "Please open the window. Many people may be moving by boat. Five brave foxes found a warm house above the river. "


def spoken(path: Path, voice_name: str, text: str, pitch: int, amplitude: int) -> np.ndarray:
    words = ["espeak-ng", "-v", voice_name, "-s", "150", "-p", str(pitch), "-a", str(amplitude), "-w", str(path), text]
    subprocess.run(words, check=True)
    return read_sound_file(path)


@pytest.mark.parametrize("voice_name", ["en-us+m3", "en-us+f3"])
@pytest.mark.parametrize(
    ("pitch", "amplitude", "category"), [(75, 120, "happy"), (25, 120, "angry"), (75, 30, "fearful"), (25, 30, "sad"), (50, 60, None)]
)
def test_a_speaking_voice_is_followed(tmp_path: Path, voice_name: str, pitch: int, amplitude: int, category: str | None) -> None:
    usual, other = spoken(tmp_path / "a.wav", voice_name, 2 * TEXT, 50, 60), spoken(tmp_path / "b.wav", voice_name, TEXT, pitch, amplitude)
    found = emotions(np.concatenate([usual, other]))
    begun = len(usual) // HOP_SAMPLES
    assert max(emotion.strength for emotion in found[:begun]) < 0.25
    later = [emotion for emotion in found[begun + 50 :] if emotion.strength > 0.1]
    if category is None:
        assert later == []
    else:
        assert {emotion.category for emotion in later} == {category} and len(later) > 0.8 * len(found[begun + 50 :])
