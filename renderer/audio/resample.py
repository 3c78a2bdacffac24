"""Any sample rate to 16 kHz, chunk by chunk: a polyphase filter with a Kaiser-windowed sinc.

Time base: output sample n is the sound at n / 16000 s from the stream's first sample, exactly, whatever the sizes of the
chunks: the filter's delay is compensated, so the output lags the input by `look_ahead_ms` of sound that must be heard
first. Before the stream and after its end there are zeros. float32 in and out.
"""

from __future__ import annotations

from math import ceil, gcd
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BadAudio
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Float, Float32

MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000
ZERO_CROSSINGS = 24
"""Of the sinc, on each side; more make the edge at the highest frequency steeper and the look-ahead longer."""
KAISER_BETA = 7.0
"""70 dB of suppression."""
PASS_BAND = 0.93
"""Where the filter has fallen by half, as a share of the lower of the two Nyquist frequencies."""


class Resampler:
    """Converts one mono stream; keeps only as much sound as its filter is long."""

    def __init__(self, rate_hz: int) -> None:
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise BadAudio(f"a sample rate of {rate_hz} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz is possible")
        divisor = gcd(rate_hz, SAMPLE_RATE_HZ)
        self._up = SAMPLE_RATE_HZ // divisor
        self._down = rate_hz // divisor
        self._rate_hz = rate_hz
        # In input samples: the sinc's zero crossings are 1 / (2 cutoff) apart.
        cutoff = PASS_BAND * min(1.0, SAMPLE_RATE_HZ / rate_hz)
        self._half = 0 if self._up == self._down else ceil(ZERO_CROSSINGS / cutoff)
        self._filters = self._design(cutoff)
        self._heard = np.zeros(max(0, self._half - 1), np.float32)
        self._first_heard = -len(self._heard)
        self._n_out = 0
        self._n_in = 0

    def _design(self, cutoff: float) -> Float32[np.ndarray, "n_phases n_taps"]:
        half = self._half
        if half == 0:
            return np.ones((1, 1), np.float32)
        phases = np.arange(self._up)[:, None] / self._up
        distance = np.arange(-half + 1, half + 1)[None, :] - phases
        window = np.i0(KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / half) ** 2)))
        filters = np.sinc(cutoff * distance) * window
        # Each phase passes a constant unchanged; the small differences between phases would be heard as a tone.
        return np.asarray(filters / filters.sum(1, keepdims=True), np.float32)

    @property
    def look_ahead_ms(self) -> float:
        """Input that must be heard after the moment of an output sample."""
        return 1000.0 * self._half / self._rate_hz

    @property
    def next_sample(self) -> int:
        """Index of the output sample that comes out next."""
        return self._n_out

    def push(self, samples: Float[np.ndarray, " n_samples"]) -> Float32[np.ndarray, " n_resampled"]:
        """Hear a chunk; returns the output samples that are complete now, perhaps none."""
        self._n_in += len(samples)
        return self._convert(samples, until=None)

    def flush(self) -> Float32[np.ndarray, " n_resampled"]:
        """End the stream: the output samples that still lie within the input, with zeros after it."""
        until = ceil(self._n_in * self._up / self._down)
        return self._convert(np.zeros(self._half + 1, np.float32), until)

    def _convert(self, samples: Float[np.ndarray, " n_samples"], until: int | None) -> Float32[np.ndarray, " n_resampled"]:
        self._heard = np.concatenate([self._heard, np.asarray(samples, np.float32)])
        n_taps = self._filters.shape[1]
        # Output n needs inputs base - half + 1 ... base + half with base = floor(n * down / up).
        last_base = self._first_heard + len(self._heard) - 1 - self._half
        end = max(self._n_out, (last_base * self._up + self._up - 1) // self._down + 1)
        if until is not None:
            end = min(end, until)
        indices = np.arange(self._n_out, end)
        if not len(indices):
            return np.zeros(0, np.float32)
        base = indices * self._down // self._up
        phase = indices * self._down % self._up
        first = base - max(0, self._half - 1) - self._first_heard
        windows = np.lib.stride_tricks.sliding_window_view(self._heard, n_taps)
        resampled = np.einsum("nt,nt->n", windows[first], self._filters[phase])
        self._n_out = int(end)
        keep = self._n_out * self._down // self._up - max(0, self._half - 1) - self._first_heard
        keep = min(max(keep, 0), len(self._heard))
        self._heard = self._heard[keep:].copy()
        self._first_heard += keep
        return np.asarray(resampled, np.float32)


def resample_all(samples: Float[np.ndarray, " n_samples"], rate_hz: int) -> Float32[np.ndarray, " n_resampled"]:
    """A whole recording at 16 kHz, as the stream would give it."""
    resampler = Resampler(rate_hz)
    chunk = rate_hz  # a second at a time bounds the memory of the gathered windows
    pieces = [resampler.push(samples[first : first + chunk]) for first in range(0, len(samples), chunk)]
    return np.concatenate([*pieces, resampler.flush()])


def mixed_to_mono(samples: Float[np.ndarray, "n_samples n_channels"]) -> Float32[np.ndarray, " n_samples"]:
    """The mean of the channels."""
    return np.asarray(np.mean(samples, axis=1, dtype=np.float32))
