"""The measuring itself, on recordings whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.end_to_end.measure_live import buffer_ms
from tests.end_to_end.measurement import FRAME_MS, LEVEL_MS, OUTPUT_MS, PHASES, WINDOW_MS, LiveFigures, NotMeasurable, Recording, measure

RATE_HZ = 16_000
SECONDS = 30
MICROPHONE_AT_MS = 1_000_000.0
MISALIGNED_FRAMES = 0.4


def speech(rng: np.random.Generator) -> np.ndarray:
    """Noise in syllables of random loudness and length."""
    samples = np.zeros(SECONDS * RATE_HZ)
    position = 0
    while position < len(samples):
        length = int(rng.uniform(0.06, 0.3) * RATE_HZ)
        samples[position : position + length] = rng.choice([0.0, 0.02, 0.1, 0.3])
        position += length
    return samples * rng.normal(0, 1, len(samples))


def recorded(
    latency_ms: float, voice_ms: float, drift: float = 0.0, jitter_ms: float = 0.0, repeats: int = 1, gap_ms: float = 0.0
) -> tuple[Recording, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    spoken = np.tile(speech(rng), repeats)
    step = int(RATE_HZ * LEVEL_MS / 1000)
    levels = np.sqrt((spoken.reshape(-1, step) ** 2).mean(1))
    times_ms = MICROPHONE_AT_MS + (np.arange(len(levels)) + 1) * LEVEL_MS
    times_ms += np.arange(len(levels)) // (len(levels) // repeats) * gap_ms
    n_moments = SECONDS * 25 * PHASES * repeats
    moments_ms = np.arange(n_moments) * FRAME_MS / PHASES
    mouth = np.convolve(np.interp(moments_ms, np.arange(len(levels)) * LEVEL_MS, levels), np.ones(3 * PHASES) / (3 * PHASES), "same")
    expected = 100 + mouth[:, None] * rng.normal(0, 100, 64)[None] + rng.normal(0, 0.3, (n_moments, 64))
    # The live frames begin in between two frames of the file.
    chosen = np.arange(20, n_moments // PHASES - 1) + MISALIGNED_FRAMES
    shown_ms = MICROPHONE_AT_MS + latency_ms + chosen * FRAME_MS * (1 + drift) + rng.exponential(jitter_ms or 1e-9, len(chosen))
    shown_ms += chosen // (SECONDS * 25) * gap_ms
    voice = np.stack([times_ms + voice_ms - OUTPUT_MS + rng.normal(0, 1, len(levels)), levels * 0.7], 1)
    before, share = np.floor(chosen * PHASES).astype(int), (chosen * PHASES % 1)[:, None]
    pictures = (1 - share) * expected[before] + share * expected[before + 1] + rng.normal(0, 2, (len(chosen), 64))
    recording = Recording(np.stack([times_ms, levels], 1), voice, shown_ms, chosen - chosen[0], pictures, 700, 28.0)
    return recording, spoken, expected


def figures(**conditions: float) -> LiveFigures:
    recording, spoken, expected = recorded(**conditions)
    return measure(recording, spoken, RATE_HZ, expected)


def test_measurement_finds_latency_and_skew() -> None:
    found = figures(latency_ms=270.0, voice_ms=255.0)
    assert found.latency_p50_ms == pytest.approx(270, abs=4)
    assert found.voice_ms == pytest.approx(255, abs=4)
    assert found.skew_p50_ms == pytest.approx(15, abs=4)
    assert found.decoded_fps == 25.0
    assert abs(found.drift_ms) < 5


def test_measurement_finds_jitter_of_the_pictures() -> None:
    found = figures(latency_ms=200.0, voice_ms=220.0, jitter_ms=20.0)
    assert found.latency_p95_ms - found.latency_p50_ms == pytest.approx(20 * np.log(10), abs=8)
    assert found.skew_p95_abs_ms > 20


def test_measurement_finds_drift() -> None:
    found = figures(latency_ms=200.0, voice_ms=220.0, drift=0.002)
    assert found.drift_ms == pytest.approx(0.002 * 2 * WINDOW_MS, abs=14)


def test_measurement_follows_a_file_that_is_repeated() -> None:
    recording, spoken, expected = recorded(latency_ms=260.0, voice_ms=240.0, repeats=3, gap_ms=30.0)
    # The last frame is shorter than a frame, and was not rendered.
    found = measure(recording, spoken[: SECONDS * RATE_HZ], RATE_HZ, expected[: SECONDS * 25 * PHASES - 7])
    assert found.latency_p50_ms == pytest.approx(260, abs=4)
    assert found.voice_ms == pytest.approx(240, abs=4)
    assert found.skew_p95_abs_ms < 28


def test_measurement_refuses_pictures_that_do_not_speak() -> None:
    recording, spoken, expected = recorded(latency_ms=200.0, voice_ms=200.0)
    rng = np.random.default_rng(1)
    still = Recording(
        recording.microphone, recording.voice, recording.shown_ms, recording.frames, rng.normal(100, 2, recording.pictures.shape), 700, 28.0
    )
    with pytest.raises(NotMeasurable, match="mouth"):
        measure(still, spoken, RATE_HZ, expected)
    with pytest.raises(NotMeasurable, match="microphone"):
        measure(recording, speech(np.random.default_rng(9)), RATE_HZ, expected)


def test_buffers_are_told_of_what_left_them_meanwhile() -> None:
    before = {"video": [100.0, 1000], "audio": [7.0, 48_000]}
    after = {"video": [102.0, 1050], "audio": [7.0 + 0.06 * 96_000, 144_000]}
    assert buffer_ms(before, after) == {"video": 40.0, "audio": 60.0}
