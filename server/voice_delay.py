"""The speaker's own voice, kept until its picture leaves. 48 kHz, int16, mono, addressed by sample index (see `timeline`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int16


class VoiceDelay:
    """A ring of the last `capacity` samples. What was never written, or is overwritten already, reads as silence."""

    def __init__(self, capacity: int) -> None:
        self._ring = np.zeros(capacity, np.int16)
        self._end = 0

    def write(self, first_sample: int, samples: Int16[np.ndarray, " n"]) -> None:
        """Append; blocks follow on each other (a gap reads as silence)."""
        capacity = len(self._ring)
        if first_sample < self._end:
            raise ValueError(f"samples from {first_sample} on were written before; {self._end} is next")
        for start, stop in self._spans(max(self._end, first_sample - capacity), first_sample):
            self._ring[start:stop] = 0
        self._put(first_sample, samples[-capacity:], skipped=max(0, len(samples) - capacity))
        self._end = first_sample + len(samples)

    def amend(self, first_sample: int, samples: Int16[np.ndarray, " n"]) -> None:
        """Put late samples where silence was written; what the ring no longer holds is left out."""
        if first_sample + len(samples) > self._end:
            raise ValueError(f"samples up to {first_sample + len(samples)} were not written before; {self._end} is next")
        skipped = max(0, self._end - len(self._ring) - first_sample, -first_sample)
        self._put(first_sample, samples[skipped:], skipped)

    def read(self, first_sample: int, length: int) -> Int16[np.ndarray, " length"]:
        out = np.zeros(length, np.int16)
        begin = max(first_sample, self._end - len(self._ring), 0)
        done = begin - first_sample
        for start, stop in self._spans(begin, min(first_sample + length, self._end)):
            out[done : done + stop - start] = self._ring[start:stop]
            done += stop - start
        return out

    def _put(self, first_sample: int, samples: Int16[np.ndarray, " n"], skipped: int) -> None:
        first, done = first_sample + skipped, 0
        for start, stop in self._spans(first, first + len(samples)):
            self._ring[start:stop] = samples[done : done + stop - start]
            done += stop - start

    def _spans(self, first: int, end: int) -> list[tuple[int, int]]:
        """The one or two stretches of the ring that hold samples first...end."""
        if end <= first:
            return []
        capacity = len(self._ring)
        start, length = first % capacity, end - first
        head = min(length, capacity - start)
        return [(start, start + head)] + ([(0, length - head)] if head < length else [])
