from __future__ import annotations

import numpy as np
import pytest

from server.timeline import VOICE_RATE_HZ, SessionTimeline

PACKET = 960
LATENCY_S = 0.2


def feed(
    timeline: SessionTimeline,
    seconds: float,
    rng: np.random.Generator,
    jitter_s: float = 0.004,
    drift: float = 0.0,
    transit_s: float = 0.01,
    loss: float = 0.0,
    first_packet: int = 0,
) -> list[float]:
    """Packets every 20 ms of the microphone's clock, which runs fast by `drift`; returns origin - true origin after each, in s."""
    errors = []
    for packet in range(first_packet, first_packet + int(seconds * 50)):
        end = (packet + 1) * PACKET
        sent_s = 100.0 + end / VOICE_RATE_HZ / (1.0 + drift)
        arrival_s = sent_s + transit_s + rng.exponential(jitter_s)
        if rng.random() >= loss:
            timeline.observe(end, arrival_s)
        if packet == 15:
            timeline.settle()
        errors.append(timeline.local_time(end) - (sent_s + transit_s))
    return errors


def test_timeline_follows_the_fastest_packets_not_the_jitter() -> None:
    timeline = SessionTimeline(0.0, LATENCY_S)
    errors = np.array(feed(timeline, 30, np.random.default_rng(0), jitter_s=0.02))
    assert np.abs(errors[100:]).max() < 0.003


@pytest.mark.parametrize("drift", [-3e-4, 3e-4])
def test_timeline_does_not_drift_in_ten_minutes(drift: float) -> None:
    timeline = SessionTimeline(0.0, LATENCY_S)
    errors = np.array(feed(timeline, 600, np.random.default_rng(1), drift=drift, loss=0.02))
    assert np.abs(errors[100:]).max() < 0.005, "the deadline left the microphone's clock"


def test_timeline_moves_smoothly_in_steady_state() -> None:
    timeline = SessionTimeline(0.0, LATENCY_S)
    rng = np.random.default_rng(2)
    feed(timeline, 5, rng)
    origins = []
    for packet in range(250, 3000):
        timeline.observe((packet + 1) * PACKET, 100.0 + (packet + 1) * 0.02 + 0.01 + rng.exponential(0.01))
        origins.append(timeline.origin_s)
    assert np.abs(np.diff(origins)).max() < 0.0005, "a frame was moved by more than half a ms"


def test_timeline_jumps_once_when_the_route_gets_slower_for_good() -> None:
    timeline = SessionTimeline(0.0, LATENCY_S)
    rng = np.random.default_rng(3)
    feed(timeline, 10, rng)
    errors = np.array(feed(timeline, 10, rng, transit_s=0.09, first_packet=500))
    assert timeline.steps == 1
    assert np.abs(errors[-50:]).max() < 0.005


def test_timeline_comes_back_when_the_route_gets_faster() -> None:
    timeline = SessionTimeline(0.0, LATENCY_S)
    rng = np.random.default_rng(4)
    feed(timeline, 10, rng, transit_s=0.05)
    errors = np.array(feed(timeline, 20, rng, transit_s=0.01, first_packet=500))
    assert abs(errors[-1]) < 0.005
    assert timeline.steps == 0


def test_timeline_settles_after_a_burst_at_the_start() -> None:
    timeline = SessionTimeline(0.0, LATENCY_S)
    for packet in range(10):
        timeline.observe((packet + 1) * PACKET, 5.0)
    assert timeline.local_time(10 * PACKET) == pytest.approx(5.0)


def test_timeline_does_not_jump_for_a_burst_after_it_has_settled() -> None:
    timeline = SessionTimeline(0.0, LATENCY_S)
    timeline.start(5.0)
    timeline.settle()
    timeline.observe(PACKET, 5.3)
    assert timeline.origin_s == pytest.approx(5.0, abs=0.001)
    for packet in range(1, 20):
        timeline.observe((packet + 1) * PACKET, 5.3)
    assert timeline.origin_s == pytest.approx(5.0, abs=0.001)


def test_timeline_changes_its_latency_smoothly() -> None:
    timeline = SessionTimeline(0.0, LATENCY_S)
    timeline.start(5.0)
    timeline.wanted_latency_s = LATENCY_S + 0.05
    moves = []
    for step in range(1, 200):
        before_s = timeline.first_presentation_s
        timeline.approach_latency(5.0 + 0.02 * step)
        moves.append(timeline.first_presentation_s - before_s)
    assert max(moves) < 0.001
    assert timeline.latency_s == pytest.approx(LATENCY_S + 0.05)


def test_timeline_presents_picture_and_voice_of_a_moment_together() -> None:
    timeline = SessionTimeline(3.0, LATENCY_S)
    timeline.start(7.0)
    assert timeline.presentation_time(0) == pytest.approx(7.2)
    assert timeline.presentation_time(48_000) - timeline.local_time(48_000) == pytest.approx(LATENCY_S)
    assert timeline.sample_at(timeline.local_time(12_345) + 1e-6) == 12_345
