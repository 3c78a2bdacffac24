"""The native refiner against the torch reference, in values; needs the native library (`pip install .`)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from renderer.errors import BackendUnavailable
from renderer.native_library import available_isas
from renderer.refiner.native_refiner import NativeRefiner
from renderer.refiner.window import RefineWindow
from tests.renderer.refiner.random_refiner import random_network

LARGEST_ERROR = {"float": 2e-6, "bf16": 6e-3}
"""Of residuals of about 1."""
SIZES = ((2, 2), (3, 7), (9, 4), (31, 46), (53, 40), (76, 52))
"""Rows of 1 to 38 places: every block size of every kernel."""


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((60, 84, 3), np.float32)


def window(width: int, height: int, x: int = 4, y: int = 6) -> RefineWindow:
    return RefineWindow(x, y, np.linspace(0.2, 1.0, width, dtype=np.float32), np.linspace(1.0, 0.1, height, dtype=np.float32))


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize(("features", "growth"), [(32, 16), (16, 16), (48, 32)])
def test_native_refiner_matches_torch(isa: str, features: int, growth: int) -> None:
    network = random_network(features, growth)
    native = NativeRefiner(network.to_refiner(), isa)
    for size in SIZES:
        found = picture()
        with torch.inference_mode():
            expected = network.refine_in(torch.from_numpy(picture()), 0.7, window(*size)).numpy()
        assert native.refine(found, 0.7, window(*size)) > 0.0
        assert np.abs(expected - found).max() <= LARGEST_ERROR["bf16" if isa.endswith("bf16") else "float"]
        assert np.abs(expected - picture()).max() > 0.03


@pytest.mark.parametrize("isa", available_isas())
def test_native_refiner_is_linear_in_the_weight(isa: str) -> None:
    native = NativeRefiner(random_network().to_refiner(), isa)
    added = []
    for weight in (0.25, 0.5, 1.0):
        found = picture()
        native.refine(found, weight, window(30, 20))
        added.append(found - picture())
    np.testing.assert_allclose(2.0 * added[0], added[1], atol=1e-6)
    np.testing.assert_allclose(2.0 * added[1], added[2], atol=1e-6)


def test_native_refiner_touches_nothing_at_weight_0_or_outside_of_the_window() -> None:
    native = NativeRefiner(random_network().to_refiner())
    found = picture()
    assert native.refine(found, 0.0, window(30, 20)) == 0.0
    assert (found == picture()).all()
    native.refine(found, 0.9, window(30, 20))
    found[6:26, 4:34] = picture()[6:26, 4:34]
    assert (found == picture()).all()


def test_native_refiner_rounds_as_quantise_does() -> None:
    from renderer.images import quantise

    found, rgb = picture(), np.zeros((60, 84, 3), np.uint8)
    whole = RefineWindow(0, 0, np.ones(84, np.float32), np.ones(60, np.float32))
    NativeRefiner(random_network().to_refiner()).refine(found, 0.9, whole, rgb)
    assert (rgb == quantise(found)).all()


def test_native_refiner_remembers_nothing_of_other_windows() -> None:
    network = random_network()
    native, found, expected = NativeRefiner(network.to_refiner()), picture(), picture()
    for size in ((50, 40), (20, 30), (50, 38)):
        native.refine(picture(3), 1.0, window(*size))
    native.refine(found, 0.7, window(20, 30))
    NativeRefiner(network.to_refiner()).refine(expected, 0.7, window(20, 30))
    assert (found == expected).all()


@pytest.mark.parametrize("threads", [2, 5])
def test_native_refiner_threads_change_nothing(threads: int) -> None:
    refiner, found, expected = random_network().to_refiner(), picture(), picture()
    NativeRefiner(refiner, threads=threads).refine(found, 0.7, window(40, 7))
    NativeRefiner(refiner).refine(expected, 0.7, window(40, 7))
    assert (found == expected).all()


def test_native_refiner_rejects_what_it_cannot_do() -> None:
    native = NativeRefiner(random_network().to_refiner())
    for wrong in (window(30, 20, x=3), window(30, 20, x=60), window(30, 20, y=-2), window(0, 20)):
        with pytest.raises(ValueError, match="a window of"):
            native.refine(picture(), 0.5, wrong)
    with pytest.raises(ValueError, match="float64"):
        native.refine(picture().astype(np.float64), 0.5, window(30, 20))
    with pytest.raises(ValueError, match="contiguous float32"):
        native.refine(picture()[:, ::2], 0.5, window(30, 20))
    with pytest.raises(ValueError, match="uint8"):
        native.refine(picture(), 0.5, window(30, 20), picture())
    with pytest.raises(BackendUnavailable, match="isa mmx is not available here"):
        NativeRefiner(random_network().to_refiner(), "mmx")
    native.close()
    native.close()
    with pytest.raises(ValueError, match="closed"):
        native.refine(picture(), 0.5, window(30, 20))
