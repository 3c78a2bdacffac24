"""The presenter's emotions: all labels in turn, and what a take says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.dataset import Dataset
from editing.synthesize.emotions import EMOTION_NAMES, EMOTIONS, EVERY_EMOTION, LABELS, TRANSITION_S, check_emotion, held, in_turn
from editing.synthesize.take import TakeConfig, synthesize
from renderer.emotion import EMOTIONS as CATEGORIES
from renderer.emotion import NEUTRAL
from renderer.errors import BadInput
from renderer.types import FPS

if TYPE_CHECKING:
    from pathlib import Path

SENTENCES_S = [(2.0 * k + 0.3, 2.0 * k + 1.8) for k in range(2 * len(LABELS))]
N_FRAMES = round(FPS * 2.0 * len(SENTENCES_S))


def test_labels_are_those_of_the_paper() -> None:
    assert len(set(LABELS)) == len(LABELS) == 13, "three intensities of four emotions, and neutral"
    assert {name for name, _ in LABELS} == set(CATEGORIES) <= set(EMOTION_NAMES)


def test_all_labels_come_equally_often_and_change_with_the_sentence() -> None:
    track = in_turn(SENTENCES_S, N_FRAMES, np.random.default_rng(0))
    seen = []
    for start_s, end_s in SENTENCES_S:
        said = slice(round(start_s * FPS), round(end_s * FPS))
        assert track.steady[said].all()
        assert len(set(zip(track.emotion[said].tolist(), track.intensity[said].tolist(), strict=True))) == 1
        seen.append((EMOTION_NAMES[track.emotion[said][0]], pytest.approx(float(track.intensity[said][0]))))
    assert all(seen.count(label) == 2 for label in LABELS)
    assert seen[: len(LABELS)] != seen[len(LABELS) :], "the order is drawn anew"


def test_faces_change_smoothly_and_only_where_frames_are_marked() -> None:
    track = in_turn(SENTENCES_S, N_FRAMES, np.random.default_rng(1))
    for curve in track.curves.values():
        assert np.abs(np.diff(curve)).max() <= 1.5 * np.ptp(curve) / (TRANSITION_S * FPS) + 1e-6
    there = np.flatnonzero(track.steady)
    for k in there:
        wanted = EMOTIONS[EMOTION_NAMES[track.emotion[k]]]
        for name, curve in track.curves.items():
            assert curve[k] == pytest.approx(track.intensity[k] * wanted.get(name, 0.0), abs=1e-5)
    assert 0.8 < track.steady.mean() < 0.95


def test_one_emotion_is_held() -> None:
    track = held("happy", 0.5, 20)
    assert track.steady.all() and set(track.emotion.tolist()) == {EMOTION_NAMES.index("happy")}
    np.testing.assert_allclose(track.curves["smile"], 0.5 * EMOTIONS["happy"]["smile"])


@pytest.mark.parametrize(("name", "strength", "complaint"), [("bored", 0.5, "bored"), ("happy", 1.5, "1.5"), (EVERY_EMOTION, -1.0, "-1")])
def test_check_emotion_rejects(name: str, strength: float, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        check_emotion(name, strength)


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("takes") / "all"
    config = TakeConfig(seconds=12.0, size_px=32, supersample=1, seed=4, voices=("en-us+m3",), emotion=EVERY_EMOTION)
    synthesize(path, config, 1, show_progress=False)
    return Dataset.open(path)


def test_take_with_all_emotions_names_those_of_every_frame(take: Dataset) -> None:
    assert take.has_emotions()
    assert 0.75 < take.usable().mean() < 1.0
    codes = take.emotion_codes()
    assert codes.shape == (300, 8) and len(np.unique(codes[take.usable()], axis=0)) >= 3
    for sentence in take.transcript["sentences"]:
        said = range(round(sentence["start_s"] * FPS) + 1, min(300, round(sentence["end_s"] * FPS)))
        assert len({(e.category, e.strength) for e in map(take.emotion, said)}) == 1


def test_eyes_are_open_in_every_emotion(take: Dataset) -> None:
    """The ratio says how far a blink has come, not how wide eyes are in fear."""
    number = take.label_index()
    for label in np.unique(number):
        assert take.track.eye_ratio[number == label].max() > 0.97


def test_emotion_of_a_frame_that_no_avatar_knows_is_refused(take: Dataset, tmp_path: Path) -> None:
    config = TakeConfig(seconds=0.4, size_px=32, supersample=1, emotion="surprised", emotion_strength=1.0, voices=("en-us+m3",))
    synthesize(tmp_path / "surprised", config, 1, show_progress=False)
    surprised = Dataset.open(tmp_path / "surprised")
    assert not surprised.has_emotions()
    with pytest.raises(BadInput, match=r"frame 0: emotion 'surprised' is unknown; neutral, angry"):
        surprised.emotion_codes()
    assert take.emotion(0) == NEUTRAL or take.emotion(0).strength > 0.3
