"""Learned perceptual image patch similarity: Zhang et al. 2018, version 0.1 of its weights.

Two public files hold it: the network's ("backbone", torchvision's AlexNet or VGG-16 trained on ImageNet: `features.N.weight`, …) and the
learned weights of its channels ("linear": `alex.pth` or `vgg.pth` of the lpips package, `linN.model.1.weight` of [1, channels, 1, 1]).
Which network it is follows from the linear file's shapes. The papers' tables use AlexNet.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from editing.weight_files import check_tensors, read_tensors
from renderer.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, UInt8
    from torch import Tensor

BACKBONE_VARIABLE, LINEAR_VARIABLE = "LPIPS_BACKBONE", "LPIPS_LINEAR"
"""Name the files where no option does."""
NEEDS = f"needs torchvision's AlexNet or VGG-16 (--lpips-backbone or {BACKBONE_VARIABLE}) and the lpips package's alex.pth or vgg.pth \
(--lpips-linear or {LINEAR_VARIABLE})"

MEAN = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""ImageNet's statistics for pictures in -1…1."""
SMALLEST_PX = 64
TINY = 1e-10
"""Keeps a pixel without any feature from a division by zero."""


@dataclass(frozen=True)
class Network:
    """The convolutional part of a torchvision classifier, and where it is looked into."""

    name: str
    layers: tuple[nn.Module, ...]
    """In torchvision's order, so that `features.N` of its file is layer N."""
    taps: tuple[int, ...]
    """Layers whose outputs are compared: the last ReLU before each pooling, and for AlexNet every ReLU."""
    channels: tuple[int, ...]
    """Of the tapped layers."""


def alexnet() -> Network:
    """AlexNet as torchvision has it (64, 192, 384, 256, 256 channels)."""
    layers = (
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )
    return Network("alex", layers, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256))


def vgg16() -> Network:
    """VGG-16 without batch normalisation."""
    layers: list[nn.Module] = []
    taps = []
    inputs, blocks = 3, ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for channels, repeats in blocks:
        for _ in range(repeats):
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs = channels
        taps.append(len(layers) - 1)
        layers.append(nn.MaxPool2d(2, 2))
    return Network("vgg", tuple(layers[:-1]), tuple(taps), tuple(channels for channels, _ in blocks))


def open_lpips(backbone: Path | None, linear: Path | None, device: torch.device | None = None) -> Lpips | None:
    """From the files named here or by the variables; None where none is. Raises BadInput if only one of the two is."""
    backbone = backbone or (Path(os.environ[BACKBONE_VARIABLE]) if os.environ.get(BACKBONE_VARIABLE) else None)
    linear = linear or (Path(os.environ[LINEAR_VARIABLE]) if os.environ.get(LINEAR_VARIABLE) else None)
    if (backbone is None) != (linear is None):
        raise BadInput(f"LPIPS {NEEDS}; only one of the two is named")
    return None if backbone is None or linear is None else Lpips(backbone, linear, device)


class Lpips:
    """Distance of two pictures: 0 where they are equal; lower is better."""

    def __init__(self, backbone: Path, linear: Path, device: torch.device | None = None) -> None:
        """On `device` (default: the CPU), where `distances` takes its pictures."""
        self._device = device or torch.device("cpu")
        what = "alex.pth or vgg.pth of the lpips package"
        weights = read_tensors(linear, what)
        found = tuple(weight.shape[1] for _, weight in sorted(weights.items()) if weight.ndim == 4)
        networks = {network.channels: network for network in (alexnet(), vgg16())}
        if found not in networks:
            raise BadInput(f"{linear}: weights for {list(found)} channels; {what} was expected")
        self._network = networks[found]
        check_tensors(linear, what, weights, {f"lin{i}.model.1.weight": (1, n, 1, 1) for i, n in enumerate(found)})
        self._linear = [weights[f"lin{i}.model.1.weight"].float()[0, :, 0, 0].to(self._device) for i in range(len(found))]
        self._load_backbone(backbone)

    def _load_backbone(self, path: Path) -> None:
        what = f"torchvision's {'AlexNet' if self.name == 'alex' else 'VGG-16'} to go with the linear weights"
        layers = nn.Sequential(*self._network.layers)
        # The classifier's layers are in the file and not needed.
        tensors = {name: tensor for name, tensor in read_tensors(path, what).items() if not name.startswith("classifier.")}
        check_tensors(path, what, tensors, {f"features.{name}": tuple(t.shape) for name, t in layers.state_dict().items()})
        layers.load_state_dict({name.removeprefix("features."): tensor for name, tensor in tensors.items()}, strict=True)
        self._layers = layers.eval().requires_grad_(False).to(self._device)

    @property
    def name(self) -> str:
        """ "alex" or "vgg"."""
        return self._network.name

    def distance(self, a: UInt8[np.ndarray, "h w 3"], b: UInt8[np.ndarray, "h w 3"]) -> float:
        """Of two pictures."""
        with torch.inference_mode():
            pictures = (torch.from_numpy(picture.copy()).to(self._device)[None].float() / 255.0 for picture in (a, b))
            return float(self.distances(*pictures)[0])

    def distances(self, a: Float[Tensor, "n h w 3"], b: Float[Tensor, "n h w 3"]) -> Float[Tensor, " n"]:
        """Zhang et al., equation 1: weighted squared differences of unit-length features, averaged over each layer, summed.

        Colours are 0…1; differentiable. Pictures below SMALLEST_PX are enlarged, which the network's poolings need.
        """
        total = a.new_zeros(len(a))
        for of_a, of_b, weight in zip(self._features(a), self._features(b), self._linear, strict=True):
            squared = (_unit_length(of_a) - _unit_length(of_b)) ** 2
            total = total + (squared * weight[:, None, None]).sum(1).mean((1, 2))
        return total

    def _features(self, pictures: Float[Tensor, "n h w 3"]) -> list[Float[Tensor, "n channels y x"]]:
        x = pictures.permute(0, 3, 1, 2) * 2.0 - 1.0
        if min(x.shape[2:]) < SMALLEST_PX:
            x = nn.functional.interpolate(x, scale_factor=SMALLEST_PX / min(x.shape[2:]), mode="bilinear", align_corners=False)
        x = (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(SCALE)[:, None, None]
        found = []
        for index, layer in enumerate(self._layers):
            x = layer(x)
            if index in self._network.taps:
                found.append(x)
        return found


def _unit_length(features: Float[Tensor, "n channels y x"]) -> Float[Tensor, "n channels y x"]:
    # A norm's gradient at 0 is not a number, and ReLUs give pixels without any feature.
    return features / ((features.square().sum(1, keepdim=True) + TINY**2).sqrt() + TINY)
