from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from renderer.refiner.config import REACH_PX, RefinerConfig
from renderer.refiner.torch_refiner import TorchRefiner
from renderer.refiner.window import RefineWindow
from tests.renderer.refiner.random_refiner import random_network


def picture(height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(1))


def test_network_begins_as_the_identity() -> None:
    assert torch.equal(TorchRefiner(RefinerConfig(), seed=3)(picture()), picture())


def test_network_is_deterministic_in_its_seed() -> None:
    one, same, other = (TorchRefiner(RefinerConfig(), seed).conv0.weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_residual_follows_the_formula() -> None:
    """The block written out with its own names, on pixels that are taken apart by hand."""
    network, image = random_network(), picture()
    x = image[0] - 0.5
    planes = [x[dy::2, dx::2, c] for c in range(3) for dy in (0, 1) for dx in (0, 1)]
    state = network.state_dict()

    def convolve(i: int, *inputs: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(torch.cat(inputs, 1), state[f"conv{i}.weight"], state[f"conv{i}.bias"], padding=1)

    def leaky(values: torch.Tensor) -> torch.Tensor:
        return torch.where(values > 0, values, 0.2 * values)

    x0 = convolve(0, torch.stack(planes)[None])
    x1 = leaky(convolve(1, x0))
    x2 = leaky(convolve(2, x0, x1))
    x3 = leaky(convolve(3, x0, x1, x2))
    x4 = leaky(convolve(4, x0, x1, x2, x3))
    r = convolve(6, x0 + 0.2 * convolve(5, x0, x1, x2, x3, x4))
    found = network.residual(image)[0]
    for c in range(3):
        for dy in (0, 1):
            for dx in (0, 1):
                torch.testing.assert_close(found[dy::2, dx::2, c], r[0, 4 * c + 2 * dy + dx])


def test_refine_is_equation_5() -> None:
    network, image = random_network(), picture()
    for weight in (0.0, 0.4, 1.0):
        torch.testing.assert_close(network.refine(image, weight), weight * network(image) + (1 - weight) * image)
    assert network.refine(image, 0.0) is image


def test_residual_takes_odd_sides() -> None:
    network, image = random_network(), picture(31, 45)
    assert network.residual(image).shape == image.shape
    even = torch.cat([image, image[:, :, -1:]], 2)
    even = torch.cat([even, even[:, -1:]], 1)
    torch.testing.assert_close(network.residual(image), network.residual(even)[:, :31, :45])


def test_a_pixel_reaches_no_farther_than_stated() -> None:
    network, image = random_network(), picture(64, 64)
    changed = image.clone()
    changed[0, 32, 32] += 0.5
    rows = (network.residual(changed) != network.residual(image)).any(3)[0].nonzero()
    assert (rows - 32).abs().max() <= REACH_PX


def test_refine_in_the_whole_picture_equals_refine() -> None:
    network, image = random_network(), picture()
    window = RefineWindow(0, 0, np.ones(48, np.float32), np.ones(32, np.float32))
    torch.testing.assert_close(network.refine_in(image[0], 0.7, window), network.refine(image, 0.7)[0])


@pytest.mark.parametrize("weight", [0.0, 0.6])
def test_refine_in_a_window_leaves_the_rest(weight: float) -> None:
    network, image = random_network(), picture()[0]
    window = RefineWindow(8, 4, np.linspace(0, 1, 20, dtype=np.float32), np.ones(12, np.float32))
    refined = network.refine_in(image, weight, window)
    assert (refined != image).any() == (weight > 0)
    refined[4:16, 8:28] = image[4:16, 8:28]
    assert torch.equal(refined, image)


def test_refiner_round_trip() -> None:
    network, image = random_network(), picture()
    assert torch.equal(TorchRefiner.from_refiner(network.to_refiner())(image), network(image))
