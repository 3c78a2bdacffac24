"""RTCP sender reports that tell when a sample is to be seen or heard, not when its packet left.

A receiver lays picture and voice over each other by these reports. aiortc puts the time of sending into them, which is right only if
both media leave exactly on time; here the voice leaves earlier on purpose (see `tracks`), and a picture leaves after its encoding.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from aiortc import clock
from aiortc.rtp import RtcpSrPacket

if TYPE_CHECKING:
    from typing import Any

    from aiortc import RTCRtpSender

NTP_UNITS_A_SECOND = 1 << 32
KEPT_TIMES = 16


class PresentationLog:
    """When the last few frames of one track are presented, in local monotonic time, and how much earlier they are sent."""

    def __init__(self, lead_s: float) -> None:
        self.lead_s = lead_s
        self._times: deque[float] = deque(maxlen=KEPT_TIMES)

    def add(self, presented_s: float) -> None:
        self._times.append(presented_s)

    def presented_at(self, sent_s: float) -> float | None:
        """Presentation time of the frame that was sent at `sent_s`: the last one whose sending was due by then."""
        return next((presented_s for presented_s in reversed(self._times) if presented_s - self.lead_s <= sent_s), None)


def report_presentation_times(sender: RTCRtpSender, log: PresentationLog) -> None:
    """Have a sender's reports speak of presentation times."""
    send = sender._send_rtcp

    async def corrected(packets: list[Any]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket) and packet.sender_info.packet_count:
                now_ntp, now_s = clock.current_ntp_time(), time.monotonic()
                age_s = (now_ntp - packet.sender_info.ntp_timestamp) / NTP_UNITS_A_SECOND
                presented_s = log.presented_at(now_s - age_s)
                if presented_s is not None:
                    packet.sender_info.ntp_timestamp = now_ntp + round((presented_s - now_s) * NTP_UNITS_A_SECOND)
        await send(packets)

    # The one method that all of a sender's reports go through; aiortc offers no public one.
    setattr(sender, "_send_rtcp", corrected)  # noqa: B010
