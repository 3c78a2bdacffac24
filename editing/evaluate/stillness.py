"""What the mouth does when nobody speaks: it must be closed, and stay so, in silence and in a room's noise.

The head is held and the eyes stay open, so that only the sound can move anything.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from editing.evaluate.metrics import mouth_opening
from renderer.backends.base import RenderOptions, open_backend
from renderer.render import speak
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Float32, UInt8

    from editing.landmarks import LandmarkDetector
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

QUIET_S = 8.0
SPEECH_S = 20.0
SETTLING_S = 1.0
"""Left out at the beginning."""
NOISE_DBFS = -45.0
SEED = 0
STILLNESS = ("mouth_moves_in_silence", "mouth_moves_in_noise", "mouth_open_in_silence")
"""The names of what is measured."""


def held(avatar: Avatar) -> Avatar:
    """The avatar with its head held in the middle of its idle motion, eyes open."""
    middle = len(avatar.pose_track) // 2
    return avatar.replace(pose_track=avatar.pose_track[middle : middle + 1], eye_track=np.ones(1, np.float32))


def room_noise(seconds: float, level_dbfs: float = NOISE_DBFS, seed: int = SEED) -> Float32[np.ndarray, " n_samples"]:
    """Noise that falls by 3 dB an octave, as a fan's or a street's does, of a given RMS level; 16 kHz."""
    n = round(seconds * SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=n))
    frequencies_hz = np.maximum(np.fft.rfftfreq(n, 1.0 / SAMPLE_RATE_HZ), 50.0)
    noise = np.fft.irfft(spectrum / np.sqrt(frequencies_hz), n)
    return (noise * 10 ** (level_dbfs / 20) / np.sqrt((noise**2).mean())).astype(np.float32)


def mouth_stillness(
    avatar: Avatar,
    encoder: AudioEncoder,
    speech: Float[np.ndarray, " n_samples"],
    detector: LandmarkDetector,
    backend: str = "auto",
    threads: int = 1,
) -> dict[str, float | None]:
    """Shares of the mouth's range in speech: how far it moves in silence and in noise, and how far it stands open in silence.

    The range is that of 98 % of the frames of `speech`; in the quiet every frame counts. None where speech moves nothing
    or no face is found.
    """
    quiet = {"silence": np.zeros(round(QUIET_S * SAMPLE_RATE_HZ), np.float32), "noise": room_noise(QUIET_S)}
    runner = open_backend(held(avatar), RenderOptions(size=avatar.camera.height, threads=threads), backend)
    with contextlib.closing(runner):

        def openings(samples: Float[np.ndarray, " n_samples"]) -> Float[np.ndarray, " n_frames"]:
            pictures: Iterator[UInt8[np.ndarray, "h w 3"]] = speak(held(avatar), encoder, runner, samples)
            found = (detector.detect(picture) for picture in pictures)
            return np.array([mouth_opening(face) for face in found if face is not None])[round(SETTLING_S * avatar.fps) :]

        spoken = openings(speech[: round(SPEECH_S * SAMPLE_RATE_HZ)])
        curves = {name: openings(samples) for name, samples in quiet.items()}
    if not all(len(curve) for curve in (spoken, *curves.values())):
        return dict.fromkeys(STILLNESS)
    lowest, highest = np.percentile(spoken, [1, 99])
    if highest <= lowest:
        return dict.fromkeys(STILLNESS)
    values = (*(np.ptp(curve) for curve in curves.values()), curves["silence"].mean() - lowest)
    return {name: float(value / (highest - lowest)) for name, value in zip(STILLNESS, values, strict=True)}
