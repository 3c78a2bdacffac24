from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from renderer.errors import BadInput
from renderer.images import encode_picture
from server.backgrounds import KEPT_PX, MAX_KEPT, MAX_UPLOAD_BYTES, Backgrounds, cover, decode_picture


def gradient(height: int, width: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = np.linspace(0, 255, height)[:, None]
    return picture


def png_that_claims(width: int, height: int) -> bytes:
    """A small file with the header of a large picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("codec", ["png", "mjpeg"])
def test_decode_picture_gives_what_was_drawn(codec: str) -> None:
    picture = gradient(120, 200)
    found = decode_picture(encode_picture(picture, codec))
    assert found.shape == picture.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - picture).mean() < 3


def test_decode_picture_shrinks_a_large_one() -> None:
    found = decode_picture(encode_picture(gradient(900, 1800), "mjpeg"))
    assert found.shape == (KEPT_PX // 2, KEPT_PX, 3)
    assert np.abs(found.astype(int) - gradient(KEPT_PX // 2, KEPT_PX)).mean() < 4


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "PNG, JPEG or WebP"),
        (b"GIF89a" + bytes(100), "PNG, JPEG or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "PNG, JPEG or WebP"),
        (encode_picture(gradient(300, 300), "png")[:500], "cannot be read"),
        (encode_picture(gradient(64, 64), "mjpeg")[:100], "cannot be read"),
        (png_that_claims(60_000, 60_000), "million pixels"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(50), "cannot be read"),
        (b"\xff\xd8\xff" + bytes(MAX_UPLOAD_BYTES), "at most 12 MB"),
        (encode_picture(gradient(8, 64), "png"), "64 x 8 pixels"),
    ],
    ids=["empty", "gif", "svg", "cut png", "cut jpeg", "bomb", "broken webp", "too long", "tiny"],
)
def test_decode_picture_rejects_in_one_line(data: bytes, named: str) -> None:
    with pytest.raises(BadInput, match=named) as caught:
        decode_picture(data)
    assert "\n" not in str(caught.value)


def test_backgrounds_knows_the_original_colours_and_pictures() -> None:
    backgrounds, picture = Backgrounds(), gradient(20, 20)
    assert backgrounds.picture("original") is None
    colour = backgrounds.picture("#00b140")
    assert colour is not None and colour.tolist() == [[[0, 177, 64]]]
    assert backgrounds.picture(backgrounds.add(picture)) is picture
    for wrong in ("", "green", "#00B140 ", "#12345", "picture-0"):
        with pytest.raises(BadInput, match="a colour such as '#00b140'"):
            backgrounds.picture(wrong)


def test_backgrounds_forgets_the_one_unused_for_longest() -> None:
    backgrounds = Backgrounds()
    names = [backgrounds.add(gradient(20, 20)) for _ in range(MAX_KEPT)]
    backgrounds.picture(names[0])
    backgrounds.add(gradient(20, 20))
    assert backgrounds.picture(names[0]) is not None
    with pytest.raises(BadInput):
        backgrounds.picture(names[1])


@pytest.mark.parametrize(
    ("shape", "aspect", "expected"), [((100, 300), 1.0, (100, 100)), ((300, 100), 2.0, (50, 100)), ((1, 1), 1.5, (1, 1))]
)
def test_cover_cuts_out_the_middle(shape: tuple[int, int], aspect: float, expected: tuple[int, int]) -> None:
    picture = gradient(*shape)
    cut = cover(picture, aspect)
    assert cut.shape[:2] == expected
    if shape != (1, 1):
        assert abs(int(cut[0, :, 0].mean()) - 127) < 3 and abs(int(cut[:, 0, 1].mean()) - 127) < 3
