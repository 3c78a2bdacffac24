"""Which picture size this machine holds at 25 frames a second: a measurement at start, and the rule that reads it.

Times are in ms. A frame's share of work is the audio encoder's for its 40 ms of sound, the picture, and its conversion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.types import FPS
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.worker_messages import Ready

CANDIDATE_SIZES_PX = (512, 384, 320, 256, 192, 160, 128)
FIRST_SIZE_PX = 256
FRAME_MS = 1000.0 / FPS
HEADROOM = 0.7
"""Share of a frame's time that its work may take. The rest is for the video encoder, the network, and a browser on the same machine."""
HEADROOM_ALL_CORES = 0.5
"""The same where the render threads take all cores, and everything else has to be done in between."""
BUSY_SHARE = 0.9
"""Share of its time that the render worker may be busy before frames have to be left out."""
CONTENTION = 1.5
"""A picture takes so much longer while a browser on the same machine plays it than it did at start."""
MARGIN_MS = 25.0
"""For jitter of the network and of two event loops."""
MAX_LATENCY_MS = 600.0
WARM_UP_FRAMES = 2
MEASURED_FRAMES = 14


@dataclass(frozen=True)
class RenderTimes:
    """Frames of one size."""

    size: int
    best_ms: float
    """What the machine can do when nothing else runs on it."""
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, size: int, times_ms: Sequence[float]) -> RenderTimes:
        return cls(size, float(np.min(times_ms)), float(np.median(times_ms)), float(np.percentile(times_ms, 95)))


@dataclass(frozen=True)
class SizeChoice:
    times: RenderTimes
    stride: int
    """Every so many-th frame is rendered."""

    @property
    def fps(self) -> float:
        return FPS / self.stride


def headroom(threads: int, cores: int) -> float:
    """Share of a frame's time that its work may take."""
    return HEADROOM if threads < cores else HEADROOM_ALL_CORES


def choose_size(measure: Callable[[int], RenderTimes], encode_ms: float, wished: int | None, headroom: float = HEADROOM) -> SizeChoice:
    """Measure until the largest size is found that holds 25 FPS; a wished size is taken as it is, at a lower rate if need be."""
    if wished is not None:
        return _paced(measure(wished), encode_ms)
    times = measure(FIRST_SIZE_PX)
    budget_ms = headroom * FRAME_MS - encode_ms
    # A picture's time grows with its pixels: go to where that says, then down until it is true.
    affordable = FIRST_SIZE_PX * math.sqrt(max(0.0, budget_ms) / times.p95_ms)
    candidates = [size for size in CANDIDATE_SIZES_PX if size <= affordable] or [CANDIDATE_SIZES_PX[-1]]
    for size in candidates:
        if size != times.size:
            times = measure(size)
        if times.p95_ms <= budget_ms:
            break
    return _paced(times, encode_ms)


def _paced(times: RenderTimes, encode_ms: float) -> SizeChoice:
    """25 FPS unless even the best time does not fit a frame; then every n-th frame. A machine that is only busy repeats pictures."""
    return SizeChoice(times, max(1, math.ceil((times.best_ms + encode_ms) / FRAME_MS)))


def affordable_sessions(ready: Ready) -> int:
    """How many sessions one render worker serves in time."""
    return max(1, int(BUSY_SHARE * FRAME_MS * ready.stride / (ready.render_ms + ready.encode_ms)))


def automatic_latency_ms(ready: Ready, more_look_ahead_ms: float, sessions: int) -> float:
    """The least constant latency at which a picture is there in time: its sound, its work (and that of the others), and a margin.

    `more_look_ahead_ms` is what another avatar may need beyond the one that was measured.
    """
    heard_ms = ready.sound_needed * 1000 / VOICE_RATE_HZ + more_look_ahead_ms
    work_ms = ready.encode_ms + CONTENTION * ready.render_p95_ms + (sessions - 1) * (ready.encode_ms + ready.render_ms)
    return min(MAX_LATENCY_MS, heard_ms + work_ms + MARGIN_MS)
