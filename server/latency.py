"""How long picture and voice are held back: measured, not guessed.

A session begins with what its start-up measurement says (`sizing.automatic_latency_ms`). From then on every picture tells by how much it
was ready before its time. Too often too late, and the latency grows; time to spare for long, and it shrinks a little. Pure.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

WINDOW_FRAMES = 250
"""Ten seconds."""
LATE_PERCENT = 1.7
"""Share of a window's pictures that may be late."""
EARLY_LOOK_FRAMES = 50
EARLY_LATE_PERCENT = 10.0
"""So many late ones are not waited for until the window is full; a single hiccup is fewer."""
EARLY_KEPT_PERCENT = 4.0
"""Share of them that may still be late after that."""
WANTED_SPARE_S = 0.008
"""Left between the late ones and the rest."""
MAX_RAISE_S = 0.03
"""At a time."""
LOWER_FROM_S = 0.014
MAX_LOWER_S = 0.004
"""At a time; once a window."""
MOST_ABOVE_S = 0.06
MOST_BELOW_S = 0.03
"""Bounds around where the session began. Further up, the machine is too slow rather than late."""


class LatencyGovernor:
    """Decides on one session's latency."""

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self.latency_s = start_s
        self.may_shorten = True
        self._spare_s: deque[float] = deque(maxlen=WINDOW_FRAMES)

    def observe(self, spare_s: float) -> None:
        """A picture was ready so long before its time; negative: too late."""
        self._spare_s.append(spare_s)
        n_frames = len(self._spare_s)
        if n_frames == WINDOW_FRAMES:
            worst_s = percentile(self._spare_s, LATE_PERCENT)
            if worst_s < 0.0 or worst_s > LOWER_FROM_S:
                self._move(WANTED_SPARE_S - worst_s)
            else:
                self._spare_s.clear()
        elif n_frames % EARLY_LOOK_FRAMES == 0 and percentile(self._spare_s, EARLY_LATE_PERCENT) < 0.0:
            self._move(WANTED_SPARE_S - percentile(self._spare_s, EARLY_KEPT_PERCENT))

    def _move(self, change_s: float) -> None:
        """What was seen under another latency says nothing more."""
        change_s = max(-MAX_LOWER_S if self.may_shorten else 0.0, min(MAX_RAISE_S, change_s))
        self.latency_s = min(self._start_s + MOST_ABOVE_S, max(self._start_s - MOST_BELOW_S, self.latency_s + change_s))
        self._spare_s.clear()


def percentile(values: Iterable[float], percent: float) -> float:
    """As `numpy.percentile` (linear), whose first call takes 100 ms: it imports more of numpy, here in the middle of a sentence."""
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
