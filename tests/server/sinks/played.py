"""What a player finds in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np


@dataclass(frozen=True)
class Played:
    times_s: np.ndarray
    """Of the pictures."""
    lumas: np.ndarray
    """Means of the pictures, 0...255."""
    sound: np.ndarray
    """-1...1, 48 kHz, from time 0 on."""
    size: tuple[int, int]

    @property
    def seconds(self) -> float:
        return float(self.times_s[-1]) + 0.04

    def flashes_s(self) -> np.ndarray:
        """Times of the pictures that are bright after a dark one."""
        bright = self.lumas > 120
        return self.times_s[bright & ~np.concatenate([[False], bright[:-1]])]

    def beeps_s(self, pause_s: float = 0.2) -> np.ndarray:
        """Beginnings of sound after a pause."""
        loud = np.flatnonzero(np.abs(self.sound) > 0.1)
        starts = loud[np.concatenate([[True], np.diff(loud) > pause_s * 48_000])] if len(loud) else loud
        return starts / 48_000


def play(path: Path | str) -> Played:
    """Decode all that is there; a file may break off."""
    times, lumas, parts, size = [], [], [], (0, 0)
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                assert frame.time is not None
                times.append(frame.time)
                lumas.append(float(frame.to_ndarray(format="gray").mean()))
                size = (frame.width, frame.height)
        except av.error.InvalidDataError:
            assert times, "not one picture"
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 48_000)
        try:
            for sound in container.decode(audio=0):
                for piece in resampler.resample(sound):
                    assert piece.time is not None
                    parts.append((piece.time, piece.to_ndarray()[0] / 32768))
        except av.error.InvalidDataError:
            assert parts, "no sound"
    end = max((round(at * 48_000) + len(samples) for at, samples in parts), default=0)
    voice = np.zeros(end, np.float32)
    for at, samples in parts:
        first = round(at * 48_000)
        skipped = max(0, -first)
        voice[first + skipped : first + len(samples)] = samples[skipped:]
    return Played(np.array(times), np.array(lumas), voice, size)
