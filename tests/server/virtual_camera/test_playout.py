from __future__ import annotations

import numpy as np
import pytest

from server.media import PACKET_SAMPLES, VoicePacket
from server.virtual_camera.playout import MAX_STRETCH, VoicePlayout

AFTER_S = 0.1
RATE_HZ = 48_000
BLOCK = 480
DEVICE_S = 0.03
LEAD_S = 0.015


class Device:
    """A device that takes samples by a clock of its own and says how much waits in it, not quite exactly."""

    def __init__(self, playout: VoicePlayout, rate: float = 1.0, noise_s: float = 0.004) -> None:
        """`rate`: of its clock, to ours."""
        self.playout, self.rate = playout, rate
        self.heard: list[np.ndarray] = []
        self._noise = np.random.default_rng(3).uniform(-noise_s, noise_s, 100_000)

    def run(self, end_s: float, voice: Voice) -> None:
        """From where the last one ended. The voice comes at its times; the device is kept `DEVICE_S` full."""
        while (now_s := len(self.heard) * BLOCK / RATE_HZ / self.rate) < end_s - 1e-6:
            voice.give(self.playout, now_s)
            self.heard.append(self.playout.read(BLOCK, now_s, DEVICE_S + self._noise[len(self.heard)]))

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate(self.heard)


class Voice:
    """Sample n is n modulo 20000, so what is heard says where it is from; presented at n / 48000 s + `latency(t)`."""

    def __init__(self, late_s: float = 0.0, first: int = 0) -> None:
        self.late_s, self._next = late_s, first
        self.shift_s = 0.0

    def give(self, playout: VoicePlayout, now_s: float) -> None:
        while (presented_s := self._next / RATE_HZ + self.shift_s) - LEAD_S + self.late_s <= now_s:
            samples = ((self._next + np.arange(PACKET_SAMPLES)) % 20_000).astype(np.int16)
            playout.add(VoicePacket(self._next, samples, presented_s))
            self._next += PACKET_SAMPLES


def place(sound: np.ndarray, near_s: float) -> float:
    """By how much the last sample left after its time of presentation, s."""
    left_s = (len(sound) - 1) / RATE_HZ + DEVICE_S
    expected = (left_s - near_s) * RATE_HZ
    off = (expected - int(sound[-1]) + 10_000) % 20_000 - 10_000
    return float(near_s + off / RATE_HZ)


def test_playout_lets_each_sample_leave_at_its_time_untouched() -> None:
    playout = VoicePlayout(AFTER_S)
    device = Device(playout)
    device.run(10.0, Voice())
    steps = np.diff(device.sound[RATE_HZ:].astype(int)) % 20_000
    assert (steps == 1).all(), "not one sample was added or left out"
    assert place(device.sound, AFTER_S) == pytest.approx(AFTER_S, abs=0.005)
    assert (playout.missing_samples, playout.jumps) == (0, 0)


@pytest.mark.parametrize("rate", [1.001, 0.999])
def test_playout_follows_a_device_whose_clock_is_another(rate: float) -> None:
    playout = VoicePlayout(AFTER_S)
    device = Device(playout, rate)
    # Ten times as far apart as clocks are, for a minute: without following, 60 ms.
    device.run(60.0, Voice())
    assert playout.jumps == 0 and playout.missing_samples == 0
    assert abs(playout.error_s) < 0.012
    sound = device.sound[RATE_HZ:].astype(int)
    # Where the voice's count begins again, what is between two samples means nothing.
    is_whole = (sound[:-1] < 19_990) & (sound[1:] > 10)
    steps = np.diff(sound)[is_whole]
    assert set(np.unique(steps)) <= {0, 1, 2}, "it is stretched, not torn"
    assert abs(np.mean(steps) - 1.0) == pytest.approx(0.001, rel=0.3)


def test_playout_makes_up_a_small_difference_slowly_and_jumps_over_a_large_one() -> None:
    playout, voice = VoicePlayout(AFTER_S), Voice()
    device = Device(playout, noise_s=0.0)
    device.run(2.0, voice)
    playout.after_s = AFTER_S + 0.02
    device.run(8.0, voice)
    assert playout.jumps == 0
    assert place(device.sound, AFTER_S) == pytest.approx(AFTER_S + 0.02, abs=0.006)
    assert MAX_STRETCH * 6 > 0.02, "there was time enough"
    playout.after_s = AFTER_S + 0.3
    device.run(9.0, voice)
    assert playout.jumps == 1
    assert place(device.sound, AFTER_S + 0.3) == pytest.approx(AFTER_S + 0.3, abs=0.006)


def test_playout_counts_what_was_not_there_in_time_and_says_silence() -> None:
    playout = VoicePlayout(AFTER_S)
    device = Device(playout, noise_s=0.0)
    device.run(2.0, Voice(late_s=0.2))
    assert playout.missing_samples > 0.9 * RATE_HZ
    assert not device.sound[RATE_HZ:].any()


def test_playout_privacy_is_silence_at_once_and_loses_no_time() -> None:
    playout, voice = VoicePlayout(AFTER_S), Voice()
    device = Device(playout, noise_s=0.0)
    device.run(1.0, voice)
    playout.is_silent = True
    device.run(2.0, voice)
    assert not device.sound[-RATE_HZ + BLOCK :].any()
    playout.is_silent = False
    device.run(3.0, voice)
    assert place(device.sound, AFTER_S) == pytest.approx(AFTER_S, abs=0.003)


def test_playout_begins_anew_with_another_performance() -> None:
    playout = VoicePlayout(AFTER_S)
    device = Device(playout, noise_s=0.0)
    device.run(2.0, Voice())
    playout.begin()
    device.run(2.01, Voice(late_s=10.0))
    assert not device.heard[-1].any()
    # Its samples begin at 0 again, at another time.
    voice = Voice()
    voice.shift_s = 2.01
    device.run(4.0, voice)
    assert place(device.sound, AFTER_S + 2.01) == pytest.approx(AFTER_S + 2.01, abs=0.003)
    assert playout.missing_samples == 0
