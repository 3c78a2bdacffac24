from __future__ import annotations

import numpy as np
import pytest

from server.voice_delay import VoiceDelay


def test_voice_delay_returns_what_was_written() -> None:
    delay = VoiceDelay(100)
    for first in range(0, 1000, 30):
        delay.write(first, np.arange(first, first + 30, dtype=np.int16))
    assert np.array_equal(delay.read(960, 50), np.arange(960, 1010))


def test_voice_delay_reads_silence_for_what_is_not_there() -> None:
    delay = VoiceDelay(100)
    delay.write(0, np.full(50, 3, np.int16))
    assert delay.read(40, 20).tolist() == [3] * 10 + [0] * 10
    delay.write(50, np.full(120, 4, np.int16))
    assert delay.read(60, 20).tolist() == [0] * 10 + [4] * 10
    assert delay.read(500, 5).tolist() == [0] * 5


def test_voice_delay_leaves_a_gap_silent() -> None:
    delay = VoiceDelay(100)
    delay.write(0, np.full(90, 5, np.int16))
    delay.write(110, np.full(10, 6, np.int16))
    assert delay.read(80, 40).tolist() == [5] * 10 + [0] * 20 + [6] * 10


def test_voice_delay_matches_a_plain_array_for_any_pattern() -> None:
    rng = np.random.default_rng(0)
    delay, capacity, end = VoiceDelay(64), 64, 0
    plain = np.zeros(20_000, np.int16)
    for _ in range(300):
        end += int(rng.integers(0, 5))
        block = rng.integers(1, 1000, int(rng.integers(0, 90))).astype(np.int16)
        delay.write(end, block)
        plain[end : end + len(block)] = block
        end += len(block)
        first = max(0, end - int(rng.integers(0, 80)))
        expected = plain[first : first + 20].copy()
        expected[: max(0, end - capacity - first)] = 0
        assert np.array_equal(delay.read(first, 20), expected)


def test_voice_delay_takes_late_samples_in_their_place() -> None:
    delay = VoiceDelay(100)
    delay.write(0, np.zeros(250, np.int16))
    delay.amend(140, np.full(30, 8, np.int16))
    assert delay.read(145, 30).tolist() == [0] * 5 + [8] * 20 + [0] * 5, "the ring holds samples 150 to 249"
    with pytest.raises(ValueError, match="250 is next"):
        delay.amend(240, np.zeros(20, np.int16))


def test_voice_delay_rejects_samples_out_of_order() -> None:
    delay = VoiceDelay(10)
    delay.write(0, np.zeros(5, np.int16))
    with pytest.raises(ValueError, match="5 is next"):
        delay.write(3, np.zeros(5, np.int16))
