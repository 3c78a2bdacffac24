"""The torch training operators against the references and the native ones, in values and gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from renderer.errors import BadInput
from renderer.field import native_ops, torch_ops
from renderer.field.hash_grid import encode_reference
from renderer.field.rays import PackedSamples, composite_reference, distortion_reference, march_reference
from tests.pretended_device import DEVICE, PretendedDevice
from tests.renderer.field.test_native_ops import CONFIG, GRIDS, STEP, assert_near, packed, random, some_rays, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch's threads would wait busily for tensors this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- hash grid -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twin", [encode_reference, native_ops.encode], ids=["reference", "native"])
@pytest.mark.parametrize("n", [0, 1, 37, 1500])
@pytest.mark.parametrize("name", GRIDS)
def test_encode_matches_its_twins(monkeypatch: pytest.MonkeyPatch, name: str, n: int, twin: Callable[..., torch.Tensor]) -> None:
    monkeypatch.setattr(torch_ops, "SAMPLES_AT_ONCE", 400)
    grid = GRIDS[name]
    table = table_of(grid)
    x = (random(n, grid.n_dims) * 1.3 - 0.15).requires_grad_()  # some lie outside 0...1
    upstream = random(n, grid.n_outputs, seed=1) - 0.5
    ours, theirs = torch_ops.encode(x, table, grid), twin(x, table, grid)
    assert_near(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours, (x, table), upstream), torch.autograd.grad(theirs, (x, table), upstream), strict=True):
        assert_near(a, b)


def test_encode_holds_on_cell_edges_and_corners_of_the_cube() -> None:
    grid = GRIDS["mixed"]
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.25, 1.0])] * 3).requires_grad_()
    ours, theirs = (f(corners, table_of(grid), grid) for f in (torch_ops.encode, encode_reference))
    assert_near(ours, theirs)
    assert_near(*(torch.autograd.grad(out.square().sum(), corners)[0] for out in (ours, theirs)), tolerance=1e-5)


def test_encode_computes_the_gradients_that_are_asked_for() -> None:
    grid = GRIDS["dense"]
    x, table = random(20, 2), table_of(grid)
    torch_ops.encode(x, table, grid).sum().backward()
    assert x.grad is None and table.grad is not None
    torch_ops.encode(x.requires_grad_(), table.detach(), grid).sum().backward()
    assert x.grad is not None


def test_encode_takes_a_coordinate_that_is_not_a_number() -> None:
    grid = GRIDS["dense"]
    value = torch_ops.encode(torch.tensor([[float("nan"), 0.5]]), table_of(grid), grid)
    assert torch.isfinite(value).all()


def test_encode_rejects_what_does_not_fit() -> None:
    grid, table = GRIDS["dense"], table_of(GRIDS["dense"])
    with pytest.raises(BadInput, match="do not fit"):
        torch_ops.encode(random(4, 3), table, grid)
    with pytest.raises(BadInput, match="do not fit"):
        torch_ops.encode(random(4, 2), table[:-1], grid)


# --- rays ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jittered", [False, True])
@pytest.mark.parametrize("n", [0, 3, 2000])
def test_march_finds_the_samples_of_the_reference(monkeypatch: pytest.MonkeyPatch, n: int, jittered: bool) -> None:
    monkeypatch.setattr(torch_ops, "RAYS_AT_ONCE", 300)
    rays_o, rays_d = some_rays(n)
    occupancy = random(64, 64, 64) < 0.3
    jitter = random(n, seed=9) - 0.5 if jittered else None
    ours, theirs = torch_ops.march(rays_o, rays_d, occupancy, CONFIG, jitter), march_reference(rays_o, rays_d, occupancy, CONFIG, jitter)
    for name, a, b in zip(PackedSamples._fields, ours, theirs, strict=True):
        assert a.dtype == b.dtype, name
        assert torch.equal(a, b), name


def test_march_rejects_an_occupancy_of_another_size_or_type() -> None:
    for wrong in (torch.ones(32, 32, 32, dtype=torch.bool), torch.ones(64, 64, 64)):
        with pytest.raises(BadInput, match="occupancy"):
            torch_ops.march(*some_rays(4), wrong, CONFIG)


@pytest.mark.parametrize("counts", [[], [0, 0], [1], [16, 0, 1, 7, 0], [16] * 700])
@pytest.mark.parametrize("twin", [composite_reference, native_ops.composite], ids=["reference", "native"])
def test_composite_matches_its_twins(counts: list[int], twin: Callable[..., tuple[torch.Tensor, ...]]) -> None:
    samples = packed(counts)
    n = len(samples.distances)
    sigmas, rgbs = (random(n) * 60.0).requires_grad_(), random(n, 3, seed=1).requires_grad_()
    ours, theirs = (f(sigmas, rgbs, samples, STEP) for f in (torch_ops.composite, twin))
    upstream = [random(*t.shape, seed=7 + i) - 0.5 for i, t in enumerate(theirs)]
    for a, b in zip(ours, theirs, strict=True):
        assert_near(a, b, 1e-5)
    gradients = [torch.autograd.grad(outputs, (sigmas, rgbs), upstream) for outputs in (ours, theirs)]
    for a, b in zip(*gradients, strict=True):
        assert_near(a, b, 1e-5)


def test_composite_gradient_holds_behind_an_opaque_sample() -> None:
    sigmas = torch.tensor([1.0, 1e5, 3.0, 2.0], requires_grad=True)
    colours, opacity, _ = torch_ops.composite(sigmas, random(4, 3), packed([4]), STEP)
    (gradient,) = torch.autograd.grad(colours.sum() + opacity.sum(), sigmas)
    assert torch.isfinite(gradient).all()
    assert gradient[2:].abs().max() == 0.0


@pytest.mark.parametrize("counts", [[], [0], [1, 16, 0, 5]])
def test_distortion_matches_the_reference(counts: list[int]) -> None:
    samples = packed(counts)
    weights = random(len(samples.distances)).requires_grad_()
    exact = weights.detach().double().requires_grad_()
    ours, theirs = torch_ops.distortion(weights, samples, STEP), distortion_reference(exact, samples, STEP)
    assert_near(ours, theirs.float(), 1e-5)
    upstream = random(len(counts), seed=4)
    gradients = torch.autograd.grad(ours, weights, upstream), torch.autograd.grad(theirs, exact, upstream.double())
    assert_near(gradients[0][0], gradients[1][0].float(), 1e-5)


def test_distortion_of_many_samples_matches_the_native_one() -> None:
    samples = packed([64, 0, 17] * 1000)  # whose pairs would be six billion
    weights = random(len(samples.distances)).requires_grad_()
    ours, theirs = (f(weights, samples, STEP) for f in (torch_ops.distortion, native_ops.distortion))
    assert_near(ours, theirs, 1e-5)
    assert_near(*(torch.autograd.grad(out.sum(), weights)[0] for out in (ours, theirs)), tolerance=1e-5)


# --- devices ---------------------------------------------------------------------------------------------------------------


def test_operators_stay_on_the_device_of_their_arguments() -> None:
    grid, (rays_o, rays_d), occupancy = GRIDS["mixed"], some_rays(50), random(64, 64, 64) < 0.3

    def evaluate(device: torch.device) -> list[torch.Tensor]:
        jitter = (random(50, seed=9) - 0.5).to(device)
        samples = torch_ops.march(rays_o.to(device), rays_d.to(device), occupancy.to(device), CONFIG, jitter)
        table = table_of(grid).detach().to(device).requires_grad_()
        x = ((samples.positions + 1.25) / 2.5).detach().requires_grad_()
        features = torch_ops.encode(x, table, grid)
        colours, opacity, weights = torch_ops.composite(features[:, 0].exp(), features[:, 1:4], samples, STEP)
        loss = colours.sum() + opacity.square().sum() + torch_ops.distortion(weights, samples, STEP).sum()
        loss.backward()
        results = [*samples, loss.detach(), x.grad, table.grad]
        assert all(result.device.type == device.type for result in results)
        return [result.cpu() for result in results]

    here = evaluate(torch.device("cpu"))
    with PretendedDevice():
        there = evaluate(DEVICE)
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a, b)
