"""The sums of `measure_swaps`, on pictures that were shown by nobody."""

from __future__ import annotations

import numpy as np

from tests.end_to_end.measure_swaps import NEAR_FRAMES, STYLES, measure_swaps
from tests.end_to_end.measurement import FRAME_MS, RTP_TICKS_A_FRAME


def shown(n: int, swap_at: list[int], missing: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Frames 0 … n − 1 at their times, time stamps that run over, and whether each shows the second style."""
    frames = np.array([frame for frame in range(n) if frame not in missing])
    stamps = (frames * RTP_TICKS_A_FRAME + 2**32 - 5 * RTP_TICKS_A_FRAME) % 2**32
    second = np.array([sum(frame >= at for at in swap_at) % 2 == 1 for frame in frames])
    return np.stack([frames * FRAME_MS, stamps, np.zeros(len(frames))], 1), second


def test_swaps_are_timed_from_request_to_picture() -> None:
    pictures, second = shown(100, [30, 60], [])
    figures = measure_swaps(pictures, [(29 * FRAME_MS, STYLES[1]), (58 * FRAME_MS, STYLES[0])], second)
    assert (figures.swaps, figures.swaps_seen) == (2, 2)
    assert (figures.swap_visible_max_ms, figures.swap_visible_p50_ms) == (2 * FRAME_MS, 1.5 * FRAME_MS)
    assert (figures.frames_lost_near, figures.frames_lost_elsewhere) == (0, 0)
    assert figures.frames_near == 2 * (2 * NEAR_FRAMES + 1) and figures.frames_near + figures.frames_elsewhere == 100


def test_lost_frames_are_told_apart_by_where_they_are() -> None:
    pictures, second = shown(100, [30], [29, 31, 80])
    figures = measure_swaps(pictures, [(28 * FRAME_MS, STYLES[1])], second)
    assert (figures.frames_lost_near, figures.frames_lost_elsewhere) == (2, 1)


def test_a_swap_that_never_shows_is_counted() -> None:
    pictures, second = shown(100, [], [])
    figures = measure_swaps(pictures, [(28 * FRAME_MS, STYLES[1])], second)
    assert (figures.swaps, figures.swaps_seen) == (1, 0) and np.isnan(figures.swap_visible_p50_ms)
