from __future__ import annotations

import numpy as np
import pytest
from aiortc.rtp import RtpPacket

from server.video_jitter_buffer import PromptVideoJitterBuffer


def packet(sequence: int, timestamp: int, data: bytes, marker: bool = False) -> RtpPacket:
    made = RtpPacket(sequence_number=sequence % 65536, timestamp=timestamp, marker=int(marker))
    made._data = data
    return made


def given(buffer: PromptVideoJitterBuffer, packets: list[RtpPacket]) -> list[tuple[int, bytes]]:
    frames = [buffer.add(p)[1] for p in packets]
    return [(frame.timestamp, frame.data) for frame in frames if frame is not None]


def test_prompt_buffer_gives_a_picture_with_its_last_packet() -> None:
    buffer = PromptVideoJitterBuffer()
    assert given(buffer, [packet(10, 0, b"a")]) == []
    assert given(buffer, [packet(11, 0, b"b", marker=True)]) == [(0, b"ab")]
    assert given(buffer, [packet(12, 3600, b"c", marker=True)]) == [(3600, b"c")]


def test_prompt_buffer_puts_packets_in_order() -> None:
    packets = [packet(10, 0, b"a", marker=True), packet(12, 3600, b"c", marker=True), packet(11, 3600, b"b")]
    assert given(PromptVideoJitterBuffer(), packets) == [(0, b"a"), (3600, b"bc")]


def test_prompt_buffer_takes_padding_for_no_picture() -> None:
    packets = [packet(10, 0, b"a", marker=True), packet(11, 0, b""), packet(12, 0, b""), packet(13, 3600, b"b", marker=True)]
    assert given(PromptVideoJitterBuffer(), packets) == [(0, b"a"), (3600, b"b")]


@pytest.mark.parametrize("seed", range(5))
def test_prompt_buffer_gives_every_picture_once_whatever_the_order_within_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    sequence, packets, expected = 65_500, [], []
    for k in range(60):
        parts = [bytes([k, part]) for part in range(random.integers(1, 5))]
        made = [packet(sequence + n, 3600 * k, data, n == len(parts) - 1) for n, data in enumerate(parts)]
        sequence += len(parts)
        expected.append((3600 * k, b"".join(parts)))
        packets += made if k == 0 else [made[n] for n in random.permutation(len(made))]
    assert given(PromptVideoJitterBuffer(), packets) == expected


def test_prompt_buffer_gives_no_picture_with_a_hole_before_it_is_closed() -> None:
    buffer = PromptVideoJitterBuffer()
    assert given(buffer, [packet(10, 0, b"a", marker=True), packet(11, 3600, b"b"), packet(13, 3600, b"d", marker=True)]) == [(0, b"a")]
    assert given(buffer, [packet(12, 3600, b"c")]) == [(3600, b"bcd")]
