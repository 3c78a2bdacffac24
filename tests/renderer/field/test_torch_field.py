"""The torch field over samples of many frames at once, against frame by frame; and that it stays on its device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from renderer.errors import BadInput
from renderer.field import torch_ops
from renderer.field.torch_field import HeadBiases, HeadSamples, TorchField
from tests.pretended_device import DEVICE, PretendedDevice
from tests.renderer.field.test_native_head import COUNTS, SHAPES, SMALL, Scene, error

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def at_once(scene: Scene) -> HeadSamples:
    return scene.field.head_of_frames(scene.positions, scene.ends, scene.field.head_biases(*scene.conditions))


@pytest.mark.parametrize("counts", [COUNTS, [300]], ids=["four frames", "one frame"])
@pytest.mark.parametrize("name", ["small", "default widths"])
def test_head_of_frames_matches_frame_by_frame(name: str, counts: list[int]) -> None:
    scene = Scene(SHAPES[name], counts)
    scene.positions.requires_grad_()
    theirs, their_gradients = scene.evaluate(scene.reference)
    scene.field.encode = torch_ops.encode
    ours, our_gradients = scene.evaluate(lambda: at_once(scene))
    for field_name, a, b in zip(HeadSamples._fields, ours, theirs, strict=True):
        assert a.shape == b.shape
        assert error(a, b) < 1e-5, field_name
    assert our_gradients.keys() == their_gradients.keys()
    for parameter, b in their_gradients.items():
        assert error(our_gradients[parameter], b) < 1e-4, parameter


def test_head_of_frames_in_bfloat16_is_as_near_as_frame_by_frame() -> None:
    exact, rounded = (Scene(SHAPES["default widths"], [700, 300], dtype) for dtype in (torch.float32, torch.bfloat16))
    truth, true_gradients = exact.evaluate(exact.reference)
    theirs, their_gradients = rounded.evaluate(rounded.reference)
    ours, our_gradients = rounded.evaluate(lambda: at_once(rounded))
    for a, b, true in zip(ours, theirs, truth, strict=True):
        assert a.dtype == torch.float32
        assert error(a, true) < 1.5 * error(b, true)
    for parameter, true in true_gradients.items():
        assert error(our_gradients[parameter], true) < 1.5 * error(their_gradients[parameter], true) + 1e-3, parameter


def test_head_of_frames_of_no_samples_is_empty() -> None:
    scene = Scene(SMALL, [0, 0])
    out, gradients = scene.evaluate(lambda: at_once(scene))
    assert out.rgbs.shape == (0, 3)
    assert all(not g.any() for g in gradients.values())


def test_head_of_frames_rejects_ends_that_do_not_fit() -> None:
    scene = Scene(SMALL)
    biases = scene.field.head_biases(*scene.conditions)
    for wrong in ([5, 3, 4, 360], scene.ends[:-1], []):
        with pytest.raises(BadInput, match="ends"):
            scene.field.head_of_frames(scene.positions, wrong, HeadBiases(*(b[: len(wrong)] for b in biases)))


def test_a_seed_means_the_same_weights_on_every_device() -> None:
    here = TorchField(SMALL)
    here.initialise(torch.Generator().manual_seed(3))
    with PretendedDevice():
        there = TorchField(SMALL).to(DEVICE)
        there.initialise(torch.Generator().manual_seed(3))
        assert there.device.type == DEVICE.type
        weights = there.arrays()
    for name, array in here.arrays().items():
        assert (array == weights[name]).all(), name


def test_field_stays_on_its_device() -> None:
    def evaluate(device: torch.device) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(5)

        def draw(*shape: int) -> torch.Tensor:
            return torch.rand(*shape, generator=generator).to(device)

        field = TorchField(SMALL, torch_ops.encode).to(device)
        field.initialise(torch.Generator().manual_seed(3))
        window = SMALL.audio_window
        audio = field.audio_codes(-10.0 * draw(2, window.n_steps, SMALL.feature_dim), smoothing=0.5)
        biases = field.head_biases(audio, draw(2), draw(2, 16), field["head.appearance"][: len(audio)])
        head = field.head_of_frames(draw(40, 3), [15, 40], biases)
        pose = draw(field["torso.deform0.pose_condition"].shape[1])
        torso = field.torso(draw(30, 2), pose, field["torso.appearance"][0])
        sum(value.square().sum() for value in (*head, *torso)).backward()
        results = [value.detach() for value in (*head, *torso)] + [p.grad for p in field.parameters() if p.grad is not None]
        assert all(result.device.type == device.type for result in results)
        return [result.cpu() for result in results]

    here = evaluate(torch.device("cpu"))
    with PretendedDevice():
        there = evaluate(DEVICE)
    assert len(here) > 40
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a, b)
