"""The native head against TorchField.head on every instruction set of this machine: values, gradients of parameters and of positions."""

from __future__ import annotations

import dataclasses
import gc
from typing import TYPE_CHECKING

import pytest
import torch

from renderer.errors import BadInput
from renderer.field import native_ops
from renderer.field.config import FieldConfig, GridConfig, RegionConfig
from renderer.field.native_head import NativeHead
from renderer.field.torch_field import HeadBiases, HeadSamples, TorchField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Gradients = dict[str, torch.Tensor]

SMALL = FieldConfig(
    feature_dim=8,
    n_appearances=2,
    hidden=32,
    geometry_dim=16,
    audio_dim=8,
    spatial_grid=GridConfig(3, n_levels=5, finest_resolution=64, log2_hashmap_size=10),
    audio_grid=GridConfig(2, n_levels=3, finest_resolution=32, log2_hashmap_size=10),
)
SHAPES = {
    "small": SMALL,
    "wide": dataclasses.replace(SMALL, hidden=80),
    "default widths": dataclasses.replace(
        SMALL, hidden=64, geometry_dim=64, spatial_grid=dataclasses.replace(SMALL.spatial_grid, n_levels=16),
        audio_grid=dataclasses.replace(SMALL.audio_grid, n_levels=16),
    ),
    "all active": dataclasses.replace(SMALL, audio_region=RegionConfig((0.0, 0.0, 0.0), (9.0, 9.0, 9.0))),
    "all still": dataclasses.replace(SMALL, audio_region=RegionConfig((5.0, 0.0, 0.0), (1.0, 1.0, 1.0))),
    "emotional": dataclasses.replace(SMALL, emotion_dim=8),
    "off centre": dataclasses.replace(SMALL, head_centre=(0.2, -0.1, 0.3), head_half_extent=0.9),
}  # fmt: skip
COUNTS = [100, 0, 1, 259]
"""Samples of each frame: an empty one, a single sample, and blocks that are not full."""


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


