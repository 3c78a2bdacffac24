"""Other speakers out of the same speech: formant shift, spectral tilt and breath, without touching the timing.

Speech is taken apart by a short-time Fourier transform into a smooth spectral envelope (the vocal tract, by cepstral
smoothing) and what is left (the voice's source); the envelope is stretched along frequency and put back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Float32

FFT_SIZE = 512
HOP = 128
# Quefrencies above this (1.9 ms) hold the pitch of voices up to 530 Hz and are left out of the envelope.
ENVELOPE_COEFFICIENTS = 30
_FLOOR = 1e-5


@dataclass(frozen=True)
class VoiceChange:
    """What to change about a voice."""

    formant_scale: float = 1.0
    """formant frequencies are multiplied by this: above 1 a shorter vocal tract"""
    bend: tuple[float, ...] = ()
    """further factors of frequency at equal distances from 0 to 8 kHz: other shapes of the vocal tract"""
    sharpness: float = 1.0
    """the envelope's peaks and dips are multiplied by this, in decibels: formant bandwidths"""
    tilt_db_per_octave: float = 0.0
    """added above and below 1 kHz"""
    breath: float = 0.0
    """0 the voice as it was ... 1 whispered (the source replaced by noise)"""

    def __post_init__(self) -> None:
        if not 0.6 <= self.formant_scale <= 1.6:
            raise ValueError(f"formant_scale {self.formant_scale} is outside 0.6...1.6")
        if not all(0.8 <= factor <= 1.25 for factor in self.bend):
            raise ValueError(f"bend {self.bend} has factors outside 0.8...1.25")
        if not 0.0 <= self.breath <= 1.0:
            raise ValueError(f"breath {self.breath} is outside 0...1")

    @staticmethod
    def drawn(random: np.random.Generator) -> VoiceChange:
        """A random change within what people's voices do."""
        return VoiceChange(
            formant_scale=float(np.exp(random.uniform(-0.18, 0.18))),
            bend=tuple(float(factor) for factor in np.exp(random.uniform(-0.07, 0.07, 6))),
            sharpness=float(np.exp(random.uniform(-0.25, 0.2))),
            tilt_db_per_octave=float(random.uniform(-3.0, 3.0)),
            breath=float(random.choice([0.0, random.uniform(0.05, 0.5), 1.0], p=[0.7, 0.25, 0.05])),
        )

    def applied(self, samples: Float32[np.ndarray, " n_samples"], random: np.random.Generator) -> Float32[np.ndarray, " n_samples"]:
        """The same speech in the changed voice, with the same peak."""
        if len(samples) < FFT_SIZE:
            return samples
        window = np.hanning(FFT_SIZE + 1)[:-1].astype(np.float32)
        padded = np.pad(samples, (FFT_SIZE, FFT_SIZE + HOP))
        frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SIZE)[::HOP] * window
        spectrum = np.fft.rfft(frames).astype(np.complex64)
        log_magnitude = np.log(np.abs(spectrum) + _FLOOR)
        cepstrum = np.fft.irfft(log_magnitude)
        cepstrum[:, ENVELOPE_COEFFICIENTS : FFT_SIZE - ENVELOPE_COEFFICIENTS + 1] = 0.0
        envelope = np.fft.rfft(cepstrum).real
        n_bins = envelope.shape[1]
        bins = np.arange(n_bins)
        factors = np.interp(bins, np.linspace(0, n_bins - 1, len(self.bend)), self.bend) if self.bend else 1.0
        source_bin = np.clip(bins / (self.formant_scale * factors), 0, n_bins - 1.001)
        lower = source_bin.astype(int)
        share = source_bin - lower
        changed = envelope[:, lower] * (1.0 - share) + envelope[:, lower + 1] * share
        level = changed.mean(1, keepdims=True)
        changed = level + (changed - level) * self.sharpness
        frequency = np.maximum(bins * SAMPLE_RATE_HZ / FFT_SIZE, 100.0)
        changed += self.tilt_db_per_octave * np.log2(frequency / 1000.0) * (np.log(10.0) / 20.0)
        filtered = spectrum * np.exp(np.clip(changed - envelope, -6.0, 6.0))
        if self.breath > 0.0:
            noise = random.normal(size=filtered.shape) + 1j * random.normal(size=filtered.shape)
            whispered = np.exp(changed) * noise * 0.7
            filtered = filtered * np.sqrt(1.0 - self.breath) + whispered * np.sqrt(self.breath)
        pieces = np.fft.irfft(filtered).astype(np.float32) * window
        out = np.zeros(len(padded) + FFT_SIZE, np.float32)
        n_frames = len(pieces)
        for part in range(FFT_SIZE // HOP):  # overlap-add, a block of HOP samples at a time
            block = pieces[:, part * HOP : (part + 1) * HOP].reshape(-1)
            out[part * HOP : part * HOP + n_frames * HOP] += block
        out = out[FFT_SIZE : FFT_SIZE + len(samples)] / 1.5  # the squared Hann windows add up to 1.5
        peak = np.abs(out).max()
        return out * (np.abs(samples).max() / peak) if peak > 0 else out
