"""Mel-frequency cepstral coefficients as SyncNet was trained on them: 13 a step, 100 steps a second, of 16 kHz sound in PCM16 units.

The recipe is that of the package python_speech_features with its defaults: pre-emphasis, frames of 25 ms without a window function, power
spectrum of 512 points, 26 triangular mel filters, logarithm, DCT, lifter; the first coefficient is the frame's log energy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Float

STEP_HZ = 100
STEP_SAMPLES = SAMPLE_RATE_HZ // STEP_HZ
FRAME_SAMPLES = SAMPLE_RATE_HZ * 25 // 1000
FFT_POINTS = 512
N_FILTERS = 26
N_COEFFICIENTS = 13
PRE_EMPHASIS = 0.97
LIFTER = 22
SMALLEST = float(np.finfo(float).eps)
"""Stands for an energy of 0, whose logarithm is not a number."""


def mfcc(samples: Float[np.ndarray, " n_samples"]) -> Float[np.ndarray, "n_steps n_coefficients"]:
    """Coefficients of sound in PCM16 units (±32767); the last frame is filled up with zeros."""
    from scipy.fft import dct

    emphasised = np.concatenate([samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1]]).astype(np.float64)
    n_steps = 1 + max(0, -(-(len(samples) - FRAME_SAMPLES) // STEP_SAMPLES))
    padded = np.zeros((n_steps - 1) * STEP_SAMPLES + FRAME_SAMPLES)
    padded[: len(emphasised)] = emphasised
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::STEP_SAMPLES]
    power = np.abs(np.fft.rfft(frames, FFT_POINTS)) ** 2 / FFT_POINTS
    energy = power @ mel_filters().T
    cepstra = dct(np.log(np.where(energy == 0.0, SMALLEST, energy)), type=2, axis=1, norm="ortho")[:, :N_COEFFICIENTS]
    cepstra *= 1.0 + LIFTER / 2.0 * np.sin(np.pi * np.arange(N_COEFFICIENTS) / LIFTER)
    total = power.sum(1)
    cepstra[:, 0] = np.log(np.where(total == 0.0, SMALLEST, total))
    return cepstra


def mel_filters() -> Float[np.ndarray, "n_filters n_bins"]:
    """Triangles between points that are equally far apart in mel, from 0 to 8 kHz; their corners lie on whole bins."""
    highest_mel = 2595.0 * np.log10(1.0 + SAMPLE_RATE_HZ / 2 / 700.0)
    corners_hz = 700.0 * (10.0 ** (np.linspace(0.0, highest_mel, N_FILTERS + 2) / 2595.0) - 1.0)
    corners = np.floor((FFT_POINTS + 1) * corners_hz / SAMPLE_RATE_HZ)[:, None]
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    bins = np.arange(FFT_POINTS // 2 + 1)
    rising = np.where((bins >= left) & (bins < middle), (bins - left) / np.maximum(middle - left, 1.0), 0.0)
    falling = np.where((bins >= middle) & (bins < right), (right - bins) / np.maximum(right - middle, 1.0), 0.0)
    return rising + falling
