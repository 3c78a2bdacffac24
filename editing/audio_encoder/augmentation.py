"""Rooms, microphones, lines and noise: what real sound has and synthetic speech lacks.

Works on a batch of windows at once, in torch: microphone and line response, room, noise, clipping, telephone
companding and level. Rooms and noises are drawn from pools made beforehand; fresh ones would cost more than training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32
    from torch import Tensor

_EPSILON = 1e-6
MU_LAW = 255.0
RESPONSE_POINTS = 13  # over eight octaves
NOTCH_DB = 30.0
MUSIC_SHARE = 0.06  # of the noises
LEVELLING_SAMPLES = 800  # 50 ms
MU_LAW_PEAK = 6.0  # of a window with an RMS of 1


@dataclass(frozen=True)
class AugmentationConfig:
    """How often and how strongly a window is changed."""

    response_db: float = 3.5
    """standard deviation of the microphone's response at points of the spectrum"""
    notch: float = 0.25
    """probability that a band of 200...1200 Hz is taken away: no cue may be the only one"""
    telephone: float = 0.38
    """probability of a 3.3...4 kHz upper limit, as 8 kHz audio has"""
    low_pass: float = 0.3
    """probability of an upper limit between 4 and 8 kHz"""
    room: float = 0.5
    """probability of reverberation (0.08...0.5 s)"""
    noise: float = 0.75
    """probability of added noise, 3...40 dB below the speech"""
    babble: float = 0.1
    """probability that the noise is other people speaking, 6...25 dB below"""
    clipping: float = 0.1
    """probability of clipped peaks"""
    companding: float = 0.1
    """probability of 7-bit mu-law"""
    codec: float = 0.25
    """probability of noise that follows the sound's own level, 8...30 dB below it, as low-rate codecs make"""
    levelling: float = 0.2
    """probability of an automatic gain that evens out syllables"""
    dropout: float = 0.04
    """probability of 20...80 ms lost"""
    level_low_db: float = -45.0
    """lowest RMS level, relative to full scale"""
    level_high_db: float = -8.0
    """highest RMS level"""
    rooms: int = 192
    """size of the pool of rooms"""
    noises: int = 256
    """size of the pool of noises"""


def _filter_gains(generator: np.random.Generator, frequencies: np.ndarray, deviation_db: float, tilt_db: float) -> np.ndarray:
    octaves = np.log2(np.maximum(frequencies, 30.0) / 1000.0)
    points = np.linspace(-5.0, 3.0, RESPONSE_POINTS)
    response = np.interp(octaves, points, generator.normal(0.0, deviation_db, RESPONSE_POINTS))
    return np.asarray(response + tilt_db * octaves)


def music_like(generator: np.random.Generator, n_samples: int) -> Float32[np.ndarray, " n_samples"]:
    """Chords of plucked harmonic tones."""
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    sound = np.zeros(n_samples)
    for _ in range(generator.integers(3, 12)):
        pitch_hz = 55.0 * 2 ** generator.uniform(0, 4.5)
        start_s = generator.uniform(-0.5, time_s[-1])
        decay_s = generator.uniform(0.1, 2.0)
        after_s = np.maximum(time_s - start_s, 0.0)
        envelope = np.exp(-after_s / decay_s) * np.minimum(after_s / 0.01, 1.0)
        for harmonic in range(1, 8):
            if pitch_hz * harmonic < SAMPLE_RATE_HZ / 2:
                phase = generator.uniform(0, 2 * np.pi)
                sound += generator.uniform(0.2, 1.0) / harmonic * envelope * np.sin(2 * np.pi * pitch_hz * harmonic * time_s + phase)
    return sound.astype(np.float32)


def coloured_noise(generator: np.random.Generator, n_samples: int) -> Float32[np.ndarray, " n_samples"]:
    """Steady or breathing noise of a random colour; some with mains hum, some with clicks as of a keyboard."""
    frequencies = np.fft.rfftfreq(n_samples, 1.0 / SAMPLE_RATE_HZ)
    gains = 10 ** (np.clip(_filter_gains(generator, frequencies, 4.0, generator.uniform(-7.0, 1.0)), -80.0, 40.0) / 20.0)
    spectrum = generator.normal(size=len(frequencies)) + 1j * generator.normal(size=len(frequencies))
    noise = np.fft.irfft(spectrum * gains, n_samples)
    noise /= noise.std() + _EPSILON
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    if generator.random() < 0.3:
        noise *= 1.0 + 0.8 * np.sin(2 * np.pi * generator.uniform(0.3, 8.0) * time_s + generator.uniform(0, 6.3))
    if generator.random() < 0.1:
        mains_hz = generator.choice([50.0, 60.0])
        for harmonic in range(1, 4):  # more of them would be like a hummed M
            noise += generator.uniform(0, 0.7) * np.sin(2 * np.pi * mains_hz * harmonic * time_s)
    if generator.random() < 0.2:
        for _ in range(generator.integers(2, 15)):
            at = generator.integers(0, n_samples - 400)
            click = generator.normal(size=400) * np.exp(-np.arange(400) / generator.uniform(10, 120))
            noise[at : at + 400] += generator.uniform(1.0, 8.0) * click
    return noise.astype(np.float32)


