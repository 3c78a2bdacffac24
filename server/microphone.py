"""From decoded packets of the microphone to an unbroken stream of samples.

A sample's index is its RTP time plus a constant, so nothing drifts: a lost packet becomes silence of the same length, and a microphone
that says nothing for a while is replaced by silence as time passes. 48 kHz, int16, mono.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Int16

    from server.timeline import SessionTimeline

PACKET_SAMPLES = 960
"""20 ms, the length of a browser's Opus packet."""
PATIENCE_S = 0.1
"""How long after its time a packet is awaited before silence takes its place; pictures are late meanwhile."""
PAUSED_PATIENCE_S = 0.02
"""The same while the microphone says nothing anyway: little, so that the pictures are in time, yet enough for a packet to come back in."""
MAX_GAP_S = 1.0
"""A longer jump of the RTP time into the future is not loss: the source has begun a new count."""
MAX_AHEAD_S = 0.2
"""How far the RTP time may run ahead of time."""
RENUMBER_AFTER_S = 0.4
"""Packets that all come after their place was filled, or all ahead of time, for this long: they are numbered anew. A burst is shorter."""


@dataclass(frozen=True)
class SoundBlock:
    """A stretch of the microphone's sound; blocks that are not late follow on each other without gap or overlap."""

    first_sample: int
    samples: Int16[np.ndarray, " n"]
    is_late: bool = False
    """Silence has taken its place in the pictures; the voice, which is needed later, can still use it."""


class Microphone:
    """Numbers the microphone's samples and fills what is missing. Pure: every call is told the time."""

    def __init__(self, timeline: SessionTimeline, end_phase: int = 0) -> None:
        """Packets are numbered so that they end at `end_phase` modulo their length: then the last sample that a picture waits for is the
        last of a packet, and no part of the packet's length is waited for in vain."""
        self._timeline = timeline
        self._end_phase = end_phase % PACKET_SAMPLES
        self._shift: int | None = None
        """Sample index minus RTP time; None: the next packet decides."""
        self._next = 0
        self._astray_since_s: float | None = None
        """Since when no packet met its time."""
        self._paused = True
        """The microphone says nothing; silence runs in its place."""
        self.concealed_samples = 0
        self.renumbered = 0

    @property
    def next_sample(self) -> int:
        """Index after the last sample handed on."""
        return self._next

    def sample_of(self, pts: int) -> int | None:
        """The index that the sample of RTP time `pts` has, or would have; None before the first packet."""
        return None if self._shift is None else pts + self._shift

    def push(self, pts: int, samples: Int16[np.ndarray, " n"], now_s: float) -> list[SoundBlock]:
        """A decoded packet whose first sample has RTP time `pts` (in samples, unwrapped)."""
        length = len(samples)
        if length == 0:
            return []
        if self._shift is not None and pts + self._shift > self._next + MAX_GAP_S * VOICE_RATE_HZ:
            self._renumber()
        if self._shift is None and not self._number(pts, length, now_s):
            return []
        assert self._shift is not None
        first = pts + self._shift
        is_late = first + length <= self._next
        is_ahead = self._timeline.is_settled and first + length > self._timeline.sample_at(now_s + MAX_AHEAD_S)
        if not is_late and not is_ahead:
            self._astray_since_s = None
            self._timeline.observe(first + length, now_s)
        elif self._is_astray(now_s):
            self._renumber()
            return self.push(pts, samples, now_s)
        if is_late:
            return [SoundBlock(first, samples, is_late=True)]
        if first + length > self._timeline.sample_at(now_s + MAX_GAP_S):
            return []
        return self._take(first, samples)

    def tick(self, now_s: float) -> list[SoundBlock]:
        """Call every few ms: silence for what should have come and did not."""
        if self._timeline.sample_at(now_s - (PAUSED_PATIENCE_S if self._paused else PATIENCE_S)) < self._next + PACKET_SAMPLES:
            return []
        self._paused = True
        heard = self._timeline.sample_at(now_s - PAUSED_PATIENCE_S)
        return self._silence_until(heard - (heard - self._end_phase) % PACKET_SAMPLES)

    def _take(self, first: int, samples: Int16[np.ndarray, " n"]) -> list[SoundBlock]:
        self._paused = False
        blocks = self._silence_until(first)
        n_late = self._next - first
        if n_late > 0:
            blocks.append(SoundBlock(first, samples[:n_late], is_late=True))
        blocks.append(SoundBlock(self._next, samples[max(0, n_late) :]))
        self._next = first + len(samples)
        return blocks

    def _is_astray(self, now_s: float) -> bool:
        """Whether packets have missed their time for too long to be a burst."""
        if self._astray_since_s is None:
            self._astray_since_s = now_s
        return now_s - self._astray_since_s >= RENUMBER_AFTER_S

    def _renumber(self) -> None:
        self._shift = self._astray_since_s = None
        self._timeline.forget()
        self.renumbered += 1

    def _number(self, pts: int, length: int, now_s: float) -> bool:
        """Count so that this packet ends now; not possible while its place is taken by what came ahead of time."""
        heard = max(0, self._timeline.sample_at(now_s))
        first = heard + (self._end_phase - heard) % PACKET_SAMPLES - length
        if self._next - first > PACKET_SAMPLES:
            return False
        self._shift = max(self._next, first) - pts
        return True

    def _silence_until(self, sample: int) -> list[SoundBlock]:
        missing = sample - self._next
        if missing <= 0:
            return []
        block = SoundBlock(self._next, np.zeros(missing, np.int16))
        self._next = sample
        self.concealed_samples += missing
        return [block]
