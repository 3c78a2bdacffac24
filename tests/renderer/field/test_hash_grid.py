"""The plain torch hash grid: its values from the definition (Instant-NGP, section 3), its gradients by finite differences."""

from __future__ import annotations

import pytest
import torch

from renderer.field.config import GridConfig
from renderer.field.hash_grid import encode_reference

DENSE = GridConfig(3, n_levels=1, base_resolution=4, finest_resolution=4, log2_hashmap_size=12)
HASHED = GridConfig(3, n_levels=1, base_resolution=64, finest_resolution=64, log2_hashmap_size=8)


def table_of(grid: GridConfig, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(grid.n_rows, 2, generator=torch.Generator().manual_seed(1), dtype=dtype) - 0.5


def test_encode_reference_reads_the_row_of_a_dense_vertex() -> None:
    level, table = DENSE.levels()[0], table_of(DENSE)
    cell = torch.tensor([[0, 0, 0], [1, 2, 3], [4, 4, 4]])
    row = cell[:, 0] + level.resolution * (cell[:, 1] + level.resolution * cell[:, 2])
    torch.testing.assert_close(encode_reference(cell / level.scale, table, DENSE), table[row])


def test_encode_reference_reads_the_row_of_a_hashed_vertex() -> None:
    level, table = HASHED.levels()[0], table_of(HASHED)
    assert level.hashed
    x, y, z = 37, 5, 60
    row = (x ^ (y * 2654435761) % 2**32 ^ (z * 805459861) % 2**32) % level.n_rows
    value = encode_reference(torch.tensor([[x, y, z]]) / level.scale, table, HASHED)
    torch.testing.assert_close(value[0], table[level.offset + row])


def test_encode_reference_averages_the_corners_in_the_middle_of_a_cell() -> None:
    level, table = DENSE.levels()[0], table_of(DENSE)
    corners = [a + level.resolution * (b + level.resolution * c) for a in (1, 2) for b in (0, 1) for c in (2, 3)]
    value = encode_reference(torch.tensor([[1.5, 0.5, 2.5]]) / level.scale, table, DENSE)
    torch.testing.assert_close(value[0], table[corners].mean(0))


def test_encode_reference_puts_levels_side_by_side() -> None:
    grid = GridConfig(2, n_levels=3, finest_resolution=64, log2_hashmap_size=8)
    table = torch.zeros(grid.n_rows, 2)
    for i, level in enumerate(grid.levels()):
        table[level.offset : level.offset + level.n_rows] = torch.tensor([2.0 * i, 2.0 * i + 1.0])
    torch.testing.assert_close(encode_reference(torch.rand(5, 2), table, grid), torch.arange(6.0).expand(5, 6))


def test_encode_reference_clamps_coordinates() -> None:
    table = table_of(DENSE)
    outside, edge = torch.tensor([[-0.3, 0.4, 1.7]]), torch.tensor([[0.0, 0.4, 1.0]])
    torch.testing.assert_close(encode_reference(outside, table, DENSE), encode_reference(edge, table, DENSE))


@pytest.mark.parametrize("n_dims", [2, 3])
def test_encode_reference_has_the_gradients_of_finite_differences(n_dims: int) -> None:
    grid = GridConfig(n_dims, n_levels=2, base_resolution=2, finest_resolution=9, log2_hashmap_size=8)
    x = torch.rand(4, n_dims, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 0.9 + 0.03
    table = table_of(grid, torch.float64)
    assert torch.autograd.gradcheck(lambda x, t: encode_reference(x, t, grid), (x.requires_grad_(), table.requires_grad_()), fast_mode=True)
