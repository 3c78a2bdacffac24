"""Refiners that change what they see, and avatars that have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from renderer.refiner.config import RefinerConfig
from renderer.refiner.torch_refiner import TorchRefiner
from tests.renderer.synthetic_avatar import synthetic_avatar

if TYPE_CHECKING:
    from renderer.avatar import Avatar


def random_network(features: int = 32, growth: int = 16, seed: int = 0) -> TorchRefiner:
    """Every tensor random, biases included; its residual is some tenths."""
    network = TorchRefiner(RefinerConfig(features, growth), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))
    return network


def refined_avatar(size_px: int = 256, aspect: float = 1.0) -> Avatar:
    return synthetic_avatar(small=True, size_px=size_px, aspect=aspect).replace(refiner=random_network().to_refiner())
