from __future__ import annotations

import io

import av
import numpy as np
import pytest

from renderer.images import encode_picture, quantise, resize_picture


def smooth_picture(height: int = 32, width: int = 48) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([4 * x, 6 * y, 255 - 2 * (x + y)], -1).astype(np.uint8)


@pytest.mark.parametrize(("codec", "tolerance"), [("png", 0), ("mjpeg", 6)])
def test_encode_picture_can_be_read_again(codec: str, tolerance: int) -> None:
    picture = smooth_picture()
    with av.open(io.BytesIO(encode_picture(picture, codec))) as container:
        again = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(again.astype(int) - picture).max() <= tolerance


def test_resize_keeps_a_flat_picture_and_the_mean() -> None:
    flat = np.full((20, 30, 3), 77, np.uint8)
    assert np.allclose(resize_picture(flat, 64, 48), 77 / 255)
    picture = smooth_picture()
    assert np.allclose(resize_picture(picture, 24, 16).mean((0, 1)), picture.mean((0, 1)) / 255, atol=0.01)


def test_resize_to_the_same_size_changes_nothing() -> None:
    picture = smooth_picture()
    assert (quantise(resize_picture(picture, 48, 32)) == picture).all()


def test_quantise_rounds_and_clips() -> None:
    values = np.array([-1.0, 0.0, 0.5, 0.9999, 2.0]).reshape(1, 5, 1).repeat(3, 2)
    assert quantise(values)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
