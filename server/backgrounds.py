"""Pictures that users bring to stand behind the avatar: decoded within limits, kept in memory, gone with the server.

Only PNG, JPEG and WebP are read, told by their first bytes; the decoder is chosen by those and by nothing else, and is itself told how
many pixels it may make room for, so that a small file cannot ask for a large memory. sRGB, uint8 [height, width, 3].
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import UInt8

MAX_UPLOAD_BYTES = 12 << 20
MAX_PIXELS = 48_000_000
"""A telephone's picture."""
MIN_SIDE_PX = 16
KEPT_PX = 576
"""Longer side of what is kept; no live picture needs more, and one is smaller than what may wait on its way to the render worker."""
MAX_KEPT = 32
"""Pictures a server keeps; the one that was not used for the longest time goes first. At most 32 MB."""
ORIGINAL = "original"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_DECODERS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "mjpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
)


class Backgrounds:
    """What can stand behind an avatar: its own picture ("original"), a colour ("#00b140"), or an uploaded picture by its id."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[str, UInt8[np.ndarray, "h w 3"]] = OrderedDict()

    def add(self, picture: UInt8[np.ndarray, "h w 3"]) -> str:
        """Keep a picture; its id."""
        name = f"picture-{secrets.token_hex(8)}"
        self._pictures[name] = picture
        while len(self._pictures) > MAX_KEPT:
            self._pictures.popitem(last=False)
        return name

    def picture(self, name: str) -> UInt8[np.ndarray, "h w 3"] | None:
        """None: the avatar's own. Raises BadInput for what is none of the three."""
        if name == ORIGINAL:
            return None
        if _COLOUR.fullmatch(name):
            return np.frombuffer(bytes.fromhex(name[1:]), np.uint8).reshape(1, 1, 3)
        if name not in self._pictures:
            raise BadInput(f"background {name!r}: {ORIGINAL!r}, a colour such as '#00b140', or the id of an uploaded picture is wanted")
        self._pictures.move_to_end(name)
        return self._pictures[name]


def decode_picture(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """A picture file's content, at most `KEPT_PX` on its longer side, turned as its camera meant it. Raises BadInput."""
    import av

    if len(data) > MAX_UPLOAD_BYTES:
        raise BadInput(f"a picture of {len(data)} bytes; at most {MAX_UPLOAD_BYTES >> 20} MB are taken")
    codec = next((name for start, name in _DECODERS if start.match(data)), None)
    if codec is None:
        raise BadInput("not a picture that can be read; PNG, JPEG or WebP is wanted")
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.options = {"max_pixels": str(MAX_PIXELS)}
    try:
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]
    except (av.FFmpegError, MemoryError) as error:
        raise BadInput(f"the picture cannot be read: broken, or more than {MAX_PIXELS // 1_000_000} million pixels") from error
    if not frames:
        raise BadInput("the picture cannot be read: it is not whole")
    frame = frames[0]
    if min(frame.width, frame.height) < MIN_SIDE_PX:
        raise BadInput(f"a picture of {frame.width} x {frame.height} pixels; at least {MIN_SIDE_PX} on each side are wanted")
    scale = min(1.0, KEPT_PX / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    small = frame.reformat(width, height, format="rgb24", interpolation="AREA" if scale < 1.0 else "BILINEAR")
    return np.ascontiguousarray(np.rot90(small.to_ndarray(), round(frame.rotation / 90)))


def cover(picture: UInt8[np.ndarray, "h w 3"], aspect: float) -> UInt8[np.ndarray, "h w 3"]:
    """The middle of a picture that has the given width divided by height; one of a single pixel stays."""
    height, width, _ = picture.shape
    if height == width == 1:
        return picture
    cut_width, cut_height = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - cut_width) // 2, (height - cut_height) // 2
    return np.ascontiguousarray(picture[top : top + max(1, cut_height), left : left + max(1, cut_width)])
