from __future__ import annotations

import numpy as np
import pytest

from server.microphone import MAX_GAP_S, PACKET_SAMPLES, RENUMBER_AFTER_S, Microphone, SoundBlock
from server.timeline import VOICE_RATE_HZ, SessionTimeline

START_S = 50.0


class Listener:
    """Feeds a microphone by a clock of its own and keeps what comes out."""

    def __init__(self, phase: int = 0) -> None:
        self.timeline = SessionTimeline(0.0, 0.2)
        self.timeline.start(START_S)
        self.timeline.settle()
        self.microphone = Microphone(self.timeline, phase)
        self.blocks: list[SoundBlock] = []

    def packet(self, number: int, at_s: float, value: int | None = None, length: int = PACKET_SAMPLES, pts: int | None = None) -> None:
        samples = np.full(length, number + 1 if value is None else value, np.int16)
        first = number * PACKET_SAMPLES if pts is None else pts
        self.blocks += self.microphone.push(first, samples, START_S + at_s)

    def tick(self, at_s: float) -> None:
        self.blocks += self.microphone.tick(START_S + at_s)

    def sound(self) -> np.ndarray:
        """Everything that was in time; fails where blocks overlap or leave a gap."""
        end, blocks = 0, [block for block in self.blocks if not block.is_late]
        for block in blocks:
            assert block.first_sample == end, "blocks must follow on each other"
            end += len(block.samples)
        return np.concatenate([block.samples for block in blocks])


def test_microphone_numbers_samples_by_their_rtp_time() -> None:
    listener = Listener()
    for number in range(5):
        listener.packet(number, 0.02 * (number + 1))
    sound = listener.sound()
    assert [int(sound[i * PACKET_SAMPLES]) for i in range(5)] == [1, 2, 3, 4, 5]


def test_microphone_fills_lost_packets_with_silence_of_the_same_length() -> None:
    listener = Listener()
    for number in (0, 1, 4, 5):
        listener.packet(number, 0.02 * (number + 1))
    sound = listener.sound()
    assert [int(sound[i * PACKET_SAMPLES]) for i in range(6)] == [1, 2, 0, 0, 5, 6]
    assert listener.microphone.concealed_samples == 2 * PACKET_SAMPLES


def test_microphone_waits_for_a_packet_that_is_a_little_late() -> None:
    listener = Listener()
    for number in range(10):
        listener.packet(number, 0.02 * (number + 1))
    listener.tick(0.29)
    listener.packet(10, 0.29)
    assert listener.microphone.concealed_samples == 0
    assert listener.sound()[-1] == 11


def test_microphone_that_falls_silent_is_replaced_in_time_and_comes_back_at_its_place() -> None:
    listener = Listener()
    for number in range(10):
        listener.packet(number, 0.02 * (number + 1))
    for at_ms in range(200, 2000, 20):
        listener.tick(at_ms / 1000)
    silence_end = listener.microphone.next_sample / VOICE_RATE_HZ
    assert 1.92 <= silence_end <= 2.0, "silence must keep up with time"
    for number in range(99, 105):
        listener.packet(number, 0.02 * (number + 1))
    sound = listener.sound()
    assert sound[104 * PACKET_SAMPLES] == 105
    assert not sound[10 * PACKET_SAMPLES : 95 * PACKET_SAMPLES].any()


