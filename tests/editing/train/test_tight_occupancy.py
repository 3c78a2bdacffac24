"""What an avatar's occupancy grid keeps of a field that is written down, not trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from editing.dataset import Dataset
from editing.train.clip import TrainingClip
from editing.train.command import field_config_for
from editing.train.engine import NativeEngine
from editing.train.tight_occupancy import largest_body, tight_occupancy
from renderer.audio.encoder import AudioEncoder
from renderer.field.torch_field import HeadSamples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from renderer.field.torch_field import HeadBiases, TorchField

BODY_RADIUS, CRUMB_AT, CRUMB_RADIUS = 0.35, 0.55, 0.05
SOLID = 400.0
"""Density that stops nearly all light in one step."""
THIN = 3.0
"""Of mist: 0.06 of the light in one step."""


class WrittenEngine(NativeEngine):
    """The native engine around a head whose density is a function of the distance to two points."""

    def __init__(self, density: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], centre: tuple[float, float, float]) -> None:
        super().__init__()
        self._density, self._centre = density, centre

    def head(self, field: TorchField) -> Callable[[torch.Tensor, Sequence[int], HeadBiases], HeadSamples]:
        def written(positions: torch.Tensor, ends: Sequence[int], biases: HeadBiases) -> HeadSamples:
            local = positions - positions.new_tensor(self._centre)
            sigmas = self._density(local.norm(dim=1), (local - local.new_tensor((0.0, CRUMB_AT, 0.0))).norm(dim=1))
            return HeadSamples(sigmas, torch.full_like(positions, 0.5), torch.zeros_like(positions[:, :2]))

        return written


@pytest.fixture(scope="module")
def clip(tiny_take: Path) -> TrainingClip:
    dataset, encoder = Dataset.open(tiny_take), AudioEncoder.bundled()
    return TrainingClip(dataset, encoder, field_config_for(dataset, encoder.spec, 160.0, 64))


def kept(clip: TrainingClip, density: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tight grid, and each cell's distance from the head's centre and from the crumb's."""
    config = field_config_for(clip.dataset, AudioEncoder.bundled().spec, 160.0, 64)
    engine = WrittenEngine(density, config.head_centre)
    field = engine.field(config)
    n = config.occupancy_resolution
    tight = tight_occupancy(field, clip, engine, np.ones((n, n, n), bool), np.random.default_rng(0), 4)
    at = ((np.arange(n) + 0.5) / n * 2.0 - 1.0) * config.head_half_extent
    z, y, x = np.meshgrid(at, at, at, indexing="ij")
    return tight, np.sqrt(x**2 + y**2 + z**2), np.sqrt(x**2 + (y - CRUMB_AT) ** 2 + z**2)


def test_what_floats_beside_the_head_is_dropped(clip: TrainingClip) -> None:
    def body(head: torch.Tensor, crumb: torch.Tensor) -> torch.Tensor:
        return SOLID * (head < BODY_RADIUS)

    def body_and_crumb(head: torch.Tensor, crumb: torch.Tensor) -> torch.Tensor:
        return SOLID * ((head < BODY_RADIUS) | (crumb < CRUMB_RADIUS))

    def crumb_alone(head: torch.Tensor, crumb: torch.Tensor) -> torch.Tensor:
        return SOLID * (crumb < CRUMB_RADIUS)

    alone, _, from_crumb = kept(clip, crumb_alone)
    assert alone[from_crumb < CRUMB_RADIUS].any(), "the crumb is in view, so it is kept where it is all there is"
    tight, from_head, from_crumb = kept(clip, body_and_crumb)
    assert not tight[from_crumb < 2 * CRUMB_RADIUS].any()
    shell = (from_head < BODY_RADIUS) & (from_head > BODY_RADIUS - 0.03)
    assert tight[shell].any()
    np.testing.assert_array_equal(tight & (from_crumb > 2 * CRUMB_RADIUS), kept(clip, body)[0] & (from_crumb > 2 * CRUMB_RADIUS))


def test_mist_is_dropped_but_for_what_lies_on_the_head(clip: TrainingClip) -> None:
    def misty(head: torch.Tensor, crumb: torch.Tensor) -> torch.Tensor:
        return torch.where(head < BODY_RADIUS, SOLID, torch.where(head < 1.6 * BODY_RADIUS, THIN, 0.0))

    tight, from_head, _ = kept(clip, misty)
    assert tight[(from_head > BODY_RADIUS) & (from_head < BODY_RADIUS + 0.02)].any()
    assert not tight[(from_head > BODY_RADIUS + 0.08) & (from_head < 1.6 * BODY_RADIUS)].any()


def test_cells_that_touch_at_a_corner_are_one_body() -> None:
    cells = np.zeros((6, 6, 6), bool)
    cells[0, 0, 0] = cells[1, 1, 1] = cells[2, 2, 2] = True
    cells[5, 5, 4:] = True
    found = largest_body(cells)
    assert found.sum() == 3 and not found[5].any()
    np.testing.assert_array_equal(largest_body(np.zeros((4, 4, 4), bool)), np.zeros((4, 4, 4), bool))