class Scene:
    """A field with lively weights, samples of several frames, and a loss that uses every output."""

    def __init__(self, config: FieldConfig, counts: list[int] = COUNTS, dtype: torch.dtype = torch.float32) -> None:
        self.generator = torch.Generator().manual_seed(4)
        self.field = TorchField(config, network_dtype=dtype)
        self.field.initialise(self.generator)
        with torch.no_grad():  # an untrained field is nearly constant
            self.field["head.spatial_grid"].mul_(50.0)
            self.field["head.ambient2.weight"].mul_(10.0)
        self.counts, n_frames = counts, len(counts)
        self.ends = torch.tensor(counts).cumsum(0).tolist()
        self.positions = (torch.rand(sum(counts), 3, generator=self.generator) * 2.0 - 1.0) * 1.3
        self.conditions = (
            self.randn(n_frames, config.audio_dim),
            torch.rand(n_frames, generator=self.generator),
            self.randn(n_frames, 16),
            self.randn(n_frames, config.appearance_dim),
            torch.rand(n_frames, config.emotion_dim, generator=self.generator) if config.emotion_dim else None,
        )
        self.upstream = HeadSamples(self.randn(sum(counts)), self.randn(sum(counts), 3), self.randn(sum(counts), 2))

    def randn(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator)

    def reference(self) -> HeadSamples:
        biases = self.field.head_biases(*self.conditions)
        segments = enumerate(zip(self.ends, self.counts, strict=True))
        parts = [self.field.head(self.positions[end - count : end], biases.frame(k)) for k, (end, count) in segments]
        return HeadSamples(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def native(self, head: NativeHead) -> HeadSamples:
        return head(self.positions, self.ends, self.field, self.field.head_biases(*self.conditions))

    def evaluate(self, function: Callable[[], HeadSamples]) -> tuple[HeadSamples, Gradients]:
        self.field.zero_grad()
        self.positions.grad = None
        out = function()
        sum((value * g).sum() for value, g in zip(out, self.upstream, strict=True)).backward()
        gradients = {name: p.grad.clone() for name, p in self.field.tensors.items() if p.grad is not None}
        if self.positions.grad is not None:
            gradients["positions"] = self.positions.grad
        return HeadSamples(*(value.detach() for value in out)), gradients


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Relative, of the whole tensor; a gradient of exactly 0 must be met exactly."""
    return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-12))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.usefixtures("instruction_set")
def test_native_head_matches_torch(name: str) -> None:
    scene = Scene(SHAPES[name])
    theirs, their_gradients = scene.evaluate(scene.reference)
    ours, our_gradients = scene.evaluate(lambda: scene.native(NativeHead(scene.field.config, torch.float32)))
    for field_name, a, b in zip(HeadSamples._fields, ours, theirs, strict=True):
        assert a.shape == b.shape
        assert error(a, b) < 1e-5, field_name
    assert our_gradients.keys() == their_gradients.keys()
    for parameter, b in their_gradients.items():
        assert error(our_gradients[parameter], b) < 5e-4, parameter


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.usefixtures("instruction_set")
def test_native_head_differentiates_positions_as_torch_does(name: str) -> None:
    scene = Scene(SHAPES[name])
    scene.positions.requires_grad_()
    _, theirs = scene.evaluate(scene.reference)
    _, ours = scene.evaluate(lambda: scene.native(NativeHead(scene.field.config, torch.float32)))
    assert ours.keys() == theirs.keys()
    for parameter, b in theirs.items():
        assert error(ours[parameter], b) < 5e-4, parameter
    # Not only as a whole: outside the cube the grid is clamped, and a few samples of a gate's rim must not hide behind the others.
    torch.testing.assert_close(ours["positions"], theirs["positions"], rtol=1e-3, atol=1e-4 * float(theirs["positions"].abs().max()))


@pytest.mark.usefixtures("instruction_set")
def test_native_head_differentiates_the_gates_alone() -> None:
    scene = Scene(SHAPES["all active"])
    with torch.no_grad():
        scene.field["head.spatial_grid"].fill_(0.3)  # the same everywhere: all that is left are the gates
    scene.positions.requires_grad_()
    _, theirs = scene.evaluate(scene.reference)
    _, ours = scene.evaluate(lambda: scene.native(NativeHead(scene.field.config, torch.float32)))
    assert float(theirs["positions"].norm()) > 0.0
    assert error(ours["positions"], theirs["positions"]) < 1e-3


def test_native_head_position_gradient_is_the_slope_of_its_values() -> None:
    scene = Scene(SMALL)
    head, step = NativeHead(SMALL, torch.float32), 1e-4
    scene.positions.requires_grad_()
    _, gradients = scene.evaluate(lambda: scene.native(head))
    direction = torch.nn.functional.normalize(scene.randn(*scene.positions.shape), dim=1)

    def value(shift: float) -> torch.Tensor:
        scene.positions = positions + shift * direction
        out = [v.detach() * g for v, g in zip(scene.native(head), scene.upstream, strict=True)]
        return out[0] + out[1].sum(1) + out[2].sum(1)

    positions = scene.positions.detach()
    measured = (value(step) - value(-step)) / (2.0 * step)
    predicted = (gradients["positions"] * direction).sum(1)
    # Interpolation has kinks on cell borders and the networks at their rectifiers: most samples are away from all of them.
    off = (measured - predicted).abs() / predicted.abs().clamp(min=0.1 * float(predicted.abs().median()))
    assert float(off.median()) < 0.02
    assert float((off < 0.1).float().mean()) > 0.7


def test_native_head_computes_no_position_gradient_unasked() -> None:
    scene, head = Scene(SMALL), NativeHead(SMALL, torch.float32)
    _, without = scene.evaluate(lambda: scene.native(head))
    assert "positions" not in without
    scene.positions.requires_grad_()
    _, with_positions = scene.evaluate(lambda: scene.native(head))
    for name, gradient in without.items():
        assert torch.equal(gradient, with_positions[name]), name


def test_native_head_in_bfloat16_is_as_near_as_torch_in_bfloat16() -> None:
    exact = Scene(SHAPES["default widths"], [700, 300])
    rounded = Scene(SHAPES["default widths"], [700, 300], torch.bfloat16)
    exact.positions.requires_grad_()
    rounded.positions.requires_grad_()
    truth, true_gradients = exact.evaluate(exact.reference)
    theirs, their_gradients = rounded.evaluate(rounded.reference)
    ours, our_gradients = exact.evaluate(lambda: exact.native(NativeHead(exact.field.config, torch.bfloat16)))
    for a, b, true in zip(ours, theirs, truth, strict=True):
        assert error(a, true) < 1.5 * error(b, true)
    for parameter, true in true_gradients.items():
        assert error(our_gradients[parameter], true) < 1.5 * error(their_gradients[parameter], true) + 1e-3, parameter


@pytest.mark.usefixtures("instruction_set")
def test_native_head_without_gradient_gives_the_same_values() -> None:
    scene = Scene(SMALL)
    head = NativeHead(SMALL, torch.float32)
    with_gradient = scene.native(head)
    with torch.no_grad():
        without = scene.native(head)
    assert not without.sigmas.requires_grad
    for a, b in zip(with_gradient, without, strict=True):
        assert torch.equal(a, b)


def test_native_head_does_not_depend_on_threads() -> None:
    scene = Scene(SMALL, [3000, 2000])
    scene.positions.requires_grad_()
    head, results = NativeHead(SMALL), []
    for n_threads in (1, 3):
        native_ops.set_threads(n_threads)
        results.append(scene.evaluate(lambda: scene.native(head)))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        assert torch.equal(a, b)
    for name, gradient in results[0][1].items():
        assert torch.equal(gradient, results[1][1][name]), name


def test_native_head_of_no_samples_has_zero_gradients() -> None:
    scene = Scene(SMALL, [0, 0])
    scene.positions.requires_grad_()
    out, gradients = scene.evaluate(lambda: scene.native(NativeHead(SMALL)))
    assert out.rgbs.shape == (0, 3)
    assert all(not g.any() for g in gradients.values())


def test_native_head_adds_to_the_gradient_of_a_grid_table() -> None:
    scene = Scene(SMALL)
    _, expected = scene.evaluate(scene.reference)
    scene.field.zero_grad()
    table = native_ops.GridTable(scene.field["head.spatial_grid"])
    buffer = table.grad.data_ptr()
    head = NativeHead(SMALL, torch.float32)
    for _ in range(2):
        out = scene.native(head)
        sum((value * g).sum() for value, g in zip(out, scene.upstream, strict=True)).backward()
    assert table.grad.data_ptr() == buffer
    assert error(table.grad, 2.0 * expected["head/spatial_grid"]) < 5e-4


def test_native_head_keeps_two_forward_passes_apart() -> None:
    scene, other = Scene(SMALL), Scene(SMALL, [50])
    head = NativeHead(SMALL, torch.float32)
    _, expected = scene.evaluate(scene.reference)
    scene.field.zero_grad()
    out = scene.native(head)
    other.evaluate(lambda: other.native(head))
    loss = sum((value * g).sum() for value, g in zip(out, scene.upstream, strict=True))
    loss.backward(retain_graph=True)
    loss.backward()
    for name, gradient in expected.items():
        assert error(scene.field.tensors[name].grad, 2.0 * gradient) < 5e-4, name


def test_native_head_lends_its_memory_again() -> None:
    scene, head = Scene(SMALL), NativeHead(SMALL)
    for _ in range(3):
        scene.evaluate(lambda: scene.native(head))
    gc.collect()
    assert len(head.pool) == 1


def test_native_head_rejects_what_does_not_fit() -> None:
    scene, head = Scene(SMALL), NativeHead(SMALL)
    biases = scene.field.head_biases(*scene.conditions)
    with pytest.raises(BadInput, match="ends"):
        head(scene.positions, [5, 3, 4, 360], scene.field, biases)
    with pytest.raises(BadInput, match="ends"):
        head(scene.positions, scene.ends[:-1], scene.field, biases)
    with pytest.raises(BadInput, match="positions"):
        head(scene.positions[:, :2], scene.ends, scene.field, biases)
    with pytest.raises(BadInput, match="eye_bias"):
        head(scene.positions, scene.ends, scene.field, HeadBiases(biases.ambient, biases.density, biases.eye[:2], biases.colour))
    with pytest.raises(BadInput, match="multiple of 16"):
        NativeHead(dataclasses.replace(SMALL, hidden=40))
