"""Which samples of the voice are handed to the virtual microphone's device, so that each leaves it at its own time.

Two clocks meet here: the one that the voice comes by (the microphone's, see `timeline`) and the one that the device takes samples by. The
device says how long a sample written now has to wait; so it is known which sample should leave when the next one is written, and how far
the position is from that. Small differences are made up by reading up to `MAX_STRETCH` faster or slower, which nobody hears; large ones by
a jump with a short cross-fade. Pure: every call is told the time, in seconds of the local monotonic clock. 48 kHz, int16, mono.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from server.timeline import VOICE_RATE_HZ
from server.voice_delay import VoiceDelay

if TYPE_CHECKING:
    from jaxtyping import Float, Int16

    from server.media import VoicePacket

KEPT_S = 3.0
"""Of the voice, from the newest packet back."""
SMOOTHING = 0.03
"""Weight of one look at the device's latency, which is exact to a few ms only; one each block of 10 ms."""
TOLERANCE_S = 0.003
"""Differences that are left alone: samples go through untouched."""
STRETCH_FROM_S = 0.006
"""A difference from which on it is made up, down to `TOLERANCE_S`."""
MAX_STRETCH = 0.005
"""Faster or slower reading; a twelfth of a semitone."""
JUMP_FROM_S = 0.035
"""A smoothed difference that takes too long to make up."""
FADE_SAMPLES = 240
"""5 ms, at a jump."""


class VoicePlayout:
    """One virtual microphone's."""

    def __init__(self, after_s: float) -> None:
        """A sample leaves at its `presented_s` + `after_s`."""
        self.after_s = after_s
        self.is_silent = False
        """Privacy: silence leaves in place of the voice, which goes on behind it."""
        self.missing_samples = 0
        """That were not there when the device needed them."""
        self.jumps = 0
        self.begin()

    def begin(self) -> None:
        """Another performance: samples are counted anew."""
        self._voice = VoiceDelay(int(KEPT_S * VOICE_RATE_HZ))
        self._end = 0
        """Index after the last sample that came."""
        self._newest: VoicePacket | None = None
        self._position: float | None = None
        """Index of the sample that is read next."""
        self._error_s = 0.0
        self._is_stretching = False

    def add(self, packet: VoicePacket) -> None:
        """Packets of a performance come in order."""
        self._voice.write(packet.first_sample, packet.samples)
        self._end = packet.first_sample + len(packet.samples)
        self._newest = packet

    @property
    def error_s(self) -> float:
        """By how much the voice leaves too late, smoothed; negative: too early."""
        return self._error_s

    def read(self, n: int, now_s: float, latency_s: float) -> Int16[np.ndarray, " n"]:
        """The next samples for a device in which the first of them has to wait `latency_s` before it leaves."""
        if self._newest is None:
            return np.zeros(n, np.int16)
        since_newest_s = now_s + latency_s - self.after_s - self._newest.presented_s
        wanted = self._newest.first_sample + since_newest_s * VOICE_RATE_HZ
        if self._position is None:
            self._position = float(round(wanted))
        error_s = (wanted - self._position) / VOICE_RATE_HZ
        self._error_s += SMOOTHING * (error_s - self._error_s)
        before: Int16[np.ndarray, " n"] | None = None
        if abs(self._error_s) > JUMP_FROM_S or abs(error_s) > KEPT_S:
            before = self._samples(FADE_SAMPLES, 1.0)
            self._position, self._error_s = float(round(wanted)), 0.0
            self._is_stretching = False
            self.jumps += 1
        samples = self._samples(n, self._rate())
        if before is not None:
            samples = _cross_fade(before[:n], samples)
        return np.zeros(n, np.int16) if self.is_silent else samples

    def _rate(self) -> float:
        """Samples read for each that is written."""
        size_s = abs(self._error_s)
        if self._is_stretching and size_s < TOLERANCE_S:
            self._is_stretching = False
            assert self._position is not None
            self._position = float(round(self._position))
        elif size_s > STRETCH_FROM_S:
            self._is_stretching = True
        return 1.0 + (MAX_STRETCH if self._error_s > 0 else -MAX_STRETCH) * self._is_stretching

    def _samples(self, n: int, rate: float) -> Int16[np.ndarray, " n"]:
        """Read on from the position."""
        assert self._position is not None
        first = int(np.floor(self._position))
        end = self._position + n * rate
        self.missing_samples += max(0, min(n, int(np.ceil(end)) - self._end))
        if rate == 1.0 and first == self._position:
            self._position = end
            return self._voice.read(first, n)
        places = self._position - first + rate * np.arange(n)
        raw = self._voice.read(first, int(places[-1]) + 2).astype(np.float32)
        self._position = end
        return np.rint(np.interp(places, np.arange(len(raw)), raw)).astype(np.int16)


def _cross_fade(before: Int16[np.ndarray, " m"], after: Int16[np.ndarray, " n"]) -> Int16[np.ndarray, " n"]:
    weight: Float[np.ndarray, " m"] = np.arange(1, len(before) + 1) / (len(before) + 1)
    mixed = after.astype(np.float64)
    mixed[: len(before)] = before * (1 - weight) + mixed[: len(before)] * weight
    return np.rint(mixed).astype(np.int16)
