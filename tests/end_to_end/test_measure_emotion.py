"""The sums of `measure_emotion`, on faces that were shown by nobody."""

from __future__ import annotations

import numpy as np
import pytest

from tests.end_to_end.measure_emotion import DialFigures, measure_dial
from tests.end_to_end.measurement import FRAME_MS, RTP_TICKS_A_FRAME

N_FRAMES = 300
REST_FROM, DIAL_FROM = 50, 150
DIAL_STEP, BLINK = 3.0, 40.0


def shown(changes: list[int], missing: tuple[int, ...] = (), in_vain: tuple[int, ...] = ()) -> DialFigures:
    """Frames at their times; 50 with one blink, 100 at rest, then each change takes three frames for the left half of the face."""
    random = np.random.default_rng(0)
    faces = random.uniform(-0.2, 0.2, (N_FRAMES, 8, 8)) + 100.0
    faces[20, 2, 2:4] += BLINK
    for index, frame in enumerate(changes):
        for k in range(frame, N_FRAMES):
            faces[k, :, :4] += (1 if index % 2 == 0 else -1) * DIAL_STEP * min(3, k - frame + 1)
    frames = np.array([frame for frame in range(N_FRAMES) if frame not in missing])
    stamps = (frames * RTP_TICKS_A_FRAME + 2**32 - 5 * RTP_TICKS_A_FRAME) % 2**32
    requests = [(frame - 2) * FRAME_MS - 5 for frame in sorted([*changes, *in_vain])]
    marks = (0.0, REST_FROM * FRAME_MS, DIAL_FROM * FRAME_MS)
    return measure_dial(frames * FRAME_MS, stamps.astype(float), faces[frames], requests, marks, N_FRAMES * FRAME_MS)


def test_changes_are_timed_from_request_to_the_first_picture_that_differs() -> None:
    figures = shown([200, 230])
    assert (figures.changes, figures.changes_seen) == (2, 2)
    assert figures.visible_p50_ms == figures.visible_max_ms == 2 * FRAME_MS + 5


def test_steps_are_told_apart_by_what_made_them() -> None:
    figures = shown([200, 230])
    assert figures.step_blink_peak == pytest.approx(BLINK, abs=0.5) and figures.step_rest_peak < 0.5
    assert figures.step_dial_peak == pytest.approx(DIAL_STEP, abs=0.5)
    assert figures.step_dial_rms == pytest.approx(DIAL_STEP / np.sqrt(2), abs=0.2)
    assert figures.step_blink_rms == pytest.approx(BLINK * np.sqrt(2 / 64), abs=0.2)


def test_lost_frames_are_counted_where_they_are_and_make_no_step() -> None:
    figures = shown([200, 230], missing=(100, 201, 202))
    assert (figures.frames_lost_at_rest, figures.frames_lost_while_turned) == (1, 2)
    assert figures.step_dial_peak < DIAL_STEP + 0.5


def test_a_change_that_never_shows_is_counted() -> None:
    figures = shown([200], in_vain=(240,))
    assert (figures.changes, figures.changes_seen) == (2, 1)
