from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from editing.score_distillation.appearance import HEAD, TORSO, Appearance
from editing.score_distillation.config import AppearanceConfig, GuidanceConfig, KeyframeConfig
from editing.score_distillation.keyframes import Keyframe, choose_keyframes
from editing.score_distillation.vt_sds import Distillation
from editing.train.engine import NativeEngine, TorchEngine
from renderer.backends.base import RenderOptions
from renderer.backends.torch_backend import TorchBackend

if TYPE_CHECKING:
    from collections.abc import Callable

    from editing.score_distillation.latent_diffusion import LatentDiffusion
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

PX = 64
COLOURS_ONLY = AppearanceConfig(geometry=False)


@pytest.fixture(scope="module")
def keyframes(avatar: Avatar, encoder: AudioEncoder) -> list[Keyframe]:
    return choose_keyframes(avatar, encoder, KeyframeConfig(2, 1, 1))


@pytest.fixture
def plain(avatar: Avatar, keyframes: list[Keyframe]) -> Callable[..., Appearance]:
    """In plain torch and single precision, the twin that native kernels are held to."""
    return lambda config=AppearanceConfig(), px=PX: Appearance(  # noqa: B008
        avatar, keyframes, config, px, TorchEngine(torch.device("cpu"), torch.float32)
    )


def redder(appearance: Appearance, keyframe: int) -> torch.Tensor:
    picture = appearance.show(keyframe).picture[0]
    return (picture[1] + picture[2] - picture[0]).mean()


def test_a_shown_keyframe_matches_the_reference_backend(
    avatar: Avatar, keyframes: list[Keyframe], plain: Callable[..., Appearance]
) -> None:
    backend, appearance = TorchBackend(avatar, RenderOptions(PX)), plain()
    for k, keyframe in enumerate(keyframes):
        with torch.no_grad():
            shown = appearance.show(k).picture[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(shown, backend.render_float(keyframe.condition), atol=2e-4)


def test_gradients_match_a_finite_difference_of_the_surrogate(plain: Callable[..., Appearance], model: LatentDiffusion) -> None:
    """From the score through the autoencoder and the field to every kind of learned tensor."""
    appearance = plain(px=32)
    distillation = Distillation(model, model.unet, model.words(["a statue"]), model.words(["a", "b", "c"]), GuidanceConfig(), seed=0)
    score = distillation.score(model.encode(appearance.show(1).picture).detach(), 1, 0, 10)

    def surrogate() -> torch.Tensor:
        shown = appearance.show(1)
        return (score.gradient * model.encode(shown.picture)).sum() + appearance.entropy(shown)

    surrogate().backward()
    for name in ("head.colour1.weight", "head.density2.weight", "head.density0.weight", "torso.colour2.weight", "head.spatial_grid"):
        tensor, gradient = appearance.field[name], appearance.field[name].grad
        assert gradient is not None and float(gradient.norm()) > 0.0, name
        way = gradient / gradient.norm()
        step = (0.2 if name.endswith("grid") else 0.02) * float(tensor.detach().norm()) / float(way.numel()) ** 0.5
        values = []
        with torch.no_grad():
            for side in (1.0, -1.0):
                tensor += side * step * way
                values.append(float(surrogate().double()))
                tensor -= side * step * way
        assert (values[0] - values[1]) / (2.0 * step) == pytest.approx(float(gradient.norm()), rel=0.05), name


def test_rates_fall_to_the_share_that_is_left(plain: Callable[..., Appearance]) -> None:
    """Adam's steps are as long as its rate where the gradient is always the same."""
    appearance = plain(AppearanceConfig(steps=3, network_rate=1e-2, last_rate=0.01), 32)
    weight, steps = appearance.field["head.colour1.weight"], []
    for _ in range(3):
        before = weight.detach().clone()
        appearance.step(weight.sum())
        steps.append(float((before - weight.detach()).mean()))
    assert steps == pytest.approx([1e-2, 1e-3, 1e-4], rel=0.01)


def test_native_gradients_match_torch(avatar: Avatar, keyframes: list[Keyframe], plain: Callable[..., Appearance]) -> None:
    pair = plain(), Appearance(avatar, keyframes, AppearanceConfig(), PX, NativeEngine())
    for appearance in pair:
        redder(appearance, 2).backward()
    for name in (*HEAD, *TORSO):
        a, b = (appearance.field[name].grad.flatten() for appearance in pair)  # type: ignore[union-attr]
        assert float(torch.nn.functional.cosine_similarity(a, b, dim=0)) > 0.98, name


@pytest.mark.parametrize("config", [AppearanceConfig(), COLOURS_ONLY], ids=["geometry moves", "geometry held"])
def test_an_injected_gradient_changes_colours_and_holds_what_moves_the_lips(
    avatar: Avatar, plain: Callable[..., Appearance], config: AppearanceConfig
) -> None:
    appearance = plain(config, 32)
    before, opacity = float(redder(appearance, 0).detach()), appearance.show(0).opacity.detach()
    for _ in range(20):
        appearance.step(redder(appearance, 0))
    assert float(redder(appearance, 0).detach()) < before - 0.02
    edited = appearance.avatar([])
    changed = {name for name, tensor in edited.tensors.items() if not np.array_equal(tensor, appearance._avatar.tensors[name])}
    assert changed == set(appearance.learned) <= {*HEAD, *TORSO}
    same_shape = torch.equal(appearance.show(0).opacity.detach(), opacity)
    assert same_shape is not config.geometry
    if not config.geometry:
        np.testing.assert_array_equal(edited.tensors["head.density2.weight"][0], avatar.tensors["head.density2.weight"][0])
        np.testing.assert_array_equal(edited.tensors["torso.colour2.weight"][3], avatar.tensors["torso.colour2.weight"][3])
    np.testing.assert_array_equal(edited.occupancy, avatar.occupancy)


def test_the_torso_can_be_held(avatar: Avatar, plain: Callable[..., Appearance]) -> None:
    appearance = plain(AppearanceConfig(torso=False), 32)
    assert not any(name.startswith("torso.") for name in appearance.learned)
    appearance.step(redder(appearance, 0))
    assert np.array_equal(appearance.avatar([]).tensors["torso.grid"], avatar.tensors["torso.grid"])


def test_shapes_may_grow_by_cells_and_keep_those_that_show(
    avatar: Avatar, plain: Callable[..., Appearance], keyframes: list[Keyframe]
) -> None:
    grown = plain(AppearanceConfig(growth_cells=2), 32).avatar([keyframes[0].condition]).occupancy
    assert grown[avatar.occupancy].all(), "what was there stays"
    assert 0 < grown.sum() - avatar.occupancy.sum() < avatar.occupancy.sum()


def test_a_resumed_optimisation_is_the_same(plain: Callable[..., Appearance]) -> None:
    config = dataclasses.replace(AppearanceConfig(), steps=24)
    whole, cut, resumed = plain(config, 32), plain(config, 32), plain(config, 32)
    for _ in range(24):
        whole.step(redder(whole, 0))
    for _ in range(13):
        cut.step(redder(cut, 0))
    resumed.load_state({name: tensor.clone() for name, tensor in cut.state().items()})
    assert resumed.n_done == 13
    for _ in range(11):
        resumed.step(redder(resumed, 0))
    found = resumed.state()
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, found[name]), name
