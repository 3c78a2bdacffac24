"""The receiving side's buffer for audio packets, in place of aiortc's own.

aiortc's buffer holds 80 ms back and, after one lost packet, stalls and stays late. Here an Opus packet is a frame: it goes to the
decoder at once. What comes late, twice or empty is dropped; the gap it leaves is closed with silence further on (see `microphone`),
where a sample's index is its RTP time.

Sequence numbers are 16 bit and timestamps 32 bit (48 kHz); both wrap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiortc.jitterbuffer import JitterFrame

if TYPE_CHECKING:
    from aiortc import RTCRtpReceiver
    from aiortc.rtp import RtpPacket

SEQUENCE_MODULUS = 1 << 16
HALF_SEQUENCE = 1 << 15
TIMESTAMP_MODULUS = 1 << 32
HALF_TIMESTAMP = 1 << 31
RESTART_AFTER = 25
"""So many late packets in a row (half a second) are not late: the sender has begun a new count."""


class DirectAudioJitterBuffer:
    """Has the one method that aiortc's receiver calls."""

    def __init__(self) -> None:
        self._last_sequence: int | None = None
        self._last_timestamp = 0
        self._late_in_a_row = 0
        self.received = 0
        self.lost = 0
        """Packets that never came or came too late."""
        self.late = 0
        """Packets dropped because a later one was already decoded, or because they came twice."""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """aiortc's contract: (whether to ask for a key frame, a frame to decode or None)."""
        self.received += 1
        data: bytes = getattr(packet, "_data", b"")
        if not data:
            return False, None
        if self._last_sequence is not None:
            ahead = (packet.sequence_number - self._last_sequence) % SEQUENCE_MODULUS
            elapsed = (packet.timestamp - self._last_timestamp) % TIMESTAMP_MODULUS
            if (ahead == 0 or ahead >= HALF_SEQUENCE or elapsed >= HALF_TIMESTAMP) and not self._has_restarted():
                self.late += 1
                return False, None
            if 0 < ahead < HALF_SEQUENCE:
                self.lost += ahead - 1
        self._late_in_a_row = 0
        self._last_sequence, self._last_timestamp = packet.sequence_number, packet.timestamp
        return False, JitterFrame(data=data, timestamp=packet.timestamp)

    def _has_restarted(self) -> bool:
        self._late_in_a_row += 1
        return self._late_in_a_row > RESTART_AFTER


_ATTRIBUTE = "_RTCRtpReceiver__jitter_buffer"


def install_direct_buffer(receiver: RTCRtpReceiver) -> DirectAudioJitterBuffer:
    """Put a DirectAudioJitterBuffer into an audio receiver before its first packet."""
    if not hasattr(receiver, _ATTRIBUTE):
        raise RuntimeError("this aiortc keeps its jitter buffer elsewhere; visavis is written for aiortc 1.16")
    buffer = DirectAudioJitterBuffer()
    setattr(receiver, _ATTRIBUTE, buffer)
    return buffer
