from __future__ import annotations

import numpy as np
import pytest

from editing.style_diffusion.pictures import LEAST_WINDOW, as_input, as_pictures, cut
from editing.style_diffusion.renders import StyledRenders
from editing.style_diffusion.styles import STYLES

torch = pytest.importorskip("torch")


def test_cut_keeps_the_order_and_cuts_windows_of_the_same_pictures() -> None:
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None] * 4, (32, 32, 3))
    pictures = np.stack([np.stack([ramp + 20 * style + frame for frame in range(3)]) for style in range(len(STYLES))])
    found = cut(StyledRenders(pictures.astype(np.uint8), np.zeros(3, np.float32), np.zeros(3, np.float32)), 16, seed=0)
    n = 3 * len(STYLES)
    assert found.n_whole == n and len(found) == 2 * n and found.rgb.shape[1:] == (16, 16, 3)
    for k in range(len(found)):
        base = found.rgb[k].astype(int) - 20 * found.style[k] - found.frame[k]
        assert base.min() >= 0 and base.max() <= 124
        span = base.max() - base.min()
        assert span > 110 if k < n else span > 110 * LEAST_WINDOW - 12


def test_pictures_go_to_the_autoencoders_range_and_back() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    tensor = as_input(pictures)
    assert tensor.shape == (2, 3, 8, 8) and tensor.min() >= -1.0 and tensor.max() <= 1.0
    np.testing.assert_array_equal(as_pictures(tensor), pictures)
    assert as_pictures(torch.full((1, 3, 2, 2), 1.7)).max() == 255
