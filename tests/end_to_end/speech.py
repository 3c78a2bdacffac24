"""Something to say: a sound file for the browser's fake microphone, by espeak-ng, or noise in syllables where that is missing."""

from __future__ import annotations

import shutil
import subprocess
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

RATE_HZ = 48_000
TEXT = (
    "Please open the window. Many people may be moving by boat. Five brave foxes found a warm house above the river. "
    "We saw you do it, and who would not? Papa bought a big blue balloon for the baby. Bob, maybe tomorrow we move the piano. "
    "Far away the old farmer waved, and everybody waved back. My mother made some apple pie for me on Monday. "
    "Why do the voices of the evening always sound so far away? Open your mouth, and say ah. "
)


def write_speech(path: Path, seconds: float) -> None:
    """At least so long, 48 kHz, mono, 16 bit; the browser repeats it."""
    samples = _spoken(path.with_suffix(".espeak.wav"), seconds) if shutil.which("espeak-ng") else _syllables(seconds)
    samples = samples[: int(seconds * RATE_HZ)] * (0.5 / np.abs(samples).max())
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype(np.int16).tobytes())


def read_sound(path: Path) -> Float[np.ndarray, " n"]:
    """Any sound file as 48 kHz mono in -1...1."""
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    pieces = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32) / 32768


def _spoken(path: Path, seconds: float) -> Float[np.ndarray, " n"]:
    text = TEXT * (1 + int(seconds / 15))
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", str(path), text], check=True)
    return read_sound(path)


def _syllables(seconds: float) -> Float[np.ndarray, " n"]:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 1, int(seconds * RATE_HZ))
    loudness, position = np.zeros(len(samples)), 0
    while position < len(samples):
        length = int(rng.uniform(0.08, 0.35) * RATE_HZ)
        loudness[position : position + length] = rng.choice([0.0, 0.1, 0.3])
        position += length
    return samples * np.convolve(loudness, np.hanning(2400) / 1200, "same")
