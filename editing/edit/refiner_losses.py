"""The losses of Instruct-NeuralTalker ("the paper"), equations 6 to 10.

Pictures are sRGB, 0...1, channels last: I_r is what the field renders ("rendered"), I_f what the refiner makes of it by equation 5
("refined"), I^e the edited picture that supervises both ("edited"), I the picture before any edit ("original"). Norms are means over all
values, so that no loss depends on the patch's size.

Equation 4 splits them: L_low, the reconstruction and lip-edge losses, asks the field for the coarse picture; L_high, the perceptual, style
and adversarial losses, asks the refiner for detail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn
from torch.nn import functional

from editing.lpips import vgg16
from editing.weight_files import check_tensors, read_tensors
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
VGG_TAPS = (3, 8, 15, 22)
"""relu1_2, relu2_2, relu3_3 and relu4_3, the layers of Johnson et al. 2016, which the paper cites for its style loss; each weighs 1."""


@dataclass(frozen=True)
class LossWeights:
    """The lambdas of equations 9 and 10; the defaults are the paper's."""

    reconstruction: float = 1.0
    perceptual: float = 0.001
    style: float = 10.0
    adversarial: float = 0.01
    lip_edge: float = 0.1

    def __post_init__(self) -> None:
        for name in ("reconstruction", "perceptual", "style", "adversarial", "lip_edge"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise BadInput(f"loss weight {name} {value}: 0 or more is possible")


class Features(Protocol):
    """Phi of equation 8: maps of features at several depths or scales; differentiable in the pictures."""

    def __call__(self, pictures: Float[Tensor, "n h w 3"]) -> list[Float[Tensor, "n channels y x"]]: ...


class VggFeatures(nn.Module):
    """Phi as in the paper: layers of VGG-16, trained on ImageNet."""

    def __init__(self, path: Path) -> None:
        """From torchvision's file of VGG-16 without batch normalisation. Raises BadInput for any other."""
        super().__init__()
        what = "torchvision's VGG-16"
        layers = nn.Sequential(*vgg16().layers)
        # The classifier's layers are in the file and not needed.
        tensors = {name: tensor for name, tensor in read_tensors(path, what).items() if not name.startswith("classifier.")}
        check_tensors(path, what, tensors, {f"features.{name}": tuple(t.shape) for name, t in layers.state_dict().items()})
        layers.load_state_dict({name.removeprefix("features."): tensor for name, tensor in tensors.items()}, strict=True)
        self.layers = nn.ModuleList(list(layers)[: max(VGG_TAPS) + 1]).eval().requires_grad_(False)

    def forward(self, pictures: Float[Tensor, "n h w 3"]) -> list[Float[Tensor, "n channels y x"]]:
        x = pictures.permute(0, 3, 1, 2)
        x = (x - x.new_tensor(IMAGENET_MEAN)[:, None, None]) / x.new_tensor(IMAGENET_DEVIATION)[:, None, None]
        found = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in VGG_TAPS:
                found.append(x)
        return found


BANK_SCALES = 3
BANK_ORIENTATIONS = 4
BANK_RADIUS_PX = 2
BANK_DEVIATION_PX = 1.0
BANK_GAIN = 16.0
"""Sum of a derivative filter's magnitudes, halved: its answer to a full step across it."""
OPPONENT = ((0.299, 0.587, 0.114), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5))
"""Luma, red against green, yellow against blue."""


