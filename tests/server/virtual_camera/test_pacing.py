from __future__ import annotations

import numpy as np
import pytest

from server.virtual_camera.pacing import PATIENCE_S, PERIOD_S, SHORTEST_S, PicturePacing, ReadyPicture

AFTER_S = 0.1


def planes(value: int) -> np.ndarray:
    return np.full(6, value, np.uint8)


def run(pacing: PicturePacing, arrivals: list[tuple[float, int, float]], end_s: float) -> list[tuple[float, int]]:
    """Time goes by; `arrivals`: when a picture comes, its value, its time of presentation. What is shown, and when."""
    shown: list[tuple[float, int]] = []
    waiting, now_s = sorted(arrivals), 0.0
    while True:
        next_s = max(now_s, pacing.next_s)
        if waiting and waiting[0][0] <= next_s:
            now_s, value, presented_s = waiting.pop(0)
            pacing.add(ReadyPicture(planes(value), presented_s))
            continue
        if next_s > end_s:
            return shown
        now_s = next_s
        shown.append((now_s, int(pacing.take(now_s)[0])))


def test_pacing_shows_each_picture_at_its_own_time() -> None:
    pacing = PicturePacing(planes(0), AFTER_S, 0.0)
    shown = run(pacing, [(k * PERIOD_S + 0.001 * (k % 7), 1 + k, k * PERIOD_S) for k in range(100)], 4.0)
    pictures = [(time_s, value) for time_s, value in shown if value]
    assert [value for _, value in pictures] == list(range(1, 1 + len(pictures)))
    assert np.allclose([time_s for time_s, _ in pictures], [k * PERIOD_S + AFTER_S for k in range(len(pictures))])
    assert (pacing.repeated, pacing.skipped) == (0, 0)


def test_pacing_goes_on_at_25_a_second_when_nothing_comes() -> None:
    pacing = PicturePacing(planes(7), AFTER_S, 10.0)
    before_any = run(pacing, [], 11.0 + 1e-6)
    assert [value for _, value in before_any] == [7] * 25
    assert np.allclose(np.diff([time_s for time_s, _ in before_any]), PERIOD_S)
    pacing.add(ReadyPicture(planes(8), 11.0 - AFTER_S))
    after_one = run(pacing, [], 13.0)
    assert {value for _, value in after_one} == {8}
    intervals_s = np.diff([time_s for time_s, _ in after_one])
    assert intervals_s[0] == pytest.approx(PERIOD_S + PATIENCE_S), "a picture that is a little late is awaited"
    assert np.allclose(intervals_s[1:], PERIOD_S)
    assert pacing.repeated == len(after_one) - 1


def test_pacing_shows_the_newest_of_those_that_came_late_together() -> None:
    pacing = PicturePacing(planes(0), AFTER_S, 0.0)
    arrivals = [(k * PERIOD_S, 1 + k, k * PERIOD_S) for k in range(5)]
    # The next four come together, when the last of them is due.
    arrivals += [(8 * PERIOD_S + AFTER_S, 1 + k, k * PERIOD_S) for k in range(5, 9)]
    shown = run(pacing, arrivals, 9 * PERIOD_S + AFTER_S)
    values = [value for _, value in shown if value]
    assert values[:5] == [1, 2, 3, 4, 5] and values[-1] == 9 and not {6, 7, 8} & set(values)
    assert pacing.skipped == 3 and pacing.repeated == values.count(5) - 1
    assert min(np.diff([time_s for time_s, _ in shown])) >= SHORTEST_S - 1e-9


def test_pacing_privacy_shows_the_still_at_once_and_the_person_again_after() -> None:
    pacing = PicturePacing(planes(0), AFTER_S, 0.0)
    pacing.set_still(planes(99))
    assert int(pacing.take(0.0)[0]) == 99, "before the first picture too"
    pacing.add(ReadyPicture(planes(1), 0.0))
    assert int(pacing.take(AFTER_S)[0]) == 1
    pacing.set_privacy(True)
    pacing.add(ReadyPicture(planes(2), PERIOD_S))
    assert int(pacing.take(AFTER_S + PERIOD_S)[0]) == 99
    pacing.set_privacy(False)
    assert int(pacing.take(AFTER_S + 2 * PERIOD_S)[0]) == 2


def test_pacing_privacy_without_a_still_holds_the_picture_that_was_shown() -> None:
    pacing = PicturePacing(planes(0), AFTER_S, 0.0)
    pacing.add(ReadyPicture(planes(1), 0.0))
    pacing.take(AFTER_S)
    pacing.set_privacy(True)
    pacing.add(ReadyPicture(planes(2), PERIOD_S))
    assert int(pacing.take(1.0)[0]) == 1


def test_pacing_forgets_what_waited_when_another_performance_begins() -> None:
    pacing = PicturePacing(planes(0), AFTER_S, 0.0)
    pacing.add(ReadyPicture(planes(1), 0.0))
    pacing.begin()
    assert int(pacing.take(5.0)[0]) == 0