class Augmentation:
    """Changes batches of windows of one length; holds the pools."""

    def __init__(
        self,
        config: AugmentationConfig,
        window_samples: int,
        speech: Float32[np.ndarray, " n_speech"],
        generator: np.random.Generator,
    ) -> None:
        import torch

        self._config = config
        self._generator = generator
        # Room tails past a quarter of a second are dropped from the transform's length, not wrapped around.
        self._fft_size = _quick_fft_size(window_samples + SAMPLE_RATE_HZ // 4)
        self._n_samples = window_samples
        self._frequencies = np.fft.rfftfreq(self._fft_size, 1.0 / SAMPLE_RATE_HZ)
        rooms = np.stack([self._room() for _ in range(config.rooms)])
        self._rooms = torch.fft.rfft(torch.from_numpy(rooms), self._fft_size)
        length = window_samples * 2
        noises = [
            music_like(generator, length) if generator.random() < MUSIC_SHARE else coloured_noise(generator, length)
            for _ in range(config.noises)
        ]
        self._noises = torch.from_numpy(np.stack(noises))
        babble = [self._babble(speech, length) for _ in range(max(config.noises // 8, 1))]
        self._babbles = torch.from_numpy(np.stack(babble))

    def _room(self) -> Float32[np.ndarray, " n_response"]:
        generator = self._generator
        length = SAMPLE_RATE_HZ // 4
        reverberation_s = generator.uniform(0.08, 0.5)
        time_s = np.arange(length) / SAMPLE_RATE_HZ
        tail = generator.normal(size=length) * np.exp(-6.9 * time_s / reverberation_s)
        tail[: generator.integers(8, 80)] = 0.0
        tail *= 10 ** (-generator.uniform(0.0, 16.0) / 20.0) / (np.sqrt((tail**2).sum()) + _EPSILON)
        tail[0] = 1.0
        return tail.astype(np.float32)

    def _babble(self, speech: Float32[np.ndarray, " n_speech"], length: int) -> Float32[np.ndarray, " length"]:
        mixed = np.zeros(length, np.float32)
        for _ in range(int(self._generator.integers(2, 6))):
            start = int(self._generator.integers(0, len(speech) - length))
            mixed += speech[start : start + length] * np.float32(self._generator.uniform(0.3, 1.0))
        return mixed

    def _responses(self, n: int) -> Float32[np.ndarray, "n n_bins"]:
        generator, config = self._generator, self._config
        coarse = self._frequencies[::8]
        gains = np.empty((n, len(self._frequencies)), np.float32)
        for row in range(n):
            decibels = _filter_gains(generator, coarse, config.response_db, generator.uniform(-3.0, 3.0))
            high_pass_hz = generator.uniform(20.0, 320.0) if generator.random() < 0.6 else 20.0
            kind = generator.random()
            low_pass_hz = 9000.0
            if kind < config.telephone:
                low_pass_hz = generator.uniform(3300.0, 4000.0)
            elif kind < config.telephone + config.low_pass:
                low_pass_hz = generator.uniform(4000.0, 8000.0)
            decibels = decibels - 10 * np.log10(1 + (high_pass_hz / np.maximum(coarse, 1.0)) ** 6)
            decibels = decibels - 10 * np.log10(1 + (coarse / low_pass_hz) ** 24)
            if generator.random() < config.notch:
                low_hz = generator.uniform(100.0, 5000.0)
                inside = (coarse > low_hz) & (coarse < low_hz + generator.uniform(200.0, 1200.0))
                decibels = decibels - NOTCH_DB * inside
            gains[row] = np.interp(self._frequencies, coarse, 10 ** (np.maximum(decibels, -80.0) / 20.0))
        return gains

    def _drawn(self, pool: Tensor, n: int) -> Tensor:
        import torch

        rows = self._generator.integers(0, len(pool), n)
        starts = self._generator.integers(0, pool.shape[1] - self._n_samples + 1, n)
        picked = [pool[row, start : start + self._n_samples] for row, start in zip(rows, starts, strict=True)]
        return torch.stack(picked)

    def _chance(self, probability: float, n: int) -> Bool[Tensor, " n"]:
        import torch

        return torch.from_numpy(self._generator.random(n) < probability)

    def _uniform(self, low: float, high: float, n: int) -> Float[Tensor, "n 1"]:
        import torch

        return torch.from_numpy(self._generator.uniform(low, high, (n, 1)).astype(np.float32))

    def _evened(self, sound: Float[Tensor, "n n_samples"]) -> Float[Tensor, "n n_samples"]:
        """Divided by a power of the sound's own level over 50 ms."""
        import torch.nn.functional as functional

        block = LEVELLING_SAMPLES
        level = functional.avg_pool1d(sound.square().unsqueeze(1), block, block // 2, padding=block // 2).sqrt()
        level = functional.interpolate(level, size=sound.shape[1], mode="linear").squeeze(1)
        evened = sound * (level + 0.02).pow(-self._uniform(0.1, 0.6, len(sound)))
        return evened / _rms(evened)

    def __call__(self, windows: Float[Tensor, "n n_samples"], only_noise: Bool[Tensor, " n"]) -> Float[Tensor, "n n_samples"]:
        """Changed windows, within -1...1; rows of `only_noise` keep nothing of their speech."""
        import torch

        config, n = self._config, len(windows)
        response = torch.from_numpy(self._responses(n))
        rooms = self._rooms[torch.from_numpy(self._generator.integers(0, len(self._rooms), n))]
        rooms = torch.where(self._chance(config.room, n)[:, None], rooms, torch.ones_like(rooms))
        spectrum = torch.fft.rfft(windows, self._fft_size) * rooms * response
        sound = torch.fft.irfft(spectrum, self._fft_size)[:, : self._n_samples]

        noise = self._drawn(self._noises, n)
        snr_db = self._uniform(3.0, 40.0, n)
        snr_db[~self._chance(config.noise, n)] = 70.0
        babble = self._chance(config.babble, n) & ~only_noise
        if bool(babble.any()):
            count = int(babble.sum())
            noise[babble] = self._drawn(self._babbles, count)
            snr_db[babble] = self._uniform(6.0, 25.0, count)
        sound_rms, noise_rms = _rms(sound), _rms(noise)
        sound = sound + noise * (sound_rms + 1e-4) / noise_rms * 10 ** (-snr_db / 20.0)
        sound[only_noise] = noise[only_noise]
        sound = sound / _rms(sound)

        levelled = self._chance(config.levelling, n)
        if bool(levelled.any()):
            sound[levelled] = self._evened(sound[levelled])
        coded = self._chance(config.codec, n)
        if bool(coded.any()):
            part = sound[coded]
            noise_db = self._uniform(-30.0, -8.0, len(part))
            sound[coded] = part * (1.0 + torch.randn(part.shape) * 10 ** (noise_db / 20.0))

        limit = self._uniform(0.8, 2.5, n)
        limit[~self._chance(config.clipping, n)] = 99.0
        sound = torch.minimum(torch.maximum(sound, -limit), limit)
        companded = self._chance(config.companding, n)
        if bool(companded.any()):
            part = (sound[companded] / MU_LAW_PEAK).clamp(-1.0, 1.0)
            code = torch.sign(part) * torch.log1p(MU_LAW * part.abs()) / math.log(1.0 + MU_LAW)
            code = torch.round(code * 64.0) / 64.0
            sound[companded] = MU_LAW_PEAK * torch.sign(code) * (torch.pow(1.0 + MU_LAW, code.abs()) - 1.0) / MU_LAW
        for row in torch.nonzero(self._chance(config.dropout, n)).flatten().tolist():
            length = int(self._generator.integers(320, 1280))
            start = int(self._generator.integers(0, self._n_samples - length))
            sound[row, start : start + length] = 0.0
        level_db = self._uniform(config.level_low_db, config.level_high_db, n)
        quiet_db = self._uniform(-75.0, -25.0, n)
        level_db = torch.where(only_noise[:, None], quiet_db, level_db)
        return (sound * 10 ** (level_db / 20.0)).clamp(-1.0, 1.0)


def _rms(windows: Tensor) -> Tensor:
    return windows.square().mean(1, keepdim=True).sqrt() + _EPSILON


def _quick_fft_size(at_least: int) -> int:
    sizes: list[int] = [(1 << power) * odd for power in range(6, 18) for odd in (1, 3, 5, 9, 15)]
    return min(size for size in sizes if size >= at_least)
