"""Which codecs PyAV has here, and which containers can be made of them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from typing import TYPE_CHECKING

from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTAINERS = {"mp4": "mp4", "mkv": "matroska", "mpegts": "mpegts"}
"""Names that users know, and FFmpeg's."""
CODECS = {
    "mp4": (("libx264", "aac"),),
    "matroska": (("libx264", "aac"), ("libvpx", "libopus")),
    "flv": (("libx264", "aac"),),
    "mpegts": (("libx264", "aac"),),
}
"""By container: pairs of encoders, the best first."""
ASK_TIMEOUT_S = 10


def choose_codecs(container: str) -> tuple[str, str]:
    """Encoders of picture and sound. Raises BadInput where none of a container's are there."""
    for video, audio in CODECS[container]:
        if _has_encoder(video) and _has_encoder(audio):
            return video, audio
    wanted = " or ".join(" + ".join(pair) for pair in CODECS[container])
    raise BadInput(f"this PyAV cannot make {container}: it needs {wanted}; a wheel from PyPI has them")


def container_of(name: str, known: Sequence[str] = tuple(CONTAINERS)) -> str:
    """FFmpeg's name of a container. Raises BadInput."""
    if name not in known:
        raise BadInput(f"format {name!r}: one of {', '.join(known)} is possible")
    return CONTAINERS[name]


@functools.cache
def _has_encoder(name: str) -> bool:
    import av.codec

    try:
        av.codec.Codec(name, "w")
    except ValueError:
        # av.codec.UnknownCodecError
        return False
    return True


@functools.cache
def ffmpeg_with_srt() -> str | None:
    """An `ffmpeg` program that speaks SRT, which PyAV's wheels do not."""
    program = shutil.which("ffmpeg")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "-hide_banner", "-loglevel", "error", "-protocols"],
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return program if "srt" in answer.stdout.split() else None
