from __future__ import annotations

import dataclasses

import pytest

from server.sizing import CANDIDATE_SIZES_PX, RenderTimes, affordable_sessions, automatic_latency_ms, choose_size, headroom
from server.worker_messages import Ready

READY = Ready(
    size=256, width=256, stride=1, sound_needed=7040, encode_ms=3.0, render_ms=10.0, render_p95_ms=14.0, backend="cpu", isa="avx2", words=""
)


class Machine:
    """Renders 256 px in `base_ms` and other sizes in proportion to their pixels."""

    def __init__(self, base_ms: float) -> None:
        self.base_ms, self.measured = base_ms, list[int]()

    def __call__(self, size: int) -> RenderTimes:
        self.measured.append(size)
        time_ms = self.base_ms * (size / 256) ** 2
        return RenderTimes(size, 0.9 * time_ms, time_ms, 1.2 * time_ms)


@pytest.mark.parametrize(("base_ms", "size"), [(3.0, 512), (6.0, 384), (10.0, 320), (16.0, 256), (25.0, 192), (60.0, 128)])
def test_choose_size_takes_the_largest_that_leaves_headroom(base_ms: float, size: int) -> None:
    choice = choose_size(Machine(base_ms), 3.0, None)
    assert (choice.times.size, choice.stride) == (size, 1)


def test_choose_size_leaves_more_where_all_cores_render() -> None:
    alone, all_cores = (choose_size(Machine(16.0), 3.0, None, headroom(threads, 2)).times.size for threads in (1, 2))
    assert (alone, all_cores) == (256, 192)


def test_choose_size_measures_few_sizes() -> None:
    for base_ms in (1.0, 5.0, 12.0, 30.0, 200.0):
        machine = Machine(base_ms)
        choose_size(machine, 3.0, None)
        assert len(machine.measured) <= 3


def test_choose_size_goes_down_where_a_size_costs_more_than_its_pixels() -> None:
    def measure(size: int) -> RenderTimes:
        time_ms = 8.0 if size <= 256 else 50.0
        return RenderTimes(size, time_ms, time_ms, time_ms)

    assert choose_size(measure, 3.0, None).times.size == 256


def test_choose_size_lowers_the_rate_where_the_smallest_is_too_slow() -> None:
    choice = choose_size(Machine(400.0), 3.0, None)
    assert choice.times.size == CANDIDATE_SIZES_PX[-1]
    assert choice.stride == 3
    assert choice.fps == pytest.approx(25 / 3)


def test_choose_size_takes_a_wished_size_as_it_is() -> None:
    choice = choose_size(Machine(30.0), 3.0, 512)
    assert (choice.times.size, choice.stride) == (512, 3)


def test_affordable_sessions_follow_the_measured_time() -> None:
    assert affordable_sessions(READY) == 2
    assert affordable_sessions(dataclasses.replace(READY, render_ms=30.0)) == 1


def test_automatic_latency_adds_up_what_a_picture_waits_for() -> None:
    one = automatic_latency_ms(READY, 0.0, 1)
    assert one == pytest.approx(7040 / 48 + 3 + 1.5 * 14 + 25)
    assert automatic_latency_ms(READY, 40.0, 1) == pytest.approx(one + 40)
    assert automatic_latency_ms(READY, 0.0, 2) == pytest.approx(one + 13)
