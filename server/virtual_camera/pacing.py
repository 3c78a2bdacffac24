"""When which picture leaves the camera: each at its own time, and 25 a second whatever comes in.

A program that uses a camera expects it to deliver for ever, so where no picture comes (a machine that is busy, a performance that ends and
another that begins) the last one is shown again. Pure: every call is told the time, in seconds of the local monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from renderer.types import FPS

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

PERIOD_S = 1 / FPS
MAX_WAITING = 2 * FPS
"""Pictures; beyond that the oldest is left out."""
SHORTEST_S = 0.5 * PERIOD_S
"""Between two pictures, after one that was late or shown again."""
PATIENCE_S = 0.3 * PERIOD_S
"""How much longer than a period a picture is awaited before the last one is shown again."""


@dataclass(frozen=True)
class ReadyPicture:
    """A picture in the camera's own raster."""

    planes: UInt8[np.ndarray, " n"]
    presented_s: float


class PicturePacing:
    """One camera's. A picture is due at `presented_s` + `after_s`."""

    def __init__(self, first: UInt8[np.ndarray, " n"], after_s: float, now_s: float) -> None:
        """`first` is shown until another comes."""
        self.after_s = after_s
        self._shown = first
        self._still: UInt8[np.ndarray, " n"] | None = None
        self._private: UInt8[np.ndarray, " n"] | None = None
        """What is shown in place of everything while privacy is on."""
        self._waiting: deque[ReadyPicture] = deque(maxlen=MAX_WAITING)
        self._last_s = now_s
        self._is_starved = True
        """The last one was shown again because none came."""
        self.has_shown_any = False
        self.repeated = 0
        """Pictures shown again because the next one was not there in time."""
        self.skipped = 0
        """Pictures that were not shown because the next one's time had come too."""

    def add(self, picture: ReadyPicture) -> None:
        self._waiting.append(picture)

    def begin(self) -> None:
        """Another performance: what waits of the last one is not shown."""
        self._waiting.clear()

    def set_still(self, planes: UInt8[np.ndarray, " n"]) -> None:
        """See `messages.Still`."""
        self._still = planes
        if not self.has_shown_any:
            self._shown = planes
        if self._private is not None:
            self._private = planes

    def set_privacy(self, is_on: bool) -> None:
        if not is_on:
            self._private = None
        elif self._private is None:
            self._private = self._shown if self._still is None else self._still

    @property
    def next_s(self) -> float:
        """When `take` is to be called, as far as is known; a picture that is added may make it sooner."""
        starved_s = self._last_s + PERIOD_S + (0.0 if self._is_starved else PATIENCE_S)
        if not self._waiting:
            return starved_s
        return min(starved_s, max(self._due_s(self._waiting[0]), self._last_s + SHORTEST_S))

    def take(self, now_s: float) -> UInt8[np.ndarray, " n"]:
        """The picture for now: the newest whose time has come, or the last one again."""
        n_due = 0
        while self._waiting and self._due_s(self._waiting[0]) <= now_s:
            self._shown = self._waiting.popleft().planes
            n_due += 1
        self.skipped += max(0, n_due - 1)
        self.repeated += n_due == 0 and self.has_shown_any
        planned_s = self.next_s
        self._is_starved = n_due == 0
        self.has_shown_any |= n_due > 0
        # Those that are shown again keep to a grid, so that they are 25 a second too.
        self._last_s = planned_s if self._is_starved and now_s - planned_s < PERIOD_S else now_s
        return self._shown if self._private is None else self._private

    def _due_s(self, picture: ReadyPicture) -> float:
        return picture.presented_s + self.after_s
