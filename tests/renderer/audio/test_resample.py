"""The resampler against scipy's, chunk borders, and its declared delay."""

from __future__ import annotations

from math import gcd

import numpy as np
import pytest

from renderer.audio.resample import Resampler, mixed_to_mono, resample_all
from renderer.errors import BadAudio
from renderer.types import SAMPLE_RATE_HZ

RATES_HZ = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000]


def band_limited(rate_hz: int, seconds: float = 0.6) -> np.ndarray:
    """Tones below 3 kHz that fade in and out."""
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    tones = sum(np.sin(2 * np.pi * hz * time_s + phase) for hz, phase in ((230, 0), (817, 1), (1930, 2), (2890, 3)))
    return (0.2 * tones * np.hanning(len(time_s))).astype(np.float32)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_resample_all_matches_the_sound_at_exact_times(rate_hz: int) -> None:
    resampled = resample_all(band_limited(rate_hz), rate_hz)
    expected = band_limited(SAMPLE_RATE_HZ)
    assert abs(len(resampled) - len(expected)) <= 1
    n = min(len(resampled), len(expected))
    np.testing.assert_allclose(resampled[:n], expected[:n], atol=2e-3)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_resample_all_matches_scipy(rate_hz: int) -> None:
    scipy_signal = pytest.importorskip("scipy.signal")
    samples = band_limited(rate_hz)
    divisor = gcd(rate_hz, SAMPLE_RATE_HZ)
    expected = scipy_signal.resample_poly(samples.astype(np.float64), SAMPLE_RATE_HZ // divisor, rate_hz // divisor)
    np.testing.assert_allclose(resample_all(samples, rate_hz)[: len(expected)], expected, atol=3e-3)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_resampler_gives_the_same_in_any_chunks(rate_hz: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.2, rate_hz // 4).astype(np.float32)
    whole = resample_all(samples, rate_hz)
    resampler = Resampler(rate_hz)
    generator = np.random.default_rng(1)
    pieces, position = [], 0
    while position < len(samples):
        size = int(generator.integers(0, 400))
        assert resampler.next_sample == sum(len(piece) for piece in pieces)
        pieces.append(resampler.push(samples[position : position + size]))
        position += size
    pieces.append(resampler.flush())
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
    assert len(whole) == -(-len(samples) * SAMPLE_RATE_HZ // rate_hz)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_resampler_suppresses_what_16_khz_cannot_hold(rate_hz: int) -> None:
    time_s = np.arange(rate_hz) / rate_hz
    tone = np.sin(2 * np.pi * 9_500 * time_s).astype(np.float32)
    middle = resample_all(tone, rate_hz)[2000:-2000]
    assert np.sqrt((middle**2).mean()) < 10 ** (-55 / 20)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_resampler_lags_by_its_look_ahead(rate_hz: int) -> None:
    resampler = Resampler(rate_hz)
    heard = rate_hz // 2
    n_out = len(resampler.push(np.zeros(heard, np.float32)))
    lag_ms = 1000 * (heard / rate_hz - n_out / SAMPLE_RATE_HZ)
    assert abs(lag_ms - resampler.look_ahead_ms) < 0.2
    assert resampler.look_ahead_ms < 5


def test_resampler_passes_16_khz_unchanged_and_at_once() -> None:
    samples = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    resampler = Resampler(SAMPLE_RATE_HZ)
    np.testing.assert_array_equal(resampler.push(samples), samples)
    assert resampler.look_ahead_ms == 0
    assert len(resampler.flush()) == 0


def test_resampler_memory_is_bounded() -> None:
    resampler = Resampler(44_100)
    for _ in range(200):
        resampler.push(np.zeros(441, np.float32))
        assert len(resampler._heard) < 400


def test_resampler_keeps_a_constant() -> None:
    resampled = resample_all(np.full(4410, 0.5, np.float32), 44_100)
    np.testing.assert_allclose(resampled[100:-100], 0.5, atol=1e-5)


def test_resampler_rejects_impossible_rates() -> None:
    with pytest.raises(BadAudio, match="100 Hz"):
        Resampler(100)


def test_mixed_to_mono_is_the_mean() -> None:
    np.testing.assert_allclose(mixed_to_mono(np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)), [0.5, 0.5])
