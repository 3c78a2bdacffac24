"""The code of an emotion: the paper's fifteen labels, and what lies between them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from renderer.emotion import EMOTION_DIM, EMOTIONS, INTENSITIES, NEUTRAL, Emotion, emotion_code, emotion_codes
from renderer.errors import BadInput


@pytest.mark.parametrize("category", EMOTIONS[1:])
def test_emotion_code_of_a_label_is_one_hot_in_both_parts(category: str) -> None:
    for level, strength in enumerate((1 / 3, 2 / 3, 1.0)):
        wanted = np.zeros(EMOTION_DIM)
        wanted[EMOTIONS.index(category)] = wanted[len(EMOTIONS) + level] = 1.0
        np.testing.assert_allclose(emotion_code(Emotion(category, strength)), wanted, atol=1e-6)


def test_neutral_has_one_code() -> None:
    wanted = np.eye(EMOTION_DIM)[0]
    for emotion in (NEUTRAL, Emotion("neutral", 1.0), Emotion("happy", 0.0)):
        np.testing.assert_array_equal(emotion_code(emotion), wanted)


@pytest.mark.parametrize("category", EMOTIONS[1:])
def test_emotion_code_moves_evenly_with_strength(category: str) -> None:
    codes = emotion_codes([Emotion(category, k / 300) for k in range(301)])
    steps = np.abs(np.diff(codes, axis=0)).max(1)
    np.testing.assert_allclose(steps, len(INTENSITIES) / 300, atol=1e-5)
    np.testing.assert_allclose(codes[50], 0.5 * (codes[0] + codes[100]), atol=1e-6)


def test_labels_have_different_codes() -> None:
    labels = [NEUTRAL, *(Emotion(c, s) for c, s in itertools.product(EMOTIONS[1:], (1 / 3, 2 / 3, 1.0)))]
    codes = emotion_codes(labels)
    assert all(np.abs(a - b).max() > 0.9 for a, b in itertools.combinations(codes, 2))


def test_parse_takes_name_and_strength() -> None:
    assert Emotion.parse("happy:0.6") == Emotion("happy", 0.6)
    assert Emotion.parse("sad") == Emotion("sad", 1.0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("bored:1", "bored"),
        ("happy:much", "happy:much"),
        ("happy:", "happy:"),
        ("sad:1.5", "1.5"),
        ("sad:-0.1", "-0.1"),
        ("sad:nan", "nan"),
    ],
)
def test_parse_rejects_what_is_no_emotion(text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        Emotion.parse(text)
