from __future__ import annotations

import numpy as np
import pytest

from server.latency import MOST_ABOVE_S, MOST_BELOW_S, LatencyGovernor

START_S = 0.2


def run(governor: LatencyGovernor, ready_after_s: float, seconds: float, jitter_s: float = 0.003, seed: int = 0) -> float:
    """Pictures that are ready so long after their sound; returns the share that was late in the last half."""
    rng = np.random.default_rng(seed)
    spare = []
    for _ in range(int(25 * seconds)):
        spare.append(governor.latency_s - ready_after_s - rng.exponential(jitter_s))
        governor.observe(spare[-1])
    return float(np.mean(np.array(spare[len(spare) // 2 :]) < 0))


def test_governor_leaves_what_fits() -> None:
    governor = LatencyGovernor(START_S)
    assert run(governor, 0.18, 60) <= 0.02
    assert governor.latency_s == pytest.approx(START_S, abs=0.006)


def test_governor_grows_within_seconds_when_pictures_are_late() -> None:
    governor = LatencyGovernor(START_S)
    run(governor, 0.23, 7)
    assert governor.latency_s > 0.23
    assert run(governor, 0.23, 60) <= 0.03
    assert governor.latency_s < 0.27


def test_governor_shrinks_slowly_when_there_is_time_to_spare() -> None:
    governor = LatencyGovernor(START_S)
    run(governor, 0.1, 10)
    assert governor.latency_s == pytest.approx(START_S - 0.004)
    run(governor, 0.1, 240)
    assert governor.latency_s == pytest.approx(START_S - MOST_BELOW_S)


def test_governor_does_not_chase_a_machine_that_is_too_slow() -> None:
    governor = LatencyGovernor(START_S)
    run(governor, 1.0, 120)
    assert governor.latency_s == pytest.approx(START_S + MOST_ABOVE_S)


def test_governor_ignores_a_single_hiccup() -> None:
    governor = LatencyGovernor(START_S)
    run(governor, 0.18, 8)
    before_s = governor.latency_s
    for _ in range(4):
        governor.observe(-0.3)
    run(governor, 0.18, 20)
    assert governor.latency_s <= before_s


def test_governor_that_may_not_shorten_grows_and_stays() -> None:
    governor = LatencyGovernor(START_S)
    governor.may_shorten = False
    run(governor, 0.23, 30)
    grown_s = governor.latency_s
    assert grown_s > 0.23
    run(governor, 0.1, 60)
    assert governor.latency_s == grown_s
