"""The receiving side's buffer for a camera's packets: a picture goes to the decoder with its last packet.

aiortc's buffer gives a picture out when the next one begins, 40 ms later at 25 a second. The marker bit says which packet is a picture's
last (RFC 7741, 4.1), so it need not be waited for. Whatever else the buffer does (order, loss, asking for a key frame) is aiortc's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiortc.jitterbuffer import JitterBuffer, JitterFrame

if TYPE_CHECKING:
    from aiortc import RTCRtpReceiver
    from aiortc.rtp import RtpPacket

CAPACITY_PACKETS = 512
"""As aiortc's own."""
_ATTRIBUTE = "_RTCRtpReceiver__jitter_buffer"


class PromptVideoJitterBuffer(JitterBuffer):
    """See the module."""

    def __init__(self) -> None:
        super().__init__(CAPACITY_PACKETS, is_video=True)
        self._given: int | None = None
        """Time stamp of the picture given last."""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """aiortc's contract: (whether to ask for a key frame, a picture to decode or None)."""
        asks_for_key_frame, frame = super().add(packet)
        if frame is None:
            frame = self._complete()
        if frame is None or not frame.data:
            return asks_for_key_frame, None
        self._given = frame.timestamp
        return asks_for_key_frame, frame

    def _complete(self) -> JitterFrame | None:
        """The first picture, where all its packets are there up to the marked one."""
        # Padding that follows a picture's last packet.
        while (first := self._packet(0)) is not None and first.timestamp == self._given:
            self.remove(1)
        if first is None:
            return None
        parts: list[bytes] = []
        while (packet := self._packet(len(parts))) is not None and packet.timestamp == first.timestamp:
            parts.append(getattr(packet, "_data", b""))
            if packet.marker:
                self.remove(len(parts))
                return JitterFrame(data=b"".join(parts), timestamp=first.timestamp)
            if len(parts) == self._capacity:
                break
        return None

    def _packet(self, ahead: int) -> RtpPacket | None:
        """The one so many places after the first that was not given yet."""
        assert self._origin is not None, "the first packet sets it"
        return self._packets[(self._origin + ahead) % self._capacity]


def install_prompt_buffer(receiver: RTCRtpReceiver) -> None:
    """Put a PromptVideoJitterBuffer into a video receiver before its first packet."""
    if not hasattr(receiver, _ATTRIBUTE):
        raise RuntimeError("this aiortc keeps its jitter buffer elsewhere; visavis is written for aiortc 1.16")
    setattr(receiver, _ATTRIBUTE, PromptVideoJitterBuffer())
