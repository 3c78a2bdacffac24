"""One session's time: when a sample of the microphone is heard here, and when its picture and its voice must leave.

Time bases
----------
sample index   n-th sample at 48 kHz since the session began, as the microphone counts them
local time     seconds of this machine's monotonic clock

The microphone is the clock. `local_time(n)` is when the packet that ends at sample n arrives if it meets no queue on its way: an
origin plus n / 48000. The origin follows the smallest transit time of the last few seconds, so jitter does not move it, while the
drift between the microphone's clock and ours is followed at a bounded rate. Picture and voice both leave at `local_time(n) + latency`
with one latency, so they cannot drift apart; when it is changed, both move together, slowly enough for a browser's playout to follow.
Before `settle` is called nothing leaves yet, and the origin follows at once.
"""

from __future__ import annotations

from collections import deque

VOICE_RATE_HZ = 48_000
WINDOW_S = 3.0
"""Stretch of the past whose smallest transit time counts."""
BUCKET_S = 0.1
MAX_BURST_S = 0.5
"""Furthest that the origin follows the first packets, which come in a burst from behind the handshake."""
STEP_S = 0.025
"""When even the fastest packet of the window is later than this, the route itself has changed: the origin jumps."""
GAIN_HZ = 0.5
MAX_SLEW = 0.01
"""Fastest correction, in seconds a second. Clocks differ by 1e-4; the browser's playout absorbs 1e-2."""
MAX_LATENCY_SLEW = 0.04


class SessionTimeline:
    """See the module's docstring. Pure: every call is told the time."""

    def __init__(self, start_s: float, latency_s: float) -> None:
        self.wanted_latency_s = latency_s
        self._latency_s = latency_s
        self._origin_s = self._first_origin_s = start_s
        self._has_heard = self.is_settled = False
        self._last_arrival_s = self._last_step_s = start_s
        self._minima: deque[tuple[float, float]] = deque()
        self.steps = 0
        """How often the origin jumped."""

    def start(self, now_s: float) -> None:
        """Sample 0 is now."""
        self._origin_s = self._last_arrival_s = self._last_step_s = now_s

    def settle(self) -> None:
        """From now on samples are presented, and the origin moves smoothly."""
        self.is_settled = True

    @property
    def origin_s(self) -> float:
        """Local time of sample 0."""
        return self._origin_s

    @property
    def latency_s(self) -> float:
        return self._latency_s

    @property
    def first_presentation_s(self) -> float:
        """Local time at which sample 0 leaves."""
        return self._origin_s + self._latency_s

    def approach_latency(self, now_s: float) -> None:
        """Move towards the wanted latency; call every few ms."""
        limit = MAX_LATENCY_SLEW * max(0.0, now_s - self._last_step_s)
        self._last_step_s = now_s
        self._latency_s += min(limit, max(-limit, self.wanted_latency_s - self._latency_s))

    def local_time(self, sample: int) -> float:
        return self._origin_s + sample / VOICE_RATE_HZ

    def sample_at(self, local_s: float) -> int:
        """The last sample that has been heard at a local time."""
        return int((local_s - self._origin_s) * VOICE_RATE_HZ)

    def presentation_time(self, sample: int) -> float:
        """When the picture and the voice of a sample leave."""
        return self.local_time(sample) + self._latency_s

    def observe(self, end_sample: int, arrival_s: float) -> None:
        """A packet that ends at `end_sample` has arrived."""
        transit_s = arrival_s - end_sample / VOICE_RATE_HZ
        if not self._has_heard:
            self._has_heard, self._last_arrival_s = True, arrival_s
            if not self.is_settled:
                self._origin_s = self._first_origin_s = transit_s
        self._remember(arrival_s, transit_s)
        smallest = min(transit for _, transit in self._minima)
        elapsed_s = max(0.0, arrival_s - self._last_arrival_s)
        self._last_arrival_s = max(self._last_arrival_s, arrival_s)
        error_s = smallest - self._origin_s
        if not self.is_settled:
            self._origin_s = min(self._origin_s, max(smallest, self._first_origin_s - MAX_BURST_S))
        elif error_s > STEP_S and self._window_is_full(arrival_s):
            self._origin_s = smallest
            self.steps += 1
        else:
            limit = MAX_SLEW * elapsed_s
            self._origin_s += min(limit, max(-limit, error_s * GAIN_HZ * elapsed_s))

    def forget(self) -> None:
        """What was measured no longer holds (the microphone paused and its samples were renumbered)."""
        self._minima.clear()

    def _remember(self, arrival_s: float, transit_s: float) -> None:
        """Keep the minimum of each bucket of the window."""
        if self._minima and arrival_s - self._minima[-1][0] < BUCKET_S:
            start_s, smallest = self._minima[-1]
            self._minima[-1] = (start_s, min(smallest, transit_s))
        else:
            self._minima.append((arrival_s, transit_s))
        while arrival_s - self._minima[0][0] > WINDOW_S:
            self._minima.popleft()

    def _window_is_full(self, arrival_s: float) -> bool:
        return arrival_s - self._minima[0][0] > WINDOW_S - 2 * BUCKET_S