class FilterBank(nn.Module):
    """Phi where no trained network is at hand: an assumption beyond the paper, fixed, and the same everywhere.

    First and second derivatives of a Gaussian along four orientations (the steerable filters of Freeman and Adelson, 1991), on luma and
    two opponent colours, at three scales an octave apart. As in a network's first layers the positive and the negative part of each
    response are features of their own, so that Gram matrices say which edges and lines meet, and how often: strokes, texture and palette,
    though not what a picture shows. The smoothed colours are features too. The other filters have a mean of 0, and BANK_GAIN brings their
    responses to the magnitudes that VGG's features have, for which the lambdas were chosen.

    No Gaussian sees a pattern of two pixels' period, which is just what a network that paints blocks of pixels can leave behind, and
    little else in L_high holds the colours. So the colours of single pixels, times BANK_GAIN, are the first of the maps.
    """

    kernels: Tensor
    opponent: Tensor

    def __init__(self) -> None:
        super().__init__()
        axis = torch.arange(-BANK_RADIUS_PX, BANK_RADIUS_PX + 1, dtype=torch.float64) / BANK_DEVIATION_PX
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        blob = torch.exp(-0.5 * (x**2 + y**2))
        derivatives = []
        for i in range(BANK_ORIENTATIONS):
            angle = math.pi * i / BANK_ORIENTATIONS
            along = math.cos(angle) * x + math.sin(angle) * y
            for kernel in (along * blob, (along**2 - 1.0) * blob):
                balanced = kernel - kernel.mean()
                derivatives.append(2.0 * BANK_GAIN * balanced / balanced.abs().sum())
        kernels = torch.stack([blob / blob.sum(), *derivatives])
        self.register_buffer("kernels", kernels.float()[:, None], persistent=False)
        self.register_buffer("opponent", torch.tensor(OPPONENT), persistent=False)

    def forward(self, pictures: Float[Tensor, "n h w 3"]) -> list[Float[Tensor, "n channels y x"]]:
        x = (pictures @ self.opponent.t()).permute(0, 3, 1, 2)
        found = [BANK_GAIN * x]
        for scale in range(BANK_SCALES):
            if scale:
                x = functional.avg_pool2d(x, 2)
            planes = functional.pad(x, [BANK_RADIUS_PX] * 4, mode="replicate").flatten(0, 1)[:, None]
            responses = functional.conv2d(planes, self.kernels).unflatten(0, x.shape[:2])
            smooth, derivatives = responses[:, :, 0], responses[:, :, 1:].flatten(1, 2)
            found.append(torch.cat([smooth, functional.relu(derivatives), functional.relu(-derivatives)], dim=1))
        return found


def open_features(vgg: Path | None) -> VggFeatures | FilterBank:
    """VGG-16 from the file, else the filter bank."""
    return FilterBank() if vgg is None else VggFeatures(vgg)


def reconstruction_loss(rendered: Float[Tensor, "n h w 3"], edited: Float[Tensor, "n h w 3"]) -> Float[Tensor, ""]:
    """Equation 7."""
    return functional.mse_loss(rendered, edited)


def perceptual_loss(
    of_refined: Sequence[Float[Tensor, "n channels y x"]], of_edited: Sequence[Float[Tensor, "n channels y x"]]
) -> Float[Tensor, ""]:
    """Equation 8, first line, on the features of both pictures."""
    return torch.stack([functional.l1_loss(a, b) for a, b in zip(of_refined, of_edited, strict=True)]).sum()


def style_loss(
    of_refined: Sequence[Float[Tensor, "n channels y x"]], of_edited: Sequence[Float[Tensor, "n channels y x"]]
) -> Float[Tensor, ""]:
    """Equation 8, second line."""
    return torch.stack([functional.l1_loss(gram(a), gram(b)) for a, b in zip(of_refined, of_edited, strict=True)]).sum()


def gram(features: Float[Tensor, "n channels y x"]) -> Float[Tensor, "n channels channels"]:
    """Inner products of the channels, a value's mean share (Johnson et al. 2016, section 3.2)."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def adversarial_loss(of_refined: Float[Tensor, "n 1 y x"]) -> Float[Tensor, ""]:
    """How little the discriminator takes the refined picture for an edited one: -log D, on its logits."""
    return functional.softplus(-of_refined).mean()


def discriminator_loss(of_refined: Float[Tensor, "n 1 y x"], of_edited: Float[Tensor, "n 1 y x"]) -> Float[Tensor, ""]:
    """What the discriminator learns from: edited pictures are 1, refined ones 0 (Goodfellow et al. 2014), on its logits."""
    return 0.5 * (functional.softplus(-of_edited).mean() + functional.softplus(of_refined).mean())


def lip_edge_loss(
    rendered: Float[Tensor, "n h w 3"], original: Float[Tensor, "n h w 3"], lips: Float[Tensor, "n h w"]
) -> Float[Tensor, ""]:
    """Equation 6: edges in the rendered lips cost little where the original has an edge and much where it has none.

    `lips` is the mask M, 0...1; derivatives are differences of neighbours, the mask that of the first of the two. The mean over both axes.
    """
    per_axis = []
    for axis in (1, 2):
        mask = lips.narrow(axis, 0, lips.shape[axis] - 1)[..., None]
        edges = (rendered.diff(dim=axis) * mask).abs()
        wanted = (original.diff(dim=axis) * mask).abs()
        per_axis.append((edges * torch.exp(-wanted)).mean())
    return 0.5 * (per_axis[0] + per_axis[1])