def test_microphone_hands_late_packets_on_for_the_voice() -> None:
    listener = Listener()
    for number in range(10):
        listener.packet(number, 0.02 * (number + 1))
    listener.tick(0.34)
    for number in range(10, 17):
        listener.packet(number, 0.35)
    late = [block for block in listener.blocks if block.is_late]
    assert [block.first_sample // PACKET_SAMPLES for block in late] == [10, 11, 12, 13, 14, 15]
    assert [int(block.samples[0]) for block in late] == [11, 12, 13, 14, 15, 16]
    assert listener.sound()[-1] == 17, "the one that is in time is heard by the avatar too"


def test_microphone_whose_time_stood_still_in_a_pause_is_counted_anew() -> None:
    listener = Listener()
    for number in range(10):
        listener.packet(number, 0.02 * (number + 1))
    for at_ms in range(200, 700, 20):
        listener.tick(at_ms / 1000)
    # After 0.5 s the same count goes on as if nothing had been.
    for i in range(40):
        at_s = 0.7 + 0.02 * i
        listener.tick(at_s)
        listener.packet(10 + i, at_s)
    assert listener.microphone.renumbered == 1
    sound = listener.sound()
    heard = np.flatnonzero(sound == 50)
    assert len(heard) == PACKET_SAMPLES, "the last packet is whole"
    assert abs(heard[-1] / VOICE_RATE_HZ - 1.48) < 0.05, "and at its time"
    assert np.count_nonzero(sound[: heard[0]] > 10) >= (RENUMBER_AFTER_S / 0.02 - 5) * PACKET_SAMPLES * 0.5


@pytest.mark.parametrize("burst_s", [0.05, 1.2])
def test_microphone_comes_back_to_the_present_after_a_burst_of_old_sound(burst_s: float) -> None:
    """A client, or the network, holds back 3 s of sound and then sends it all, faster than time passes."""
    listener = Listener()
    for number in range(50):
        listener.packet(number, 0.02 * (number + 1))
    for at_ms in range(1000, 4000, 20):
        listener.tick(at_ms / 1000)
    number, at_s = 50, 4.0
    while at_s < 12.0:
        is_behind = 0.02 * (number + 1) < at_s
        listener.packet(number, at_s, value=number % 30_000 + 1)
        number += 1
        at_s += burst_s / 150 if is_behind else 0.02
        listener.tick(at_s)
    last = listener.blocks[-1]
    end_s = (last.first_sample + len(last.samples)) / VOICE_RATE_HZ
    assert end_s == pytest.approx(at_s, abs=0.06), "what is heard now has the index of now"
    assert not last.is_late and last.samples[-1] > 0
    listener.sound()


def test_microphone_that_runs_ahead_is_brought_back() -> None:
    listener = Listener()
    for number in range(50):
        listener.packet(number, 0.02 * (number + 1))
    for number in range(50, 300):
        at_s = 0.02 * (number + 1)
        listener.packet(number + 30, at_s)
        listener.tick(at_s)
    end_s = (listener.blocks[-1].first_sample + len(listener.blocks[-1].samples)) / VOICE_RATE_HZ
    assert end_s == pytest.approx(6.0, abs=0.05)
    assert listener.microphone.renumbered >= 1


def test_microphone_does_not_fill_hours_after_a_jump_of_the_count() -> None:
    listener = Listener()
    listener.packet(0, 0.02)
    listener.packet(0, 0.04, value=7, pts=1_000_000_000)
    sound = listener.sound()
    assert len(sound) <= 4 * PACKET_SAMPLES
    assert sound[-1] == 7


def test_microphone_that_counts_faster_than_time_is_bounded() -> None:
    listener = Listener()
    for number in range(2000):
        listener.packet(number, 2.0 + number * 1e-4)
    assert listener.microphone.next_sample <= (2.2 + MAX_GAP_S) * VOICE_RATE_HZ + 2 * PACKET_SAMPLES


@pytest.mark.parametrize("phase", [0, 319, 7040])
def test_microphone_ends_packets_at_the_phase_the_renderer_waits_for(phase: int) -> None:
    listener = Listener(phase)
    listener.tick(0.5)
    listener.packet(0, 0.513, value=9)
    block = listener.blocks[-1]
    assert (block.first_sample + len(block.samples) - phase) % PACKET_SAMPLES == 0


@pytest.mark.parametrize("length", [480, 960, 1920, 2880])
def test_microphone_takes_packets_of_any_length(length: int) -> None:
    listener = Listener()
    for number in range(20):
        listener.packet(0, (number + 1) * length / VOICE_RATE_HZ, value=number + 1, length=length, pts=number * length)
    sound = listener.sound()
    assert np.array_equal(np.unique(sound[sound > 0]), np.arange(1, 21))
    assert np.count_nonzero(sound == 20) == length


def test_microphone_ignores_an_empty_packet() -> None:
    listener = Listener()
    assert listener.microphone.push(0, np.zeros(0, np.int16), START_S) == []
