"""What aiortc is set to, in one place: codecs and bit rates. Bits a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiortc.codecs.vpx as vpx
from aiortc import RTCRtpSender

if TYPE_CHECKING:
    from aiortc import RTCRtpCodecCapability, RTCRtpTransceiver

START_BITRATE = 1_500_000
MIN_BITRATE = 500_000
MAX_BITRATE = 1_500_000
MAX_BITRATE_LARGE = 3_000_000
LARGE_PICTURE_PIXELS = 384 * 384
VIDEO_CODEC, AUDIO_CODEC = "video/VP8", "audio/opus"


def set_bitrates(pixels: int) -> None:
    """aiortc reads these module constants whenever it makes an encoder, and offers no other way.

    Its own start of 500 kb/s shows a visibly blurred picture for the first second; its own upper limit is too low for large pictures.
    """
    vpx.DEFAULT_BITRATE = START_BITRATE
    vpx.MIN_BITRATE = MIN_BITRATE
    vpx.MAX_BITRATE = MAX_BITRATE_LARGE if pixels > LARGE_PICTURE_PIXELS else MAX_BITRATE


def prefer_codecs(transceiver: RTCRtpTransceiver) -> None:
    """VP8 (a third of H.264's cost here) and Opus (48 kHz) only; must come before setRemoteDescription."""
    wanted = VIDEO_CODEC if transceiver.kind == "video" else AUDIO_CODEC
    capabilities: list[RTCRtpCodecCapability] = RTCRtpSender.getCapabilities(transceiver.kind).codecs
    # Retransmission stays, or a lost packet would cost a key frame.
    chosen = [codec for codec in capabilities if codec.mimeType.lower() == wanted.lower()]
    chosen += [codec for codec in capabilities if codec.mimeType.lower().endswith("/rtx")]
    transceiver.setCodecPreferences(chosen)
