"""Sound against lips: an offset is found, and sound that does not belong to the lips is told from sound that does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from editing.capture.sound_offset import OPENNESS, find_offset, shifted
from editing.phones import PHONE_INDEX, VISEME_OF_PHONE_INDEX, VISEMES
from editing.speech_synthesis import SpeechSynthesizer
from renderer.audio.export import load_encoder
from renderer.audio.streaming import encode_all
from renderer.types import FPS, SAMPLE_RATE_HZ

SENTENCES = (
    "The birch canoe slid on the smooth planks. Bob bought a big brown bag of bananas.",
    "We pushed the boy off the chair for a joke. My favourite movie was about a wolf in the woods.",
    "A very thick rope fell off the yellow umbrella. Both mothers wrapped up the baby boy.",
)


@pytest.fixture(scope="module")
def spoken() -> tuple[np.ndarray, np.ndarray]:
    """16 kHz sound, and the mouth's opening a frame by the synthesiser's own phone times."""
    from editing.audio_encoder.voices import labelled

    voice = SpeechSynthesizer()
    sounds, openings = [], []
    for text in SENTENCES:
        utterance = voice.say(text, "en-us+m3", 165, 50, 50)
        speech = labelled(utterance.samples, utterance.rate_hz, [(p.start_s, (p.phone,)) for p in utterance.phones])
        sounds.append(speech.samples)
        openings.append([OPENNESS[VISEMES[VISEME_OF_PHONE_INDEX[int(label)]]] for label in speech.labels])
    sound = np.concatenate(sounds)
    fine = gaussian_filter1d(np.concatenate(openings), 3.0)
    n = int(len(sound) / SAMPLE_RATE_HZ * FPS)
    times = (np.arange(n) + 0.5) / FPS
    noise = np.random.default_rng(0).normal(0.0, 0.05, n)
    assert PHONE_INDEX["AA"] > 0
    return sound[: n * 640].astype(np.float32), np.interp(times, np.arange(len(fine)) * 0.01 + 0.005, fine) + noise


@pytest.mark.parametrize("late_s", [0.0, 0.18, -0.12])
def test_the_offset_is_found_and_can_be_corrected(spoken: tuple[np.ndarray, np.ndarray], late_s: float) -> None:
    sound, opening = spoken
    encoder = load_encoder("bundled")
    usable = np.ones(len(opening), bool)
    found = find_offset(encode_all(encoder, shifted(sound, -late_s)).steps, opening, usable)
    assert found.belongs_together
    assert abs(found.offset_s - late_s) <= 0.04
    corrected = find_offset(encode_all(encoder, shifted(shifted(sound, -late_s), found.offset_s)).steps, opening, usable)
    assert abs(corrected.offset_s) <= 0.02


def test_foreign_sound_does_not_belong(spoken: tuple[np.ndarray, np.ndarray]) -> None:
    sound, opening = spoken
    usable = np.ones(len(opening), bool)
    found = find_offset(encode_all(load_encoder("bundled"), np.roll(sound, len(sound) // 2)).steps, opening, usable)
    assert not found.belongs_together


def test_frames_without_a_face_do_not_count(spoken: tuple[np.ndarray, np.ndarray]) -> None:
    sound, opening = spoken
    usable = np.ones(len(opening), bool)
    usable[40:70] = False
    broken = np.where(usable, opening, 9.0)
    found = find_offset(encode_all(load_encoder("bundled"), sound).steps, broken, usable)
    assert found.belongs_together and abs(found.offset_s) <= 0.04


def test_shifting_keeps_the_length_and_fills_with_silence() -> None:
    sound = np.arange(1, 1601, dtype=np.float32)
    np.testing.assert_array_equal(shifted(sound, 0.05)[:800], sound[800:])
    assert not shifted(sound, 0.05)[800:].any()
    np.testing.assert_array_equal(shifted(sound, -0.05)[800:], sound[:800])
    assert not shifted(sound, -0.05)[:800].any()
    np.testing.assert_array_equal(shifted(sound, 0.0), sound)
