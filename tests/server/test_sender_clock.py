from __future__ import annotations

import pytest

from server.sender_clock import NTP_UNITS_A_SECOND, TIMESTAMP_MODULUS, SenderClock

PICTURE_HZ, SOUND_HZ = 90_000, 48_000


def ntp(time_s: float) -> int:
    return round(time_s * NTP_UNITS_A_SECOND)


def test_sender_clock_knows_nothing_before_the_first_report() -> None:
    clock = SenderClock(SOUND_HZ)
    assert clock.time_of(0) is None and clock.pts_at(0.0, near=0) is None


@pytest.mark.parametrize("picture_origin", [0, 1000, TIMESTAMP_MODULUS - 9000])
@pytest.mark.parametrize("sound_origin", [5, TIMESTAMP_MODULUS - 4800])
def test_sender_clocks_lead_from_a_picture_to_the_sound_of_its_moment(picture_origin: int, sound_origin: int) -> None:
    """Both media begin at 100 s of the common time, each with a time stamp of its own, wrapping or not."""
    pictures, sound = SenderClock(PICTURE_HZ), SenderClock(SOUND_HZ)
    pictures.report(ntp(101.0), (picture_origin + PICTURE_HZ) % TIMESTAMP_MODULUS, picture_origin)
    sound.report(ntp(103.0), (sound_origin + 3 * SOUND_HZ) % TIMESTAMP_MODULUS, sound_origin)
    for second in (0.5, 2.0, 7.25):
        taken_s = pictures.time_of(round(second * PICTURE_HZ))
        assert taken_s == pytest.approx(100.0 + second, abs=1e-4)
        assert sound.pts_at(taken_s, near=0) == pytest.approx(second * SOUND_HZ, abs=10)


def test_sender_clock_goes_on_when_time_stamps_have_wrapped() -> None:
    """After 2^32 samples, 25 hours."""
    sound = SenderClock(SOUND_HZ)
    pts = TIMESTAMP_MODULUS + 480
    sound.report(ntp(50.0), 480 + 7, origin=7 - TIMESTAMP_MODULUS)
    assert sound.pts_at(51.0, near=pts) == pts + SOUND_HZ
    assert sound.time_of(pts + SOUND_HZ) == pytest.approx(51.0)
