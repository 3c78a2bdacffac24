"""Training the refinement network: alone on pairs of pictures, or together with the field (equation 4 of Instruct-NeuralTalker).

Together: render a patch with its graph, then

    found = trainer.losses(rendered, edited, lips)
    found.total.backward()        # fills the gradients of the refiner and, through `rendered`, of the field
    trainer.update(found, edited)
    field_optimiser.step()

Every random choice of a step is drawn from (seed, step), so a training that was stopped and resumed equals an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from editing.edit.refiner_losses import (
    LossWeights,
    adversarial_loss,
    discriminator_loss,
    lip_edge_loss,
    perceptual_loss,
    reconstruction_loss,
    style_loss,
)
from renderer.errors import BadInput
from renderer.refiner.config import RefinerConfig
from renderer.refiner.torch_refiner import TorchRefiner
from renderer.types import DEFAULT_REFINE_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float, UInt8
    from torch import Tensor

    from editing.edit.refiner_losses import Features
    from renderer.refiner.config import Refiner

SMALLEST_PATCH_PX = 16
"""The filter bank and the discriminator need some places at their coarsest scale."""
DISCRIMINATOR_CHANNELS = (32, 64, 64)
LEAK = 0.2


@dataclass(frozen=True)
class RefinerTrainingConfig:
    """How the refiner learns. Where the paper names a number, the defaults are its own."""

    refiner: RefinerConfig = field(default_factory=RefinerConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    refine_weight: float = DEFAULT_REFINE_WEIGHT
    """omega during the optimisation."""
    learning_rate: float = 2e-4
    """Adam's, for refiner and discriminator."""
    detail_to_field: bool = True
    """Whether the gradient of L_high passes through the refiner's input into the field, as in equation 4, which minimises over both."""
    steps: int = 2000
    """On patches from anywhere in the picture."""
    fine_tune_steps: int = 500
    """On patches around the lips, after those; the lip-edge loss takes part (equation 10)."""
    patch_px: int = 256
    """Edge of a patch; a smaller picture is taken whole."""
    lip_patch_px: int = 64
    batch: int = 1
    """Patches a step."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.refine_weight <= 1.0:
            raise BadInput(f"refine_weight {self.refine_weight}: above 0 and at most 1 is possible in training")
        if not self.learning_rate > 0.0:
            raise BadInput(f"learning_rate {self.learning_rate}: above 0 is possible")
        if self.steps < 0 or self.fine_tune_steps < 0 or self.batch < 1:
            raise BadInput(f"steps {self.steps}, fine_tune_steps {self.fine_tune_steps} (0 or more) or batch {self.batch} (1 or more)")
        for name in ("patch_px", "lip_patch_px"):
            if getattr(self, name) < SMALLEST_PATCH_PX or getattr(self, name) % 2:
                raise BadInput(f"{name} {getattr(self, name)}: an even number from {SMALLEST_PATCH_PX} on is possible")


@dataclass(frozen=True)
class Lips:
    """What the lip-edge loss needs of a batch of patches."""

    original: Float[Tensor, "n h w 3"]
    """The pictures before any edit."""
    mask: Float[Tensor, "n h w"]


@dataclass(frozen=True)
class RefinerLosses:
    """One step's losses, with their graph."""

    total: Float[Tensor, ""]
    """Equation 9, or 10 where lips were given."""
    terms: dict[str, Float[Tensor, ""]]
    """By the names of `LossWeights`, before they are weighed."""
    refined: Float[Tensor, "n h w 3"]
    """I_f."""

    def values(self) -> dict[str, float]:
        """The terms and their weighted sum, "total", as numbers."""
        return {name: float(value.detach()) for name, value in (*self.terms.items(), ("total", self.total))}


