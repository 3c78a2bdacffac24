"""Pictures and packets as a performance gives them away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from server.media import FRAME_SAMPLES, PACKET_SAMPLES, Media, TimedPicture, VoicePacket

SIZE_PX = 64


def picture(frame: int, luma: int = 0, width: int = SIZE_PX, height: int = SIZE_PX) -> TimedPicture:
    """All of one grey."""
    planes = np.full(width * height * 3 // 2, 128, np.uint8)
    planes[: width * height] = luma
    return TimedPicture(frame, planes, width, height, presented_s=frame / 25)


def packet(number: int, level: int = 0) -> VoicePacket:
    samples = np.where(np.arange(PACKET_SAMPLES) % 48 < 24, level, -level).astype(np.int16)
    return VoicePacket(number * PACKET_SAMPLES, samples, presented_s=number / 50)


def flashes_and_beeps(first_frame: int, n_frames: int, period_frames: int = 25) -> Iterator[Media]:
    """Once a period one white picture, and over the same 40 ms a tone of 1 kHz; otherwise black and silent. In the order of time."""
    for frame in range(first_frame, first_frame + n_frames):
        is_on = frame % period_frames == 0
        yield picture(frame, 235 if is_on else 16)
        for number in range(frame * FRAME_SAMPLES // PACKET_SAMPLES, (frame + 1) * FRAME_SAMPLES // PACKET_SAMPLES):
            yield packet(number, 12_000 if is_on else 0)
