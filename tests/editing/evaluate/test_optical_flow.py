from __future__ import annotations

import numpy as np
import pytest

from editing.evaluate.optical_flow import DenseFlow, visible, warp
from editing.evaluate.warping_error import pair_error, warping_errors

SIZE_PX = 64


def texture(seed: int = 0, size: int = 96) -> np.ndarray:
    """Smooth blobs of all colours, so that every place is known by its surroundings."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).normal(size=(size, size, 3))
    smooth = ndimage.gaussian_filter(noise, (2.0, 2.0, 0.0))
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def moving(n: int, dx: int = 1, dy: int = 0) -> np.ndarray:
    """A window that moves over the texture: what is at p in frame k is at p - (dx, dy) in frame k + 1."""
    sheet = texture()
    return np.stack([sheet[k * dy : k * dy + SIZE_PX, k * dx : k * dx + SIZE_PX] for k in range(n)])


def constant_flow(x: float, y: float) -> np.ndarray:
    return np.tile(np.array([x, y], np.float32), (SIZE_PX, SIZE_PX, 1))


def test_dense_flow_finds_a_known_motion() -> None:
    frames = moving(2, 3, 2)
    found = DenseFlow()(frames[0], frames[1])[8:-8, 8:-8]
    assert np.abs(found - [-3.0, -2.0]).mean() < 0.1
    np.testing.assert_array_equal(DenseFlow()(frames[0], frames[1])[8:-8, 8:-8], found)


def test_warp_looks_up_where_the_flow_leads() -> None:
    picture = np.arange(SIZE_PX * SIZE_PX, dtype=np.float32).reshape(SIZE_PX, SIZE_PX)
    found = warp(picture, constant_flow(2.0, 1.0))
    np.testing.assert_allclose(found[:-1, :-2], picture[1:, 2:])
    assert not found[-1].any() and not found[:, -2:].any()
    np.testing.assert_allclose(warp(picture, constant_flow(0.5, 0.0))[:, :-1], picture[:, :-1] + 0.5)


def test_visible_leaves_out_what_leaves_the_picture() -> None:
    shown = visible(constant_flow(5.0, 0.0), constant_flow(-5.0, 0.0))
    assert shown[:, :-5].all() and not shown[:, -5:].any()


def test_visible_matches_the_formula_pixel_by_pixel() -> None:
    """Ruder et al.'s equations 5 and 6 written out, with whole flows so that nothing is interpolated."""
    rng = np.random.default_rng(3)
    there = rng.integers(-2, 3, (16, 16, 2)).astype(np.float32)
    there[:, :8] = (1.0, 1.0)
    back = np.where(rng.random((16, 16, 1)) < 0.6, -1.0, rng.integers(-3, 3, (16, 16, 2))).astype(np.float32)
    by_y, by_x = np.gradient(there, axis=(0, 1))
    expected = np.zeros((16, 16), bool)
    for y in range(16):
        for x in range(16):
            u, v = there[y, x]
            to_x, to_y = int(x + u), int(y + v)
            if not (0 <= to_x < 16 and 0 <= to_y < 16):
                continue
            ru, rv = back[to_y, to_x]
            consistent = (u + ru) ** 2 + (v + rv) ** 2 <= 0.01 * (u**2 + v**2 + ru**2 + rv**2) + 0.5
            gradient = (by_x[y, x] ** 2).sum() + (by_y[y, x] ** 2).sum()
            expected[y, x] = consistent and gradient <= 0.01 * (u**2 + v**2) + 0.002
    assert 10 < expected.sum() < 200
    np.testing.assert_array_equal(visible(there, back), expected)


def test_pair_error_is_the_mean_over_visible_pixels_only() -> None:
    t, s = np.full((4, 4, 3), 100, np.uint8), np.full((4, 4, 3), 151, np.uint8)
    still, shown = np.zeros((4, 4, 2), np.float32), np.zeros((4, 4), bool)
    assert pair_error(t, s, still, shown) == 0.0
    shown[:2] = True
    t[2:] = 255
    assert pair_error(t, s, still, shown) == pytest.approx(51 / 255)


def test_warping_errors_are_equation_11() -> None:
    """Against a plain computation: E_pair to the previous and to the first frame, for the clip itself and one of the same motion."""
    frames, flow = moving(4, 2), DenseFlow()
    other = 255 - frames
    other[2] = np.minimum(other[2].astype(int) + 20, 255).astype(np.uint8)

    def pair(clip: np.ndarray, t: int, s: int) -> float:
        there, back = flow(frames[t], frames[s]), flow(frames[s], frames[t])
        mask = visible(there, back)
        apart = np.abs(clip[t] / 255.0 - warp(clip[s].astype(np.float32) / 255.0, there))
        return float((apart * mask[..., None]).sum() / (3 * mask.sum()))

    for found, clip in zip(warping_errors(frames, other, flow), (frames, other), strict=True):
        expected = [pair(clip, t, t - 1) + pair(clip, t, 0) for t in (1, 2, 3)]
        assert found.total == pytest.approx(np.mean(expected), rel=1e-4)
        assert found.long_term == pytest.approx(np.mean([pair(clip, t, 0) for t in (1, 2, 3)]), rel=1e-4)


def test_warping_error_of_a_moving_texture_is_small_and_of_flicker_is_not() -> None:
    frames, flow = moving(5), DenseFlow()
    steady = warping_errors(frames, frames, flow)[0]
    assert steady.total < 0.005 and 0.8 < steady.visible_short_term <= 1.0
    bright = np.array([0, 25, 0, 25, 0])[:, None, None, None]
    flickering = np.clip(frames.astype(int) + bright, 0, 255).astype(np.uint8)
    assert warping_errors(flickering, flickering, flow)[0].total > 5 * steady.total
    by_original = warping_errors(frames, flickering, flow)[1]
    assert by_original.short_term == pytest.approx(25 / 255, rel=0.1)
    assert by_original.long_term == pytest.approx(0.5 * 25 / 255, rel=0.15)


def test_warping_error_does_not_count_hidden_pixels() -> None:
    """A square hides and uncovers the texture behind it as it moves; what it uncovers is changed wildly, and nobody minds."""
    back, square = texture(1)[:SIZE_PX, :SIZE_PX], texture(2)[:24, :24]
    frames = np.stack([back, back])
    for k, x in enumerate((16, 24)):
        frames[k, 20:44, x : x + 24] = square
    changed = frames.copy()
    changed[1, 20:44, 16:23] = 255 - changed[1, 20:44, 16:23]
    flow = DenseFlow()
    plain, hidden = warping_errors(frames, changed, flow)
    raw = np.abs(changed[1] / 255.0 - frames[1] / 255.0).mean()
    assert hidden.short_term - plain.short_term < 0.25 * raw
    assert plain.visible_short_term < 0.97


def test_warping_errors_need_two_frames() -> None:
    with pytest.raises(ValueError, match="two frames"):
        warping_errors(moving(1), moving(1), DenseFlow())
