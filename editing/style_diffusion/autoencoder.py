"""The first half of the model: pictures to latents and back (an AutoencoderKL as Stable Diffusion has it, a thousandth of its size).

The loss is L1 of the pixels and of their differences to their neighbours, which keeps lips and pencil lines sharp, with a small
Kullback-Leibler term towards a normal distribution. A picture is a quarter as wide and high as a latent map of four channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.style_diffusion.learning import LearningConfig, learn, torch_generator
from editing.style_diffusion.pictures import as_pictures
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

    from editing.style_diffusion.pictures import Pictures

LATENT_CHANNELS = 4
NORM_GROUPS = 8
WHOLE_SHARE = 0.5
"""Of a batch: whole pictures rather than windows."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """The network and its training."""

    size_px: int = 64
    """of the pictures, a multiple of what the levels halve"""
    channels: tuple[int, ...] = (16, 24, 48)
    """of each level; between two levels the map is halved"""
    edge_weight: float = 1.0
    """of the differences' L1 in the loss"""
    kl_weight: float = 2e-4
    """of the Kullback-Leibler divergence, a mean over the latent's values"""
    learning: LearningConfig = field(default_factory=lambda: LearningConfig(steps=900, batch=12, rate=2.5e-3))

    def __post_init__(self) -> None:
        halved = 2 ** (len(self.channels) - 1)
        if self.size_px % (2 * halved):
            raise BadInput(f"pictures of {self.size_px} pixels: a multiple of {2 * halved} is possible with {len(self.channels)} levels")
        for channels in self.channels:
            if channels % NORM_GROUPS:
                raise BadInput(f"{channels} channels: multiples of {NORM_GROUPS} are possible")


def build_autoencoder(config: AutoencoderConfig) -> Any:
    """With random weights (torch's own generator)."""
    import torch
    from diffusers import AutoencoderKL

    n = len(config.channels)
    make: Any = AutoencoderKL
    network = make(
        down_block_types=("DownEncoderBlock2D",) * n,
        up_block_types=("UpDecoderBlock2D",) * n,
        block_out_channels=config.channels,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=NORM_GROUPS,
        sample_size=config.size_px,
    )
    return network.to(memory_format=torch.channels_last)


def drawn(pictures: Pictures, n: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of a batch."""
    whole = generator.random(n) < WHOLE_SHARE if pictures.n_whole < len(pictures) else np.ones(n, bool)
    return np.asarray(np.where(whole, generator.integers(0, pictures.n_whole, n), generator.integers(0, len(pictures), n)))


def autoencoder_loss(network: Any, batch: Float[Tensor, "n 3 h w"], config: AutoencoderConfig, generator: Any) -> Tensor:
    """L1, L1 of the differences, and the divergence from a standard normal distribution."""
    posterior = network.encode(batch).latent_dist
    error = network.decode(posterior.sample(generator)).sample - batch
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    divergence = 0.5 * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar).mean()
    return error.abs().mean() + config.edge_weight * edges + config.kl_weight * divergence


def train_autoencoder(
    pictures: Pictures, config: AutoencoderConfig, seed: int, checkpoint: Path, progress: Callable[[int, int, float], None]
) -> Any:
    """The trained network, or what the checkpoint has of it, trained on."""
    import torch

    torch.manual_seed(seed)
    network = build_autoencoder(config)

    def loss_of(generator: np.random.Generator) -> Tensor:
        batch = pictures.batch(drawn(pictures, config.learning.batch, generator))
        return autoencoder_loss(network, batch, config, torch_generator(generator))

    learn({"autoencoder": network}, loss_of, config.learning, (seed, 1), checkpoint, progress)
    return network


def encoded(network: Any, pictures: Pictures, batch: int = 64) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
    """Mean and standard deviation of every picture's latent, before scaling."""
    import torch

    means, deviations = [], []
    with torch.no_grad():
        for first in range(0, len(pictures), batch):
            posterior = network.encode(pictures.batch(np.arange(first, min(first + batch, len(pictures))))).latent_dist
            means.append(posterior.mean)
            deviations.append(posterior.std)
    return torch.cat(means), torch.cat(deviations)


def reconstruction_psnr_db(network: Any, pictures: Pictures) -> Float[np.ndarray, " n"]:
    """Of each picture, through the mean of its latent."""
    import torch

    result = []
    with torch.no_grad():
        for first in range(0, len(pictures), 64):
            chosen = np.arange(first, min(first + 64, len(pictures)))
            shown = as_pictures(network.decode(network.encode(pictures.batch(chosen)).latent_dist.mean).sample)
            error = np.square((shown.astype(np.float64) - pictures.rgb[chosen]) / 255.0).mean((1, 2, 3))
            result.append(-10.0 * np.log10(np.maximum(error, 1e-10)))
    return np.concatenate(result)
