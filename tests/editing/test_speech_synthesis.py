"""espeak-ng's sound and phone times."""

from __future__ import annotations

import ctypes
from itertools import pairwise

import numpy as np
import pytest

from editing.phones import ESPEAK_TO_PHONES, PHONES, VISEME_OF_PHONE, VISEMES
from editing.speech_synthesis import CLOSURE_S, SpeechSynthesizer, Utterance, intervals_from_events
from renderer.errors import BackendUnavailable, BadInput

RATE_HZ = 1000


@pytest.fixture(scope="module")
def synthesizer() -> SpeechSynthesizer:
    return SpeechSynthesizer()


@pytest.fixture(scope="module")
def mama(synthesizer: SpeechSynthesizer) -> Utterance:
    return synthesizer.say("Mama saw a cup of coffee.", "en-us+f3")


def test_phones_are_forty_and_every_one_has_a_viseme() -> None:
    assert len(PHONES) == len(set(PHONES)) == 40
    assert PHONES[0] == "SIL"
    assert list(PHONES[1:]) == sorted(PHONES[1:])
    assert set(VISEME_OF_PHONE) == set(PHONES)
    assert set(VISEME_OF_PHONE.values()) == set(VISEMES)
    assert {phone for phones in ESPEAK_TO_PHONES.values() for phone in phones} <= set(PHONES)


def test_say_gives_phones_that_cover_the_sound(mama: Utterance) -> None:
    spoken = [p.phone for p in mama.phones if p.phone != "SIL"]
    assert spoken[:4] == ["M", "AA", "M", "AH"]
    assert {"S", "K", "P", "V", "F", "IY"} <= set(spoken)
    assert mama.unknown_mnemonics == ()
    assert mama.phones[0].start_s == 0.0
    assert mama.phones[-1].end_s == pytest.approx(mama.duration_s)
    for before, after in pairwise(mama.phones):
        assert before.end_s == pytest.approx(after.start_s)
        assert before.end_s > before.start_s


def test_say_vowels_are_louder_than_stops(mama: Utterance) -> None:
    """Phone times fit the sound: vowels carry the energy, closures nearly none."""
    samples = mama.at_16_khz()

    def level(phone: str, share: tuple[float, float]) -> float:
        parts = []
        for p in mama.phones:
            if p.phone == phone:
                start = p.start_s + share[0] * (p.end_s - p.start_s)
                end = p.start_s + share[1] * (p.end_s - p.start_s)
                parts.append(samples[int(start * 16000) : int(end * 16000)])
        return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))

    assert level("AA", (0.2, 0.8)) > 5.0 * level("P", (0.0, 0.4))


def test_at_16_khz_keeps_the_length(mama: Utterance) -> None:
    samples = mama.at_16_khz()
    assert samples.dtype == np.float32
    assert len(samples) / 16000 == pytest.approx(mama.duration_s, abs=0.001)
    assert 0.05 < np.abs(samples).max() <= 1.0


def test_say_follows_rate(synthesizer: SpeechSynthesizer) -> None:
    text = "The young queen quickly questioned the stranger."
    slow = synthesizer.say(text, "en-us", rate_wpm=110).duration_s
    assert synthesizer.say(text, "en-us", rate_wpm=240).duration_s < 0.75 * slow


@pytest.mark.parametrize("voice", ["en-us+nobody", "xx-yy", ""])
def test_say_rejects_unknown_voices(synthesizer: SpeechSynthesizer, voice: str) -> None:
    with pytest.raises(BadInput, match="unknown voice"):
        synthesizer.say("hello", voice)


def test_say_rejects_impossible_settings(synthesizer: SpeechSynthesizer) -> None:
    with pytest.raises(BadInput, match="rate 10 "):
        synthesizer.say("hello", rate_wpm=10)
    with pytest.raises(BadInput, match="pitch 200"):
        synthesizer.say("hello", pitch=200)
    with pytest.raises(BadInput, match="no text"):
        synthesizer.say("  ")


@pytest.mark.parametrize("voice", ["en-gb+f2", "en-us-nyc+m3", "en-gb-scotland+m2"])
def test_say_knows_accents(synthesizer: SpeechSynthesizer, voice: str) -> None:
    assert synthesizer.say("Father parked near the water.", voice).unknown_mnemonics == ()


def test_intervals_from_events_moves_voiceless_stops_to_their_closure() -> None:
    intervals, _ = intervals_from_events([(0, "a"), (200, "p"), (260, "a"), (400, "_:")], RATE_HZ, 500)
    assert [p.phone for p in intervals] == ["AE", "P", "AE", "SIL"]
    assert intervals[1].start_s == pytest.approx(0.200 - CLOSURE_S)
    assert intervals[-1].end_s == pytest.approx(0.5)


def test_intervals_from_events_splits_double_phones_and_reports_unknown_ones() -> None:
    intervals, unknown = intervals_from_events([(0, "A@"), (100, "@%")], RATE_HZ, 200)
    assert [p.phone for p in intervals] == ["AA", "R", "AH"]
    assert intervals[0].end_s == pytest.approx(0.05)
    assert unknown == ("@%",)


def test_synthesizer_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(BackendUnavailable, match="apt-get install espeak-ng"):
        SpeechSynthesizer()
