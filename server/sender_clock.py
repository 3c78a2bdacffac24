"""When a sender says that a picture was taken, on the time line of its sound.

Picture and sound of one sender have RTP time stamps of two clocks, each from an origin of its own. The sender's RTCP reports (RFC 3550,
6.4.1) give pairs of a time stamp and one common (NTP) time; with one pair of each medium a picture's time stamp becomes a place in the
sound. `pts` are time stamps as aiortc's decoded frames carry them: from 0 on, unwrapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiortc.rtp import RtcpSrPacket

if TYPE_CHECKING:
    from typing import Any

    from aiortc import RTCRtpReceiver

NTP_UNITS_A_SECOND = 1 << 32
TIMESTAMP_MODULUS = 1 << 32
_MAPPER = "_RTCRtpReceiver__timestamp_mapper"


class SenderClock:
    """Of one received medium."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._report: tuple[float, int] | None = None
        """Common time in s, and the time stamp of that moment."""
        self._origin = 0
        """Time stamp of pts 0."""

    def report(self, ntp: int, timestamp: int, origin: int) -> None:
        """`ntp` in units of 2^-32 s, `timestamp` as on the wire, `origin` the time stamp of pts 0 (which may lie before 0)."""
        self._report, self._origin = (ntp / NTP_UNITS_A_SECOND, timestamp), origin

    def time_of(self, pts: int) -> float | None:
        """The common time of a pts, in s; None before the first report."""
        if self._report is None:
            return None
        time_s, timestamp = self._report
        ahead = (pts + self._origin - timestamp + TIMESTAMP_MODULUS // 2) % TIMESTAMP_MODULUS - TIMESTAMP_MODULUS // 2
        return time_s + ahead / self._rate_hz

    def pts_at(self, time_s: float, near: int) -> int | None:
        """The pts of a common time, the one nearest to `near` where time stamps wrap; None before the first report."""
        if self._report is None:
            return None
        reported_s, timestamp = self._report
        pts = timestamp - self._origin + round((time_s - reported_s) * self._rate_hz)
        return near + (pts - near + TIMESTAMP_MODULUS // 2) % TIMESTAMP_MODULUS - TIMESTAMP_MODULUS // 2


def read_sender_clock(receiver: RTCRtpReceiver, rate_hz: int) -> SenderClock:
    """Have a receiver's reports kept; before its first packet."""
    if not hasattr(receiver, _MAPPER):
        raise RuntimeError("this aiortc keeps its time stamps elsewhere; visavis is written for aiortc 1.16")
    clock, handle = SenderClock(rate_hz), receiver._handle_rtcp_packet

    async def read(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket) and (origin := getattr(receiver, _MAPPER)._origin) is not None:
            clock.report(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp, origin)
        await handle(packet)

    # The one method that all of a sender's reports come through; aiortc offers no public one.
    setattr(receiver, "_handle_rtcp_packet", read)  # noqa: B010
    return clock
