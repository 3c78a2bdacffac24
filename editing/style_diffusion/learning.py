"""The loop that trains either network: steps that depend on nothing but the seed and their number, averaged weights, and a checkpoint.

A run that was stopped and goes on passes through the same states as one that was not (on a CPU, with the same number of threads).
"""

from __future__ import annotations

import math
import pickle
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.train.interruption import InterruptBetweenSteps
from editing.whole_files import write_whole
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

SAVE_EVERY_S = 60.0
BETAS = (0.9, 0.99)
MAX_GRADIENT = 1.0
"""Norm to which the gradient is clipped."""
LEAST_RATE = 0.02
"""Share of the highest rate that the cosine ends with."""


@dataclass(frozen=True)
class LearningConfig:
    """Steps and rates of one network."""

    steps: int
    batch: int
    """pictures to a step"""
    rate: float
    """highest learning rate of AdamW; it falls by a cosine"""
    warm_up_steps: int = 50
    """over which the rate rises"""
    weight_decay: float = 0.01
    averaging: float = 0.995
    """decay of the exponential mean of the weights, which is what is kept"""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise BadInput(f"{self.steps} steps of {self.batch} pictures: 1 or more of each is possible")
        if not 0.0 < self.rate < 1.0:
            raise BadInput(f"learning rate {self.rate:g}: above 0 and below 1 is possible")

    def rate_at(self, step: int) -> float:
        """Of step 0, 1, …"""
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.rate * min(1.0, (step + 1) / self.warm_up_steps) * max(LEAST_RATE, cosine)


def learn(
    networks: dict[str, Any],
    loss_of: Callable[[np.random.Generator], Tensor],
    config: LearningConfig,
    seed: tuple[int, ...],
    checkpoint: Path,
    progress: Callable[[int, int, float], None],
) -> None:
    """Train the networks together, from where the checkpoint stands, and leave them with their averaged weights, in evaluation mode.

    `loss_of` gets the generator of its step. `progress` gets the steps that are done, all of them, and the loss. BadInput for a
    checkpoint of other networks; KeyboardInterrupt between steps, with the checkpoint written.
    """
    import torch

    parameters = [parameter for network in networks.values() for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.rate, betas=BETAS, weight_decay=config.weight_decay)
    averaged = [parameter.detach().clone() for parameter in parameters]
    done = 0
    if checkpoint.is_file():
        done = _restore(checkpoint, networks, optimizer, averaged)
    for network in networks.values():
        network.train()

    def save() -> None:
        state = {
            "networks": {name: network.state_dict() for name, network in networks.items()},
            "optimizer": optimizer.state_dict(),
            "averaged": averaged,
            "done": done,
        }
        write_whole(checkpoint, lambda path: torch.save(state, path))

    saved_s, begun = time.monotonic(), done
    with InterruptBetweenSteps() as interrupt:
        try:
            for step in range(done, config.steps):
                for group in optimizer.param_groups:
                    group["lr"] = config.rate_at(step)
                loss = loss_of(np.random.default_rng((*seed, step)))
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT)
                optimizer.step()
                decay = min(config.averaging, (1 + step) / (10 + step))
                with torch.no_grad():
                    torch._foreach_lerp_(averaged, parameters, 1.0 - decay)
                done = step + 1
                progress(done, config.steps, loss.item())
                if time.monotonic() - saved_s > SAVE_EVERY_S:
                    saved_s = time.monotonic()
                    save()
                interrupt.check()
        except KeyboardInterrupt:
            save()
            raise
    if done > begun:
        save()
    with torch.no_grad():
        for parameter, mean in zip(parameters, averaged, strict=True):
            parameter.copy_(mean)
    for network in networks.values():
        network.eval()


def torch_generator(generator: np.random.Generator) -> Any:
    """torch's, seeded by numpy's."""
    import torch

    return torch.Generator("cpu").manual_seed(int(generator.integers(2**62)))


def _restore(checkpoint: Path, networks: dict[str, Any], optimizer: Any, averaged: list[Tensor]) -> int:
    import torch

    try:
        state = torch.load(checkpoint, weights_only=True)
        for name, network in networks.items():
            network.load_state_dict(state["networks"][name])
        optimizer.load_state_dict(state["optimizer"])
        for mine, kept in zip(averaged, state["averaged"], strict=True):
            mine.copy_(kept)
        return int(state["done"])
    except (OSError, KeyError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or ["unreadable"])[0]
        raise BadInput(f"{checkpoint} does not fit this training ({reason}); remove it, or pass --restart") from error