class PatchDiscriminator(nn.Module):
    """Says of each patch of a picture, as a logit, whether it is of an edited one (Isola et al. 2017, section 3.2.2, made small)."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        layers: list[nn.Module] = []
        n_in = 3
        for channels in DISCRIMINATOR_CHANNELS:
            layers += [nn.Conv2d(n_in, channels, 4, stride=2, padding=1), nn.LeakyReLU(LEAK)]
            n_in = channels
        layers.append(nn.Conv2d(n_in, 1, 3, padding=1))
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                n_inputs = layer.weight[0].numel()
                with torch.no_grad():
                    layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2.0 / n_inputs) ** 0.5)
                    assert layer.bias is not None
                    layer.bias.zero_()
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n 1 y x"]:
        return self.layers(2.0 * pictures.permute(0, 3, 1, 2) - 1.0)


class RefinerTrainer:
    """Refiner, discriminator and their optimisers."""

    def __init__(
        self, config: RefinerTrainingConfig, features: Features, device: torch.device | None = None, start: Refiner | None = None
    ) -> None:
        """`features` (see `open_features`) is on `device`, where all pictures are as well; default: the CPU.

        With `start` the network begins with the weights of that refiner. Raises BadInput if it has other sizes.
        """
        self.config = config
        if start is not None and start.config != config.refiner:
            raise BadInput(f"a refiner of {start.config} cannot be the start of one of {config.refiner}")
        network = TorchRefiner(config.refiner, config.seed) if start is None else TorchRefiner.from_refiner(start)
        self.network = network.to(device or "cpu")
        self.discriminator = PatchDiscriminator(config.seed + 1).to(device or "cpu")
        self._features = features
        self._optimiser = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self._discriminator_optimiser = torch.optim.Adam(self.discriminator.parameters(), config.learning_rate)
        self.step = 0
        """Steps done."""

    def losses(self, rendered: Float[Tensor, "n h w 3"], edited: Float[Tensor, "n h w 3"], lips: Lips | None = None) -> RefinerLosses:
        """Of one batch of patches; gradients flow to the refiner and into `rendered`."""
        weights = self.config.weights
        seen = rendered if self.config.detail_to_field else rendered.detach()
        refined = self.network.refine(seen, self.config.refine_weight)
        of_refined = self._features(refined)
        with torch.no_grad():
            of_edited = self._features(edited)
        terms = {
            "reconstruction": reconstruction_loss(rendered, edited),
            "perceptual": perceptual_loss(of_refined, of_edited),
            "style": style_loss(of_refined, of_edited),
            "adversarial": adversarial_loss(self.discriminator(refined)),
        }
        if lips is not None:
            terms["lip_edge"] = lip_edge_loss(rendered, lips.original, lips.mask)
        total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        return RefinerLosses(total, terms, refined)

    def update(self, found: RefinerLosses, edited: Float[Tensor, "n h w 3"]) -> None:
        """After `found.total.backward()`: a step of the refiner, then one of the discriminator."""
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        # What the adversarial loss left in the discriminator is not what it learns from.
        self._discriminator_optimiser.zero_grad(set_to_none=True)
        discriminator_loss(self.discriminator(found.refined.detach()), self.discriminator(edited)).backward()
        self._discriminator_optimiser.step()
        self._discriminator_optimiser.zero_grad(set_to_none=True)
        self.step += 1

    def tensors(self) -> dict[str, Tensor]:
        """`state_dict` as named tensors, for a safetensors file."""
        named = {"step": torch.tensor(self.step)}
        for part, network, optimiser in self._parts():
            named |= {f"{part}/{name}": value for name, value in network.state_dict().items()}
            for i, moments in optimiser.state_dict()["state"].items():
                named |= {f"{part}_adam/{i}/{name}": value for name, value in moments.items()}
        return named

    def load_tensors(self, named: dict[str, Tensor]) -> None:
        """The inverse of `tensors`. Raises BadInput for a state of another configuration."""
        state: dict[str, Any] = {"step": named.get("step", -1)}
        for part, _, optimiser in self._parts():
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in named.items():
                if name.startswith(f"{part}_adam/"):
                    _, i, key = name.split("/")
                    moments.setdefault(int(i), {})[key] = value
            state[part] = {name.removeprefix(f"{part}/"): value for name, value in named.items() if name.startswith(f"{part}/")}
            state["optimiser" if part == "network" else f"{part}_optimiser"] = {**optimiser.state_dict(), "state": moments}
        self.load_state_dict(state)

    def _parts(self) -> tuple[tuple[str, nn.Module, torch.optim.Optimizer], ...]:
        return ("network", self.network, self._optimiser), ("discriminator", self.discriminator, self._discriminator_optimiser)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs; tensors and numbers only."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "discriminator_optimiser": self._discriminator_optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`. Raises BadInput for a state of another configuration."""
        try:
            self.network.load_state_dict(state["network"])
            self.discriminator.load_state_dict(state["discriminator"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._discriminator_optimiser.load_state_dict(state["discriminator_optimiser"])
            self.step = int(state["step"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise BadInput(f"not a state of this refiner's training: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True)
class RefinerPair:
    """What the field shows of a frame, and what the editor made of that frame; all of one size."""

    rendered: UInt8[np.ndarray, "h w 3"]
    edited: UInt8[np.ndarray, "h w 3"]
    original: UInt8[np.ndarray, "h w 3"]
    lips: Bool[np.ndarray, "h w"]
    """Where the original shows lips; all False where they are not known: the frame is then left out of the fine-tune."""

    def __post_init__(self) -> None:
        shape = self.rendered.shape
        if len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < SMALLEST_PATCH_PX:
            raise BadInput(f"a picture of shape {shape}; [height, width, 3] from {SMALLEST_PATCH_PX} pixels on was expected")
        for name, wanted in (("edited", shape), ("original", shape), ("lips", shape[:2])):
            if getattr(self, name).shape != wanted:
                raise BadInput(f"{name} has shape {getattr(self, name).shape}; {wanted} was expected")


def train_refiner(
    pairs: Sequence[RefinerPair],
    trainer: RefinerTrainer,
    on_step: Callable[[int, dict[str, float]], bool] | None = None,
    device: torch.device | None = None,
) -> None:
    """Train on pictures that stay as they are, from where the trainer stands to the end of its schedule.

    `on_step(steps done, losses)` is called after each step and stops the training by returning False. Raises BadInput without pairs, or
    where a fine-tune is asked for and no pair has lips.
    """
    config = trainer.config
    with_lips = np.array([i for i, pair in enumerate(pairs) if pair.lips.any()], np.int64)
    if not pairs:
        raise BadInput("no pictures to train the refiner on; at least one pair is needed")
    if config.fine_tune_steps and not len(with_lips):
        raise BadInput("no picture has a lip mask, which the fine-tune needs; give masks or set fine_tune_steps to 0")
    for step in range(trainer.step, config.steps + config.fine_tune_steps):
        random = np.random.default_rng((config.seed, step))
        is_fine_tune = step >= config.steps
        choices = with_lips if is_fine_tune else np.arange(len(pairs))
        chosen = [pairs[i] for i in random.choice(choices, config.batch)]
        edge = config.lip_patch_px if is_fine_tune else config.patch_px
        # The smallest of the batch decides, so that patches can be stacked.
        height, width = (min(edge, *(pair.rendered.shape[axis] // 2 * 2 for pair in chosen)) for axis in (0, 1))
        corners = [patch_corner(pair.lips, height, width, random, is_fine_tune) for pair in chosen]
        rendered, edited, original = (
            _stack([getattr(pair, name) for pair in chosen], corners, height, width, device) for name in ("rendered", "edited", "original")
        )
        lips = None
        if is_fine_tune:
            masks = [pair.lips[y : y + height, x : x + width] for pair, (y, x) in zip(chosen, corners, strict=True)]
            lips = Lips(original, torch.from_numpy(np.stack(masks)).to(rendered))
        found = trainer.losses(rendered, edited, lips)
        found.total.backward()
        values = found.values()
        trainer.update(found, edited)
        if on_step is not None and not on_step(trainer.step, values):
            return


def patch_corner(lips: Bool[np.ndarray, "h w"], height: int, width: int, random: np.random.Generator, on_lips: bool) -> tuple[int, int]:
    """Top left (row, column) of a patch, both even as the refiner's blocks are: anywhere, or so that the lips' middle is the patch's."""
    spare = (lips.shape[0] - height, lips.shape[1] - width)
    if on_lips:
        middle = [0.5 * (int(places.min()) + int(places.max()) + 1) for places in np.nonzero(lips)]
        wanted = [round(m - 0.5 * size) for m, size in zip(middle, (height, width), strict=True)]
    else:
        wanted = [int(random.integers(0, room + 1)) for room in spare]
    row, column = (min(max(0, place), room) // 2 * 2 for place, room in zip(wanted, spare, strict=True))
    return row, column


def _stack(
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]],
    corners: Sequence[tuple[int, int]],
    height: int,
    width: int,
    device: torch.device | None,
) -> Float[Tensor, "n h w 3"]:
    patches = [picture[y : y + height, x : x + width] for picture, (y, x) in zip(pictures, corners, strict=True)]
    return torch.from_numpy(np.stack(patches)).to(device or "cpu").float() / 255.0
