from __future__ import annotations

import numpy as np
import pytest

from renderer.one_euro import OneEuroFilter, OneEuroSettings
from renderer.types import FPS


def run(values: np.ndarray, settings: OneEuroSettings) -> np.ndarray:
    one_euro = OneEuroFilter((settings,))
    return np.array([one_euro.push(k / FPS, np.array([value]))[0] for k, value in enumerate(values)])


def test_one_euro_equals_the_papers_equations() -> None:
    values, settings = np.array([0.0, 1.0, 3.0, 2.0]), OneEuroSettings(min_cutoff_hz=1.0, beta=0.5)
    speed, value = 0.0, 0.0
    expected = [0.0]
    for sample in values[1:]:
        period = 1 / FPS
        alpha = 1 / (1 + 1 / (2 * np.pi * 1.0) / period)
        speed = alpha * ((sample - value) / period) + (1 - alpha) * speed
        cutoff = 1.0 + 0.5 * abs(speed)
        alpha = 1 / (1 + 1 / (2 * np.pi * cutoff) / period)
        value = alpha * sample + (1 - alpha) * value
        expected.append(value)
    np.testing.assert_allclose(run(values, settings), expected)


def test_one_euro_stills_jitter_and_follows_motion() -> None:
    settings = OneEuroSettings(min_cutoff_hz=1.2, beta=0.3)
    jitter = np.random.default_rng(0).normal(0.0, 0.3, 500)
    assert run(jitter, settings)[50:].std() < 0.6 * jitter.std()
    times_s = np.arange(500) / FPS
    turn = 15.0 * np.sin(2 * np.pi * 0.7 * times_s)
    followed = run(turn, settings)
    lags = range(10)
    errors = [np.square(followed[100:] - turn[100 - lag : len(turn) - lag]).mean() for lag in lags]
    assert lags[int(np.argmin(errors))] <= 1


def test_one_euro_rejects_a_time_that_does_not_grow() -> None:
    one_euro = OneEuroFilter((OneEuroSettings(1.0, 0.0),))
    one_euro.push(1.0, np.zeros(1))
    with pytest.raises(ValueError, match="later than 1 s"):
        one_euro.push(1.0, np.zeros(1))
