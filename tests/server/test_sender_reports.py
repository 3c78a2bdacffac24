from __future__ import annotations

import time

import pytest
from aiortc import clock
from aiortc.rtp import RtcpSdesPacket, RtcpSenderInfo, RtcpSrPacket

from server.sender_reports import NTP_UNITS_A_SECOND, PresentationLog, report_presentation_times


def test_log_finds_the_frame_that_was_sent() -> None:
    log = PresentationLog(lead_s=0.03)
    assert log.presented_at(5.0) is None
    for packet in range(5):
        log.add(10.0 + 0.02 * packet)
    assert log.presented_at(10.011) == pytest.approx(10.04)
    assert log.presented_at(10.009) == pytest.approx(10.02)
    assert log.presented_at(99.0) == pytest.approx(10.08)
    assert log.presented_at(9.0) is None


def test_log_is_bounded() -> None:
    log = PresentationLog(0.0)
    for frame in range(1000):
        log.add(float(frame))
    assert log.presented_at(900.0) is None
    assert log.presented_at(990.5) == 990.0


class Sender:
    def __init__(self) -> None:
        self.sent: list[object] = []

    async def _send_rtcp(self, packets: list[object]) -> None:
        self.sent += packets


async def test_reports_tell_the_presentation_time() -> None:
    sender, log = Sender(), PresentationLog(lead_s=0.03)
    report_presentation_times(sender, log)  # type: ignore[arg-type]
    presented_s = time.monotonic() + 0.025
    log.add(presented_s)
    report = RtcpSrPacket(ssrc=1, sender_info=RtcpSenderInfo(clock.current_ntp_time(), 7, 1, 1))
    before, before_s = clock.current_ntp_time(), time.monotonic()
    await sender._send_rtcp([report, RtcpSdesPacket(chunks=[])])
    assert len(sender.sent) == 2
    told_s = (report.sender_info.ntp_timestamp - before) / NTP_UNITS_A_SECOND
    assert told_s == pytest.approx(presented_s - before_s, abs=0.002)
    assert report.sender_info.rtp_timestamp == 7


async def test_reports_are_left_alone_before_anything_was_sent() -> None:
    sender = Sender()
    report_presentation_times(sender, PresentationLog(0.0))  # type: ignore[arg-type]
    report = RtcpSrPacket(ssrc=1, sender_info=RtcpSenderInfo(0, 0, 0, 0))
    await sender._send_rtcp([report])
    assert report.sender_info.ntp_timestamp == 0
