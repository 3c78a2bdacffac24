from __future__ import annotations

import av
import numpy as np
import pytest

from server.camera_picture import MAX_HEIGHT_PX, MAX_WIDTH_PX, CameraPicture


def gradient(width: int, height: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([255 * rows // height, 255 * columns // width, np.full_like(rows, 90)], -1).astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), [(320, 240), (640, 480), (160, 120)])
def test_camera_picture_keeps_the_colours(width: int, height: int) -> None:
    picture = CameraPicture.of_rgb(gradient(width, height))
    assert picture is not None and (picture.width, picture.height) == (width, height)
    assert np.abs(picture.rgb().astype(int) - gradient(width, height)).mean() < 4.0


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (1290, 730), (480, 1000)])
def test_camera_picture_thins_out_what_is_large(width: int, height: int) -> None:
    picture = CameraPicture.of_rgb(gradient(width, height))
    assert picture is not None
    assert picture.width <= MAX_WIDTH_PX and picture.height <= MAX_HEIGHT_PX
    assert picture.width % 2 == picture.height % 2 == 0
    assert len(picture.planes) == picture.width * picture.height * 3 // 2
    rgb = picture.rgb()
    assert rgb[:4].mean() < rgb[-4:].mean() and rgb[:, :4, 1].mean() < rgb[:, -4:, 1].mean()


def test_camera_picture_crops_odd_sides() -> None:
    frame = av.VideoFrame(101, 75, "yuv420p")
    picture = CameraPicture.of(frame)
    assert picture is not None and (picture.width, picture.height) == (100, 74)
    assert picture.rgb().shape == (74, 100, 3)


def test_camera_picture_takes_none_that_holds_no_face() -> None:
    assert CameraPicture.of(av.VideoFrame(8, 8, "yuv420p")) is None
    assert CameraPicture.of(av.VideoFrame(64, 64, "nv12")) is None
