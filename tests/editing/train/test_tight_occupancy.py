"""What an avatar's occupancy grid keeps of a field that is written down, not trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from editing.dataset import Dataset
from editing.train.clip import TrainingClip
from editing.train.command import field_config_for
from editing.train.engine import NativeEngine
from editing.train.tight_occupancy import LEAST_OPACITIES, largest_body, tight_occupancy
from renderer.audio.encoder import AudioEncoder
from renderer.field.torch_field import HeadSamples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from renderer.field.torch_field import HeadBiases, TorchField

BODY_RADIUS = 0.35
CRUMB_AT, CRUMB_RADIUS = (0.0, 0.55, 0.0), 0.04
LUMP_AT, LUMP_RADIUS = (0.0, 0.4, 0.0), 0.1
"""Half inside the body."""
SOLID = 400.0
"""Density that stops nearly all light in one step."""
THIN = 3.0
"""Of mist: 0.06 of the light in one step."""

Density = Callable[[torch.Tensor], torch.Tensor]


def away(local: torch.Tensor, point: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> torch.Tensor:
    return (local - local.new_tensor(point)).norm(dim=1)


class WrittenEngine(NativeEngine):
    """The native engine around a head whose density is a function of the place in it."""

    def __init__(self, density: Density, centre: tuple[float, float, float]) -> None:
        super().__init__()
        self._density, self._centre = density, centre

    def head(self, field: TorchField) -> Callable[[torch.Tensor, Sequence[int], HeadBiases], HeadSamples]:
        def written(positions: torch.Tensor, ends: Sequence[int], biases: HeadBiases) -> HeadSamples:
            sigmas = self._density(positions - positions.new_tensor(self._centre))
            return HeadSamples(sigmas, torch.full_like(positions, 0.5), torch.zeros_like(positions[:, :2]))

        return written


@pytest.fixture(scope="module")
def clip(tiny_take: Path) -> TrainingClip:
    dataset, encoder = Dataset.open(tiny_take), AudioEncoder.bundled()
    return TrainingClip(dataset, encoder, field_config_for(dataset, encoder.spec, 160.0, 64))


def kept(clip: TrainingClip, density: Density, least_opacities: tuple[float, ...] = LEAST_OPACITIES) -> tuple[np.ndarray, torch.Tensor]:
    """The tight grid, and where each of its cells lies from the head's centre, [z, y, x, 3]."""
    config = field_config_for(clip.dataset, AudioEncoder.bundled().spec, 160.0, 64)
    engine = WrittenEngine(density, config.head_centre)
    n = config.occupancy_resolution
    generous, rng = np.ones((n, n, n), bool), np.random.default_rng(0)
    tight = tight_occupancy(engine.field(config), clip, engine, generous, rng, 8, least_opacities=least_opacities)
    at = ((np.arange(n) + 0.5) / n * 2.0 - 1.0) * config.head_half_extent
    z, y, x = np.meshgrid(at, at, at, indexing="ij")
    return tight, torch.from_numpy(np.stack([x, y, z], -1)).reshape(-1, 3)


def body(local: torch.Tensor) -> torch.Tensor:
    return SOLID * (away(local) < BODY_RADIUS)


def test_what_floats_beside_the_head_is_dropped(clip: TrainingClip) -> None:
    def crumb(local: torch.Tensor) -> torch.Tensor:
        return SOLID * (away(local, CRUMB_AT) < CRUMB_RADIUS)

    alone, local = kept(clip, crumb)
    near = (away(local, CRUMB_AT) < 2 * CRUMB_RADIUS).numpy().reshape(alone.shape)
    assert alone[near].any(), "the crumb is in view, so it is kept where it is all there is"
    both, _ = kept(clip, lambda local: body(local) + crumb(local))
    assert not both[near].any()
    expected, _ = kept(clip, body)
    assert expected.sum() > 100, "the body itself was taken for crumbs"
    np.testing.assert_array_equal(both[~near], expected[~near])


def test_mist_is_dropped_but_for_what_lies_on_the_head(clip: TrainingClip) -> None:
    def misty(local: torch.Tensor) -> torch.Tensor:
        return torch.where(away(local) < BODY_RADIUS, SOLID, torch.where(away(local, LUMP_AT) < LUMP_RADIUS, THIN, 0.0))

    tight, local = kept(clip, misty)
    everything, _ = kept(clip, misty, ())
    above = ((away(local) > BODY_RADIUS + 0.06) & (away(local, LUMP_AT) < LUMP_RADIUS)).numpy().reshape(tight.shape)
    assert everything[above].any()
    assert not tight[above].any()
    assert tight.sum() > 100


def test_a_field_that_is_all_mist_keeps_it(clip: TrainingClip) -> None:
    """After a short training: there is nothing solid that could be seen in its place."""

    def mist(local: torch.Tensor) -> torch.Tensor:
        return torch.where(away(local) < BODY_RADIUS, THIN, 0.0)

    np.testing.assert_array_equal(kept(clip, mist)[0], kept(clip, mist, ())[0])


def test_cells_that_touch_at_a_corner_are_one_body() -> None:
    cells = np.zeros((6, 6, 6), bool)
    cells[0, 0, 0] = cells[1, 1, 1] = cells[2, 2, 2] = True
    cells[5, 5, 4:] = True
    found = largest_body(cells)
    assert found.sum() == 3 and not found[5].any()
    np.testing.assert_array_equal(largest_body(np.zeros((4, 4, 4), bool)), np.zeros((4, 4, 4), bool))
    apart = np.zeros((9, 3, 3), bool)
    apart[[0, 3, 8], 1, 1] = True
    assert largest_body(apart).sum() == 1
    np.testing.assert_array_equal(np.flatnonzero(largest_body(apart, 1)[:, 1, 1]), [0, 3])
