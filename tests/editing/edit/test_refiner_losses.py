from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from editing.edit.refiner_losses import (
    FilterBank,
    LossWeights,
    VggFeatures,
    adversarial_loss,
    discriminator_loss,
    gram,
    lip_edge_loss,
    open_features,
    perceptual_loss,
    reconstruction_loss,
    style_loss,
)
from editing.lpips import vgg16
from renderer.errors import BadInput


def random_pictures(n: int = 2, size_px: int = 24, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, size_px, size_px, 3, generator=torch.Generator().manual_seed(seed))


def test_reconstruction_loss_is_the_mean_square() -> None:
    rendered, edited = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3)
    edited[0, 1, 0, 2] = 0.6
    assert float(reconstruction_loss(rendered, edited)) == pytest.approx(0.36 / 12)


def test_perceptual_loss_sums_the_layers_mean_differences() -> None:
    a = [torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[0.5]]]])]
    b = [torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([[[[-0.5]]]])]
    assert float(perceptual_loss(a, b)) == pytest.approx((1 + 2) / 2 + 1.0)


def test_gram_and_style_loss_follow_hand_computed_values() -> None:
    a = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]])
    b = torch.tensor([[[[2.0, 1.0]], [[3.0, 0.0]]]])
    np.testing.assert_allclose(gram(a)[0], np.array([[5.0, 6.0], [6.0, 9.0]]) / 4)
    assert float(style_loss([a], [b])) == pytest.approx(0.0), "another order of places is the same style"
    assert float(style_loss([a], [2 * a])) == pytest.approx(3 * (5 + 6 + 6 + 9) / 4 / 4)


def test_adversarial_losses_are_logarithms_of_probabilities() -> None:
    logit = torch.full((1, 1, 2, 2), math.log(3.0))  # D = 3/4
    assert float(adversarial_loss(logit)) == pytest.approx(-math.log(0.75))
    assert float(discriminator_loss(-logit, logit)) == pytest.approx(-math.log(0.75))


def lip_case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One row of four pixels, an edge in each picture, the last pixel outside of the mask."""
    rendered = torch.tensor([0.0, 0.5, 0.5, 1.0])[None, None, :, None].expand(1, 2, 4, 3)
    original = torch.tensor([0.0, 1.0, 1.0, 1.0])[None, None, :, None].expand(1, 2, 4, 3)
    return rendered.clone(), original, torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 2, 4)


def test_lip_edge_loss_follows_equation_6() -> None:
    rendered, original, lips = lip_case()
    # Of three differences along a row one counts: 0.5 over an original edge of 1. None down the columns.
    assert float(lip_edge_loss(rendered, original, lips)) == pytest.approx(0.5 * 0.5 * math.exp(-1.0) / 3)
    flat = torch.full_like(original, 0.5)
    assert float(lip_edge_loss(rendered, flat, lips)) == pytest.approx(0.5 * 0.5 / 3)
    assert float(lip_edge_loss(rendered, original, torch.zeros_like(lips))) == 0.0


def test_lip_edge_loss_has_the_right_gradient() -> None:
    rendered, original, lips = (tensor.double() for tensor in lip_case())
    rendered = rendered + 0.1 * torch.rand(rendered.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rendered.requires_grad_()
    torch.autograd.gradcheck(lambda r: lip_edge_loss(r, original, lips), (rendered,))
    lip_edge_loss(rendered, original, lips).backward()
    assert rendered.grad is not None
    assert (rendered.grad[:, :, 3] == 0).all(), "a pixel outside of the lips is asked for nothing"
    assert (rendered.grad[:, :, 1] != 0).any()


def test_filter_bank_answers_a_step_with_its_gain_and_a_flat_picture_with_nothing() -> None:
    bank = FilterBank()
    pixels, *flat = bank(torch.full((1, 16, 16, 3), 0.7))
    assert [maps.shape for maps in flat] == [(1, 51, size, size) for size in (16, 8, 4)]
    assert max(float(maps[:, 3:].abs().max()) for maps in flat) < 1e-4
    torch.testing.assert_close(flat[0][:, 0], torch.full((1, 16, 16), 0.7))
    torch.testing.assert_close(pixels[:, 0], torch.full((1, 16, 16), 16 * 0.7))
    step = torch.zeros(1, 16, 16, 3)
    step[:, :, 8:] = 1.0
    across, along = bank(step)[1][0, 3, 8].max(), bank(step)[1][0, 7, 8].max()
    assert 8.0 < float(across) <= 16.0
    assert float(along) < 1e-4


def test_filter_bank_sees_a_pattern_of_two_pixels_period() -> None:
    bank, flat = FilterBank(), torch.full((1, 16, 16, 3), 0.5)
    board = flat + 0.02 * (1.0 - 2.0 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2))[None, :, :, None]
    assert float(perceptual_loss(bank(board), bank(flat))) > 16 * 0.02 * 0.299 / 3


def test_filter_bank_sees_texture_where_pixels_are_shifted() -> None:
    bank, pictures = FilterBank(), random_pictures(1, 32)
    shifted = torch.roll(pictures, 4, dims=1)
    smooth = torch.nn.functional.avg_pool2d(pictures.permute(0, 3, 1, 2), 3, 1, 1).permute(0, 2, 3, 1)
    near, far = (float(style_loss(bank(other), bank(pictures))) for other in (shifted, smooth))
    assert near < 0.2 * far


def test_filter_bank_is_differentiable() -> None:
    pictures = random_pictures(1, 8).double().requires_grad_()
    bank = FilterBank().double()
    assert torch.autograd.gradcheck(lambda p: torch.stack([maps.sum() for maps in bank(p)]), (pictures,), nondet_tol=0.0, fast_mode=True)


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(*vgg16().layers)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    classifier = {"classifier.0.weight": torch.zeros(2, 2)}
    torch.save({**{f"features.{name}": tensor for name, tensor in layers.state_dict().items()}, **classifier}, path)
    return path


def test_vgg_features_are_those_of_its_layers(vgg_file: Path) -> None:
    features = open_features(vgg_file)
    assert isinstance(features, VggFeatures)
    found = features(random_pictures(1, 32))
    assert [maps.shape[1:] for maps in found] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    x = (random_pictures(1, 32).permute(0, 3, 1, 2) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    torch.manual_seed(0)
    torch.testing.assert_close(found[0], torch.nn.Sequential(*vgg16().layers)[:4](x))


def test_vgg_features_rejects_other_files(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, tmp_path / "alex.pth")
    with pytest.raises(BadInput, match="torchvision's VGG-16 was expected"):
        open_features(tmp_path / "alex.pth")


def test_features_without_a_file_are_the_filter_bank() -> None:
    assert isinstance(open_features(None), FilterBank)


def test_loss_weights_are_the_papers_and_reject_others() -> None:
    assert LossWeights() == LossWeights(1.0, 0.001, 10.0, 0.01, 0.1)
    with pytest.raises(BadInput, match="loss weight style"):
        LossWeights(style=-1.0)
