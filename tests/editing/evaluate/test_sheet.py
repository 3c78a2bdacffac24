from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.evaluate.regions import mouth_squares, regions
from editing.evaluate.sheet import SheetFrame, compose, difference, shaded_depth, sheet_frames

if TYPE_CHECKING:
    from editing.evaluate.driving import Drive

SIZE_PX = 64


def test_sheet_frames_are_spread_over_the_clip() -> None:
    assert sheet_frames(range(101)) == {0, 20, 40, 60, 80, 100}
    assert sheet_frames(range(5, 50, 10)) == {5, 15, 25, 35, 45}


def test_difference_is_amplified_and_clipped() -> None:
    a, b = np.full((1, 2, 3), 100, np.uint8), np.array([[[90] * 3, [250] * 3]], np.uint8)
    assert difference(a, b)[0, :, 0].tolist() == [40, 255]


def test_depth_is_bright_where_it_is_near_and_black_where_nothing_is() -> None:
    distance = np.linspace(5.0, 6.0, 101)[None].repeat(2, axis=0)
    opacity = np.ones((2, 101))
    opacity[1] = 0.0
    picture = shaded_depth(distance, opacity)
    assert picture[0, 0, 0] == 255 and 0 < picture[0, -1, 0] < 60
    assert (np.diff(picture[0, :, 0].astype(int)) <= 0).all() and not picture[1].any()
    assert not shaded_depth(distance, 0 * opacity).any()


def test_compose_has_six_rows_or_three_without_truth(drive: Drive) -> None:
    white, black = np.full((SIZE_PX, SIZE_PX, 3), 255, np.uint8), np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    sheet = compose(drive, [SheetFrame(0, black, white), SheetFrame(9, black, white)])
    assert sheet.shape == (6 * SIZE_PX, 2 * SIZE_PX, 3)
    rows = sheet.reshape(6, SIZE_PX, 2 * SIZE_PX, 3)
    assert (rows[[0, 2, 4]] == 255).all() and not rows[[1, 5]].any()
    assert rows[3].any() and not rows[3, 0].any(), "the depth shows a head, and nothing in the picture's top row"
    assert compose(drive, [SheetFrame(0, black, None)]).shape == (3 * SIZE_PX, SIZE_PX, 3)


def test_regions_lie_within_each_other_and_the_mouth_within_its_square(drive: Drive) -> None:
    found = regions(drive.dataset, 0)
    assert found["head"].sum() > found["face"].sum() > found["lips"].sum() > 0
    assert not (found["face"] & ~found["head"]).any()
    frames = (0, 10, 20)
    ids = [drive.dataset.meta.labels[name] for name in ("lips", "teeth", "mouth")]
    sizes = set()
    for frame, (rows, columns) in zip(frames, mouth_squares(drive.dataset, frames), strict=True):
        sizes |= {rows.stop - rows.start, columns.stop - columns.start}
        assert rows.start >= 0 and columns.start >= 0 and rows.stop <= SIZE_PX and columns.stop <= SIZE_PX
        lips = np.isin(drive.dataset.labels[frame], ids)
        assert lips[rows, columns].sum() == lips.sum() > 0
    assert len(sizes) == 1, "close-ups of different scales"
