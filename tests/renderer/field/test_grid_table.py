"""The lazy Adam of a grid's table: the torch step against the native one and against torch's own Adam."""

from __future__ import annotations

import pytest
import torch

from renderer.errors import BadInput
from renderer.field import native_ops
from renderer.field.grid_table import GridTable
from tests.pretended_device import DEVICE, PretendedDevice
from tests.renderer.field.test_native_ops import assert_near, random


def sparse_gradient(n_rows: int, seed: int) -> torch.Tensor:
    """Of a third of the rows; of some, one feature alone."""
    return (random(n_rows, 2, seed=seed) - 0.5) * (random(n_rows, 1, seed=100 + seed) < 0.3) * (random(n_rows, 2, seed=200 + seed) < 0.8)


def test_grid_table_matches_the_native_one() -> None:
    ours, theirs = (kind(random(1003, 2).requires_grad_()) for kind in (GridTable, native_ops.GridTable))
    for step in range(6):
        for table in (ours, theirs):
            table.grad.copy_(sparse_gradient(1003, step))
            table.adam_step(1e-2, (0.9, 0.99), 1e-15)
            table.update_average(0.9)
            assert not table.grad.any()
    assert ours.n_steps == theirs.n_steps == 6
    for name in ("table", "first_moment", "second_moment", "average"):
        assert_near(getattr(ours, name).detach(), getattr(theirs, name).detach())


def test_grid_table_steps_like_adam_where_every_row_has_a_gradient() -> None:
    ours, theirs = random(103, 2).requires_grad_(), random(103, 2).requires_grad_()
    table, adam = GridTable(ours), torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99), eps=1e-15)
    for step in range(4):
        gradient = random(103, 2, seed=step) - 0.5
        table.grad.copy_(gradient)
        theirs.grad = gradient.clone()
        table.adam_step(1e-2)
        adam.step()
        assert_near(ours.detach(), theirs.detach())


def test_grid_table_leaves_rows_without_gradient_alone() -> None:
    parameter = random(100, 2).requires_grad_()
    table, before = GridTable(parameter), parameter.detach().clone()
    for row in (7, 8):
        table.grad[row, 0] = 1.0
        table.adam_step(0.5)
    assert (parameter.detach() != before).any(1).nonzero().flatten().tolist() == [7, 8]
    assert parameter.detach()[7, 0].item() == pytest.approx(before[7, 0].item() - 0.5, abs=1e-5)


@pytest.mark.parametrize("kinds", [(GridTable, GridTable), (GridTable, native_ops.GridTable), (native_ops.GridTable, GridTable)])
def test_grid_table_goes_on_from_the_state_of_another(kinds: tuple[type[GridTable], type[GridTable]]) -> None:
    def train(table: GridTable, steps: range) -> None:
        for step in steps:
            table.grad.copy_(sparse_gradient(64, step))
            table.adam_step(1e-2)
            table.update_average(0.9)

    whole = kinds[0](random(64, 2).requires_grad_())
    train(whole, range(6))
    first = kinds[0](random(64, 2).requires_grad_())
    train(first, range(3))
    second = kinds[1](first.table.detach().clone().requires_grad_())
    second.load_state_dict(first.state_dict())
    train(second, range(3, 6))
    assert_near(second.table.detach(), whole.table.detach())
    assert second.average is not None and whole.average is not None
    assert_near(second.average, whole.average)


def test_grid_table_lives_on_its_tables_device() -> None:
    here = GridTable(random(64, 2).requires_grad_())
    with PretendedDevice():
        there = GridTable(random(64, 2).to(DEVICE).requires_grad_())
        for step in range(3):
            for table in (here, there):
                table.grad.copy_(sparse_gradient(64, step))
                table.adam_step(1e-2)
                table.update_average(0.9)
            there.load_state_dict(here.state_dict())  # as from a checkpoint, which lies on the CPU
        assert torch.equal(here.table.detach(), there.table.detach().cpu())
        assert there.average is not None and there.average.device.type == DEVICE.type


def test_grid_table_rejects_other_tables() -> None:
    for wrong in (random(4, 3).requires_grad_(), random(4, 2), random(2, 4).requires_grad_().t()):
        with pytest.raises(BadInput, match="contiguous leaf"):
            GridTable(wrong)
    with pytest.raises(BadInput, match="float64"):
        GridTable(random(4, 2).double().requires_grad_())
