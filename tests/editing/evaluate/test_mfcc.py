from __future__ import annotations

import math

import numpy as np
import pytest

from editing.evaluate.mfcc import mel_filters, mfcc


def slow_mfcc(samples: np.ndarray) -> np.ndarray:
    """The recipe step by step: loops in place of matrices, sums in place of transforms."""
    emphasised = [samples[0], *(samples[i] - 0.97 * samples[i - 1] for i in range(1, len(samples)))]
    n_steps = 1 + max(0, math.ceil((len(samples) - 400) / 160))
    emphasised += [0.0] * ((n_steps - 1) * 160 + 400 - len(emphasised))
    mel = [i * 2595 * math.log10(1 + 8000 / 700) / 27 for i in range(28)]
    corners = [math.floor(513 * 700 * (10 ** (m / 2595) - 1) / 16000) for m in mel]
    rows = []
    for step in range(n_steps):
        frame = np.array(emphasised[160 * step : 160 * step + 400])
        n = np.arange(400)
        power = [abs((frame * np.exp(-2j * np.pi * k * n / 512)).sum()) ** 2 / 512 for k in range(257)]
        logs = []
        for j in range(26):
            left, middle, right = corners[j : j + 3]
            energy = sum(power[k] * (k - left) / (middle - left) for k in range(left, middle))
            energy += sum(power[k] * (right - k) / (right - middle) for k in range(middle, right))
            logs.append(math.log(energy))
        row = []
        for c in range(13):
            scale = math.sqrt((1 if c == 0 else 2) / 26)
            cosine = scale * sum(logs[j] * math.cos(math.pi * c * (2 * j + 1) / 52) for j in range(26))
            row.append(cosine * (1 + 11 * math.sin(math.pi * c / 22)))
        row[0] = math.log(sum(power))
        rows.append(row)
    return np.array(rows)


def test_mfcc_matches_the_slow_recipe() -> None:
    random = np.random.default_rng(0)
    samples = np.round(random.normal(0, 2000, 1500) + 8000 * np.sin(np.arange(1500) * 0.3))
    found = mfcc(samples)
    assert found.shape == (8, 13)
    np.testing.assert_allclose(found, slow_mfcc(samples), rtol=1e-7, atol=1e-7)


def test_mfcc_has_four_steps_a_frame_less_one_at_the_end() -> None:
    assert len(mfcc(np.ones(640 * 25))) == 4 * 25 - 1
    assert len(mfcc(np.ones(100))) == 1


def test_mfcc_of_silence_is_finite() -> None:
    assert np.isfinite(mfcc(np.zeros(3200))).all()


def test_mel_filters_overlap_by_half_and_reach_one() -> None:
    filters = mel_filters()
    assert filters.shape == (26, 257) and filters.max() == pytest.approx(1.0) and filters.min() >= 0.0
    between = filters.sum(0)[10:200]
    assert between == pytest.approx(1.0), "neighbouring triangles do not add up"
