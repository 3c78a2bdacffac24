from __future__ import annotations

import numpy as np
import pytest

from renderer.emotion import NEUTRAL, Emotion, emotion_code
from renderer.emotion_glide import MAX_STEP, EmotionGlide

ANGRY, HAPPY = emotion_code(Emotion("angry", 1.0)), emotion_code(Emotion("happy", 1.0))
REST = emotion_code(NEUTRAL)


def codes(glide: EmotionGlide, first: int, last: int) -> np.ndarray:
    return np.stack([glide.at(frame) for frame in range(first, last + 1)])


def test_glide_begins_with_the_next_frame_and_arrives_within_five() -> None:
    glide = EmotionGlide(REST, HAPPY, 10)
    np.testing.assert_array_equal(glide.at(10), REST)
    assert np.abs(glide.at(11) - REST).max() == pytest.approx(MAX_STEP)
    assert not np.array_equal(glide.at(14), HAPPY)
    np.testing.assert_array_equal(glide.at(15), HAPPY)
    np.testing.assert_array_equal(glide.at(1000), HAPPY)


def test_glide_takes_the_straight_way_in_bounded_steps() -> None:
    way = codes(EmotionGlide(ANGRY, HAPPY, 0), 0, 9)
    assert np.abs(np.diff(way, axis=0)).max() <= MAX_STEP + 1e-6
    shares = (way - ANGRY) @ (HAPPY - ANGRY) / np.square(HAPPY - ANGRY).sum()
    np.testing.assert_allclose(way, ANGRY + shares[:, None] * (HAPPY - ANGRY), atol=1e-6)
    assert (np.diff(shares) >= 0).all()
    assert way.dtype == np.float32


def test_glide_needs_less_time_for_a_shorter_way() -> None:
    near = emotion_code(Emotion("happy", 0.95))
    np.testing.assert_array_equal(EmotionGlide(HAPPY, near, 0).at(2), near)
    np.testing.assert_array_equal(EmotionGlide(HAPPY, HAPPY, 0).at(1), HAPPY)


def test_glide_that_is_turned_half_way_goes_on_without_a_jump() -> None:
    first = EmotionGlide(REST, HAPPY, 0)
    second = first.turned(ANGRY, 4)
    np.testing.assert_array_equal(codes(second, 4, 4), codes(first, 4, 4))
    way = np.concatenate([codes(first, 0, 4), codes(second, 5, 20)])
    assert np.abs(np.diff(way, axis=0)).max() <= MAX_STEP + 1e-6
    np.testing.assert_array_equal(way[-1], ANGRY)
    assert first.turned(HAPPY, 4) is first
