"""Mouth movement follows the phones; blinks and head motion stay in their ranges."""

from __future__ import annotations

import numpy as np
import pytest

from editing.phones import VISEMES
from editing.speech_synthesis import PhoneInterval
from editing.synthesize.emotions import EMOTION_NAMES
from editing.synthesize.performance import Expression, SpokenStretch, mouth_curves, perform
from renderer.errors import BadInput
from renderer.types import FPS

REST_SMILE = 0.42


def stretch(text: str, start_s: float = 0.5) -> SpokenStretch:
    """Phones given as "AA:120 M:70 …" with lengths in ms."""
    phones = []
    for item in text.split():
        phone, length_ms = item.split(":")
        phones.append(PhoneInterval(start_s, start_s + float(length_ms) / 1000.0, phone))
        start_s = phones[-1].end_s
    return SpokenStretch(tuple(phones), 0.0)


def frames_of(spoken: SpokenStretch, phone: str) -> list[int]:
    return [k for p in spoken.phones if p.phone == phone for k in range(100) if p.start_s <= k / FPS < p.end_s]


@pytest.mark.parametrize("phone", ["M", "B", "P"])
@pytest.mark.parametrize("offset_s", [0.50, 0.51, 0.52, 0.53])
def test_mouth_curves_close_the_lips_for_bilabials(phone: str, offset_s: float) -> None:
    spoken = stretch(f"AA:120 {phone}:60 AA:120", offset_s)
    press = mouth_curves([spoken], 50)["press"]
    near = [k for k in range(50) if abs(k / FPS - spoken.phones[1].start_s) < 0.08]
    assert press[near].max() == 1.0  # whatever the phase between pictures and phones
    vowel = round((spoken.phones[0].start_s + 0.04) * FPS)
    assert press[vowel] < 0.2


@pytest.mark.parametrize("phone", ["F", "V"])
def test_mouth_curves_bring_the_lip_to_the_teeth(phone: str) -> None:
    contact = mouth_curves([stretch(f"AH:100 {phone}:70 AH:100")], 50)["fv"]
    assert contact.max() == 1.0


def test_mouth_curves_open_wide_for_open_vowels() -> None:
    spoken = stretch("K:70 AA:160 K:70 IY:120 S:90 UW:140")
    curves = mouth_curves([spoken], 60)
    assert curves["jaw"][frames_of(spoken, "AA")].max() > 0.55
    assert curves["wide"][frames_of(spoken, "IY")].max() > 0.5
    assert curves["pucker"][frames_of(spoken, "UW")].max() > 0.6
    assert curves["jaw"][frames_of(spoken, "S")].min() < 0.2


def test_mouth_curves_round_early() -> None:
    """Rounding for a vowel begins in the consonants before it."""
    spoken = stretch("S:80 T:70 UW:140")
    pucker = mouth_curves([spoken], 40)["pucker"]
    assert pucker[frames_of(spoken, "T")].max() > 0.3


def test_mouth_curves_undershoot_in_fast_speech() -> None:
    slow, fast = stretch("T:70 AA:180 T:70"), stretch("T:40 AA:60 T:40")
    assert mouth_curves([fast], 40)["jaw"].max() < 0.85 * mouth_curves([slow], 40)["jaw"].max()


def test_mouth_curves_rest_in_silence() -> None:
    first, second = stretch("AA:150 N:80", 0.5), stretch("AE:150 T:80", 1.6)
    curves = mouth_curves([first, second], 75)
    for k in (*range(9), *range(24, 36), *range(52, 75)):
        for name in ("jaw", "pucker", "wide", "upper_raise", "lower_drop", "tongue", "fv"):
            assert curves[name][k] == pytest.approx(0.0, abs=1e-9), (k, name)


def test_mouth_curves_of_nothing_rest() -> None:
    curves = mouth_curves([], 10)
    assert all(np.all(curve == 0.0) for curve in curves.values())


def take(expression: Expression, seed: int = 5, n_frames: int = 1500) -> dict[str, np.ndarray]:
    return perform([stretch("AA:150 M:80 IY:120")], n_frames, np.random.default_rng(seed), expression, REST_SMILE).curves


def test_perform_keeps_plain_takes_to_speech_blink_and_pose() -> None:
    curves = take(Expression())
    assert np.ptp(curves["smile"]) == 0.0
    assert not {"gaze_x", "gaze_y", "brow_in", "brow_out", "torso_yaw", "shrug"} & set(curves)
    np.testing.assert_allclose(curves["squint"], 0.25 * curves["blink_l"])
    assert np.array_equal(curves["blink_l"], curves["blink_r"])


def test_perform_moves_the_head_smoothly_within_limits() -> None:
    curves = take(Expression())
    for name, limit, spread in (("yaw", 14.0, 6.0), ("pitch", 7.5, 2.0), ("roll", 5.0, 2.0)):
        assert np.abs(curves[name]).max() <= limit
        assert np.ptp(curves[name]) > spread
        assert np.abs(np.diff(curves[name])).max() < 2.0


def test_perform_blinks_every_few_seconds_and_shuts_the_eyes() -> None:
    blink = take(Expression())["blink_l"]
    starts = np.flatnonzero((blink[1:] > 0.5) & (blink[:-1] <= 0.5)) / FPS
    assert 8 <= len(starts) <= 32
    assert np.diff(starts).min() > 1.8
    assert all(blink[round(s * FPS) : round(s * FPS) + 6].max() == 1.0 for s in starts)


def test_perform_expressive_moves_gaze_and_brows() -> None:
    curves = take(Expression(lively=True))
    assert np.ptp(curves["gaze_x"]) > 3.0
    assert np.ptp(curves["brow_in"]) > 0.1


@pytest.mark.parametrize("name", EMOTION_NAMES)
def test_perform_emotions_keep_closures(name: str) -> None:
    curves = take(Expression(name, 1.0))
    assert curves["press"].max() == 1.0


def test_perform_marks_visemes() -> None:
    performance = perform([stretch("AA:160 M:80 IY:120")], 40, np.random.default_rng(0), Expression(), REST_SMILE)
    assert VISEMES[performance.viseme[13]] == "open"
    assert VISEMES[performance.viseme[17]] == "closed"
    assert VISEMES[performance.viseme[0]] == "silence"


def test_expression_rejects_unknown_emotion() -> None:
    with pytest.raises(BadInput, match="bored"):
        Expression("bored", 0.5)
    with pytest.raises(BadInput, match=r"1\.5"):
        Expression("happy", 1.5)
