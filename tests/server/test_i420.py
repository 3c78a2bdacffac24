from __future__ import annotations

import av
import numpy as np
import pytest

from renderer.native_library import rgb_to_i420
from server.i420 import i420_writer, write_i420


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 12, 3), np.uint8)
    return coarse.repeat(4, 0).repeat(4, 1)


def test_write_i420_matches_the_native_library(picture: np.ndarray) -> None:
    planes = np.zeros(32 * 48 * 3 // 2, np.uint8)
    write_i420(picture, planes)
    assert np.abs(planes.astype(int) - rgb_to_i420(picture).astype(int)).max() <= 1


def test_write_i420_comes_back_as_the_same_colours(picture: np.ndarray) -> None:
    planes = np.zeros(32 * 48 * 3 // 2, np.uint8)
    write_i420(picture, planes)
    back = av.VideoFrame.from_ndarray(planes.reshape(-1, 48), format="yuv420p").to_ndarray(format="rgb24")
    assert np.abs(back.astype(int) - picture).mean() < 3


def test_i420_writer_prefers_the_native_library() -> None:
    assert i420_writer() is rgb_to_i420
