"""The native training operators against their torch twins, in values and gradients, on every instruction set of this machine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

from renderer.errors import BackendUnavailable, BadInput
from renderer.field import native_ops
from renderer.field.config import FieldConfig, GridConfig
from renderer.field.hash_grid import encode_reference
from renderer.field.rays import PackedSamples, composite_reference, distortion_reference, march_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

GRIDS = {
    "mixed": GridConfig(3, n_levels=5, finest_resolution=200, log2_hashmap_size=10),
    "hashed": GridConfig(3, n_levels=2, base_resolution=64, finest_resolution=100, log2_hashmap_size=8),
    "dense": GridConfig(2, n_levels=3, finest_resolution=40, log2_hashmap_size=12),
    "plane": GridConfig(2, n_levels=16, log2_hashmap_size=10),
}
STEP = 0.034


@pytest.fixture(params=native_ops.available_instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    best = native_ops.instruction_set()
    native_ops.select_instruction_set(request.param)
    yield request.param
    native_ops.select_instruction_set(best)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Two for what is tested; one for torch, whose own threads would wait busily for tensors this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    native_ops.set_threads(2)
    yield
    native_ops.set_threads(1)
    torch.set_num_threads(before)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def table_of(grid: GridConfig) -> torch.Tensor:
    return (random(grid.n_rows, 2, seed=5) - 0.5).requires_grad_()


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 2e-6) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    scale = theirs.abs().max().item() if theirs.numel() else 1.0
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=tolerance * max(scale, 1e-12))


# --- hash grid -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 37, 1500])
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.usefixtures("instruction_set")
def test_encode_matches_torch(name: str, n: int) -> None:
    grid = GRIDS[name]
    table = table_of(grid)
    x = (random(n, grid.n_dims) * 1.3 - 0.15).requires_grad_()  # some lie outside 0...1
    upstream = random(n, grid.n_outputs, seed=1) - 0.5
    ours, theirs = native_ops.encode(x, table, grid), encode_reference(x, table, grid)
    assert_near(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours, (x, table), upstream), torch.autograd.grad(theirs, (x, table), upstream), strict=True):
        assert_near(a, b)


@pytest.mark.usefixtures("instruction_set")
def test_encode_holds_on_cell_edges_and_corners_of_the_cube() -> None:
    grid = GRIDS["mixed"]
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.25, 1.0])] * 3)
    assert_near(native_ops.encode(corners, table_of(grid), grid), encode_reference(corners, table_of(grid), grid))


def test_encode_does_not_depend_on_threads() -> None:
    grid, x = GRIDS["mixed"], random(5000, 3)
    gradients = []
    for n_threads in (1, 3):
        native_ops.set_threads(n_threads)
        table = table_of(grid)
        native_ops.encode(x, table, grid).square().sum().backward()
        gradients.append(table.grad)
    assert torch.equal(gradients[0], gradients[1])


def test_encode_takes_a_coordinate_that_is_not_a_number() -> None:
    grid = GRIDS["dense"]
    value = native_ops.encode(torch.tensor([[float("nan"), 0.5]]), table_of(grid), grid)
    assert torch.isfinite(value).all()


def test_encode_rejects_what_does_not_fit() -> None:
    grid, table = GRIDS["dense"], table_of(GRIDS["dense"])
    with pytest.raises(BadInput, match="do not fit"):
        native_ops.encode(random(4, 3), table, grid)
    with pytest.raises(BadInput, match="do not fit"):
        native_ops.encode(random(4, 2), table[:-1], grid)
    with pytest.raises(BadInput, match="float32"):
        native_ops.encode(random(4, 2).double(), table, grid)


# --- optimiser -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("instruction_set")
def test_grid_table_steps_like_adam_where_every_row_has_a_gradient() -> None:
    ours, theirs = random(1003, 2).requires_grad_(), random(1003, 2).requires_grad_()
    table, adam = native_ops.GridTable(ours), torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99), eps=1e-15)
    for step in range(4):
        gradient = random(1003, 2, seed=step) - 0.5
        table.grad.copy_(gradient)
        theirs.grad = gradient.clone()
        table.adam_step(1e-2)
        adam.step()
        assert_near(ours.detach(), theirs.detach())
        assert not table.grad.any()


def test_grid_table_leaves_rows_without_gradient_alone() -> None:
    parameter = random(100, 2).requires_grad_()
    table, before = native_ops.GridTable(parameter), parameter.detach().clone()
    table.grad[7, 0] = 1.0
    table.adam_step(0.5)
    table.grad[8] = 1.0
    table.adam_step(0.5)
    moved = (parameter.detach() != before).any(1).nonzero().flatten()
    assert moved.tolist() == [7, 8]
    assert parameter.detach()[7, 0].item() == pytest.approx(before[7, 0].item() - 0.5, abs=1e-5)


def test_grid_table_collects_the_gradient_in_place() -> None:
    grid = GRIDS["mixed"]
    x, dense, kept = random(300, 3), table_of(grid), table_of(grid)
    table = native_ops.GridTable(kept)
    buffer = table.grad.data_ptr()
    for _ in range(2):
        native_ops.encode(x, dense, grid).square().sum().backward()
        native_ops.encode(x, kept, grid).square().sum().backward()
    assert table.grad.data_ptr() == buffer
    assert_near(table.grad, dense.grad)


def test_grid_table_averages() -> None:
    parameter = torch.ones(40, 2, requires_grad=True)
    table = native_ops.GridTable(parameter)
    table.update_average(0.9)
    with torch.no_grad():
        parameter.fill_(2.0)
    table.update_average(0.9)
    torch.testing.assert_close(table.average, torch.full((40, 2), 1.1))


def test_grid_table_resumes_from_its_state() -> None:
    def train(table: native_ops.GridTable, steps: range) -> None:
        for step in steps:
            table.grad.copy_(random(64, 2, seed=step) - 0.5)
            table.adam_step(1e-2)

    whole = native_ops.GridTable(random(64, 2).requires_grad_())
    train(whole, range(6))
    first = native_ops.GridTable(random(64, 2).requires_grad_())
    train(first, range(3))
    second = native_ops.GridTable(first.table.detach().clone().requires_grad_())
    second.load_state_dict(first.state_dict())
    train(second, range(3, 6))
    assert torch.equal(whole.table, second.table)


def test_grid_table_says_when_its_gradient_was_dropped() -> None:
    parameter = random(16, 2).requires_grad_()
    table = native_ops.GridTable(parameter)
    parameter.grad = None
    with pytest.raises(BadInput, match="zero_grad"):
        table.adam_step(1e-2)


# --- rays ------------------------------------------------------------------------------------------------------------------

CONFIG = FieldConfig(feature_dim=8, occupancy_resolution=64, head_centre=(0.1, -0.2, 0.05))


def some_rays(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """From outside, from inside, along an axis, and past the cube."""
    generator = torch.Generator().manual_seed(3)
    origins = torch.randn(n, 3, generator=generator)
    origins = origins / origins.norm(dim=1, keepdim=True) * (random(n, 1) * 5.0)
    directions = torch.randn(n, 3, generator=generator) - origins
    directions[: n // 8] = torch.tensor([0.0, 0.0, -1.0])
    return origins, directions / directions.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("jittered", [False, True])
@pytest.mark.parametrize("n", [0, 3, 2000])
def test_march_places_the_samples_of_torch(n: int, jittered: bool) -> None:
    rays_o, rays_d = some_rays(n)
    occupancy = random(64, 64, 64) < 0.3
    jitter = random(n, seed=9) - 0.5 if jittered else None
    ours, theirs = native_ops.march(rays_o, rays_d, occupancy, CONFIG, jitter), march_reference(rays_o, rays_d, occupancy, CONFIG, jitter)
    for name, a, b in zip(PackedSamples._fields, ours, theirs, strict=True):
        assert a.dtype == b.dtype, name
        assert torch.equal(a, b), name


def test_march_keeps_the_first_samples_of_a_ray() -> None:
    config = dataclasses.replace(CONFIG, max_samples=5)
    rays_o, rays_d = some_rays(500)
    occupancy = torch.ones(64, 64, 64, dtype=torch.uint8)
    ours, theirs = native_ops.march(rays_o, rays_d, occupancy, config), march_reference(rays_o, rays_d, occupancy.bool(), config)
    assert int(ours.counts.max()) == 5
    assert torch.equal(ours.distances, theirs.distances)


def test_march_rejects_an_occupancy_of_another_size() -> None:
    with pytest.raises(BadInput, match="occupancy"):
        native_ops.march(*some_rays(4), torch.ones(32, 32, 32, dtype=torch.bool), CONFIG)


def packed(counts: list[int]) -> PackedSamples:
    counts_tensor = torch.tensor(counts, dtype=torch.int64)
    indices = torch.repeat_interleave(torch.arange(len(counts)), counts_tensor)
    starts = counts_tensor.cumsum(0) - counts_tensor
    distances = 3.0 + (torch.arange(len(indices)) - starts[indices]) * STEP + random(len(indices), seed=6) * 0.01
    return PackedSamples(torch.zeros(len(indices), 3), distances, indices, starts, counts_tensor)


@pytest.mark.parametrize("counts", [[], [0, 0], [1], [16, 0, 1, 7, 0], [16] * 700])
def test_composite_matches_torch(counts: list[int]) -> None:
    samples = packed(counts)
    n = len(samples.distances)
    sigmas, rgbs = (random(n) * 60.0).requires_grad_(), random(n, 3, seed=1).requires_grad_()
    ours, theirs = (f(sigmas, rgbs, samples, STEP) for f in (native_ops.composite, composite_reference))
    upstream = [random(*t.shape, seed=7 + i) - 0.5 for i, t in enumerate(theirs)]
    for a, b in zip(ours, theirs, strict=True):
        assert_near(a, b, 1e-5)
    gradients = [torch.autograd.grad(outputs, (sigmas, rgbs), upstream) for outputs in (ours, theirs)]
    for a, b in zip(*gradients, strict=True):
        assert_near(a, b, 1e-5)


def test_composite_gradient_holds_behind_an_opaque_sample() -> None:
    samples = packed([4])
    sigmas = torch.tensor([1.0, 1e5, 3.0, 2.0], requires_grad=True)
    colours, opacity, _ = native_ops.composite(sigmas, random(4, 3), samples, STEP)
    (gradient,) = torch.autograd.grad(colours.sum() + opacity.sum(), sigmas)
    assert torch.isfinite(gradient).all()
    assert gradient[2:].abs().max() == 0.0


@pytest.mark.parametrize("counts", [[0], [1, 16, 0, 5]])
def test_distortion_matches_torch(counts: list[int]) -> None:
    samples = packed(counts)
    weights = random(len(samples.distances)).requires_grad_()
    ours = native_ops.distortion(weights, samples, STEP)
    exact = weights.detach().double().requires_grad_()
    theirs = distortion_reference(exact, samples, STEP)
    assert_near(ours, theirs.float(), 1e-5)
    upstream = random(len(counts), seed=4)
    gradients = torch.autograd.grad(ours, weights, upstream), torch.autograd.grad(theirs, exact, upstream.double())
    assert_near(gradients[0][0], gradients[1][0].float(), 1e-5)


def test_select_instruction_set_names_the_known_ones() -> None:
    with pytest.raises(BackendUnavailable, match="v3"):
        native_ops.select_instruction_set("v9")
