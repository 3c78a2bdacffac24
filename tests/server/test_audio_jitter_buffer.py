from __future__ import annotations

import pytest
from aiortc import RTCPeerConnection
from aiortc.rtp import RtpPacket

from server.audio_jitter_buffer import RESTART_AFTER, DirectAudioJitterBuffer, install_direct_buffer


def packet(sequence: int, timestamp: int | None = None, data: bytes = b"opus") -> RtpPacket:
    made = RtpPacket(sequence_number=sequence % 65536, timestamp=(sequence * 960 if timestamp is None else timestamp) % (1 << 32))
    made._data = data  # type: ignore[attr-defined]
    return made


def played(buffer: DirectAudioJitterBuffer, sequences: list[int]) -> list[int]:
    """Time stamps of what goes to the decoder, in packets."""
    frames = [buffer.add(packet(sequence))[1] for sequence in sequences]
    return [frame.timestamp // 960 for frame in frames if frame is not None]


def test_buffer_hands_every_packet_on_at_once() -> None:
    buffer = DirectAudioJitterBuffer()
    assert played(buffer, [1, 2, 3]) == [1, 2, 3]
    assert (buffer.received, buffer.lost, buffer.late) == (3, 0, 0)


def test_buffer_does_not_stall_after_loss() -> None:
    buffer = DirectAudioJitterBuffer()
    assert played(buffer, [1, 2, 5, 6]) == [1, 2, 5, 6]
    assert buffer.lost == 2


def test_buffer_drops_what_comes_late_or_twice() -> None:
    buffer = DirectAudioJitterBuffer()
    assert played(buffer, [1, 3, 2, 3, 4]) == [1, 3, 4]
    assert buffer.late == 2


def test_buffer_goes_on_over_the_wrap_of_the_sequence_number() -> None:
    buffer = DirectAudioJitterBuffer()
    timestamps = [buffer.add(packet(sequence))[1] for sequence in (65534, 65535, 65536, 65537)]
    assert None not in timestamps
    assert buffer.lost == 0


def test_buffer_goes_on_over_the_wrap_of_the_timestamp() -> None:
    buffer = DirectAudioJitterBuffer()
    start = (1 << 32) - 960
    assert all(buffer.add(packet(10 + i, start + 960 * i))[1] is not None for i in range(4))


def test_buffer_drops_empty_packets() -> None:
    buffer = DirectAudioJitterBuffer()
    assert buffer.add(packet(1, data=b"")) == (False, None)
    assert played(buffer, [2]) == [2]


def test_buffer_follows_a_sender_that_counts_anew() -> None:
    buffer = DirectAudioJitterBuffer()
    played(buffer, [40_000, 40_001])
    after = played(buffer, list(range(100, 100 + RESTART_AFTER + 5)))
    assert after == list(range(100 + RESTART_AFTER, 100 + RESTART_AFTER + 5))


async def test_install_direct_buffer_reaches_the_receiver() -> None:
    peer = RTCPeerConnection()
    receiver = peer.addTransceiver("audio").receiver
    buffer = install_direct_buffer(receiver)
    assert receiver._RTCRtpReceiver__jitter_buffer is buffer  # type: ignore[attr-defined]
    await peer.close()


def test_install_direct_buffer_rejects_another_aiortc() -> None:
    with pytest.raises(RuntimeError, match=r"aiortc 1\.16"):
        install_direct_buffer(object())  # type: ignore[arg-type]
