"""The multiresolution hash grid, plain torch: the reference that every fast encoder is held to.

Coordinates are 0...1 along each axis (clamped). Output order: level 0 feature 0, level 0 feature 1, level 1 feature 0, …
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from renderer.field.config import GridConfig

HASH_PRIMES = (1, 2654435761, 805459861)
"""Instant-NGP, equation 4."""


def encode_reference(x: Float[Tensor, "n dims"], table: Float[Tensor, "rows 2"], grid: GridConfig) -> Float[Tensor, "n features"]:
    """Interpolate every level at `x`; differentiable in both arguments."""
    x = x.clamp(0.0, 1.0)
    outputs = []
    for level in grid.levels():
        position = x * level.scale
        cell = position.detach().floor()
        fraction = position - cell
        cell = cell.to(torch.int64)
        value = table.new_zeros(len(x), grid.n_features)
        for corner in range(1 << grid.n_dims):
            bits = [(corner >> d) & 1 for d in range(grid.n_dims)]
            weight = table.new_ones(len(x))
            for d, bit in enumerate(bits):
                weight = weight * (fraction[:, d] if bit else 1.0 - fraction[:, d])
            vertex = [cell[:, d] + bit for d, bit in enumerate(bits)]
            if level.hashed:
                row = vertex[0]
                for d in range(1, grid.n_dims):
                    row = row ^ ((vertex[d] * HASH_PRIMES[d]) & 0xFFFFFFFF)
                row = row & (level.n_rows - 1)
            else:
                row = vertex[grid.n_dims - 1]
                for d in range(grid.n_dims - 2, -1, -1):
                    row = vertex[d] + level.resolution * row
            value = value + weight[:, None] * table[level.offset + row]
        outputs.append(value)
    return torch.cat(outputs, dim=1)
