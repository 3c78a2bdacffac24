"""What aiortc is set to, in one place: codecs and bit rates. Bits a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiortc.codecs.vpx as vpx
from aiortc import RTCRtpSender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiortc import RTCRtpCodecCapability, RTCRtpTransceiver

START_BITRATE = 1_500_000
MIN_BITRATE = 500_000
MAX_BITRATE = 1_500_000
MAX_BITRATE_LARGE = 3_000_000
LARGE_PICTURE_PIXELS = 384 * 384
VIDEO_CODECS = ("video/VP8",)
"""A third of H.264's cost here."""
ANY_VIDEO_CODECS = ("video/VP8", "video/H264")
"""For players and media servers that may have only the other."""
AUDIO_CODECS = ("audio/opus",)


def set_bitrates(pixels: int) -> None:
    """aiortc reads these module constants whenever it makes an encoder, and offers no other way.

    Its own start of 500 kb/s shows a visibly blurred picture for the first second; its own upper limit is too low for large pictures.
    """
    vpx.DEFAULT_BITRATE = START_BITRATE
    vpx.MIN_BITRATE = MIN_BITRATE
    vpx.MAX_BITRATE = MAX_BITRATE_LARGE if pixels > LARGE_PICTURE_PIXELS else MAX_BITRATE


def prefer_codecs(transceiver: RTCRtpTransceiver, video_codecs: Sequence[str] = VIDEO_CODECS) -> None:
    """Only these, in this order, and Opus at 48 kHz; must come before setRemoteDescription."""
    wanted = video_codecs if transceiver.kind == "video" else AUDIO_CODECS
    capabilities: list[RTCRtpCodecCapability] = RTCRtpSender.getCapabilities(transceiver.kind).codecs
    chosen = [codec for name in wanted for codec in capabilities if codec.mimeType.lower() == name.lower()]
    # Retransmission stays, or a lost packet would cost a key frame.
    chosen += [codec for codec in capabilities if codec.mimeType.lower().endswith("/rtx")]
    transceiver.setCodecPreferences(chosen)
