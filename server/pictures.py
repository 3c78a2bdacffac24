"""The pictures of one session that are rendered and not yet shown, and the rule for a picture that is late."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.frame_ring import SLOTS

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from server.frame_ring import FrameRing
    from server.worker_messages import FrameReady

HISTORY_FRAMES = 250
"""Ten seconds, over which late pictures are counted."""


@dataclass(frozen=True)
class Picture:
    """I420 planes, see `frame_ring`."""

    planes: UInt8[np.ndarray, " n"]
    width: int
    height: int
    frame: int


class PictureQueue:
    """At most as many pictures as the ring has slots; older ones are dropped.

    Each frame shows its own picture, or else the newest that is older: its predecessor again, or one that came late.
    """

    def __init__(self, ring: FrameRing, region: int) -> None:
        self._ring, self._region = ring, region
        self._waiting: deque[FrameReady] = deque(maxlen=SLOTS)
        self._newest = -1
        self._shown: Picture | None = None
        self._recent: deque[bool] = deque(maxlen=HISTORY_FRAMES)
        self.frames = 0
        self.late = 0

    def add(self, ready: FrameReady) -> bool:
        """False for a picture made anew: it lies where the first one lay, so nothing is to be done."""
        if ready.frame <= self._newest:
            return False
        self._newest = ready.frame
        self._waiting.append(ready)
        return True

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_any(self) -> bool:
        return self._shown is not None or bool(self._waiting)

    @property
    def late_share(self) -> float:
        """Of the last ten seconds' frames, 0...1."""
        return self._recent.count(True) / len(self._recent) if self._recent else 0.0

    def show(self, frame: int) -> Picture | None:
        """The picture for `frame`, whose time has come; None while there has never been one."""
        while self._waiting and self._waiting[0].frame <= frame:
            ready = self._waiting.popleft()
            if self._waiting and self._waiting[0].frame <= frame:
                continue
            planes = self._ring.read(self._region, ready.frame, ready.width, ready.height)
            if planes is not None:
                self._shown = Picture(planes, ready.width, ready.height, ready.frame)
        if self._shown is None:
            return None
        is_late = self._shown.frame != frame
        self.frames += 1
        self.late += is_late
        self._recent.append(is_late)
        return self._shown
