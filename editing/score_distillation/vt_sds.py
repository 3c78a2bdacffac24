"""View-and-time-aware score distillation sampling (AvatarStudio, section 3.3): from a rendered keyframe to the gradient of its latent.

    Psi(z_t, t, s, s_i) = w (v zeta(z_t, s) + (1 - v) zeta^(z_t, s_i)) + (1 - w) zeta(z_t)                       (equation 10)
    grad L = w(t) (Psi - eps),   w(t) = 1 - a_t (Poole et al. 2022)                                             (equation 8)

zeta is the pre-trained network, zeta^ the fine-tuned one, s the prompt, s_i the keyframe's label; v = 0.6 for t > K and 1 for t <= K.
Equation 8 is printed with the opposite sign; this is the gradient that is descended, as Poole et al. have it. It is taken with respect to
the latent z = E(x) and goes on through the encoder to the pixels and to the field. Divided by the number of latent values, so that its
size does not depend on the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from editing.score_distillation.config import NOMINAL_TIME_STEPS

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from editing.score_distillation.config import GuidanceConfig
    from editing.score_distillation.latent_diffusion import LatentDiffusion

TIME_SEED, NOISE_SEED = 11, 12


@dataclass(frozen=True)
class Score:
    """What the diffusion models say of a latent."""

    gradient: Float[Tensor, "1 channels h w"]
    """Of the loss with respect to the latent."""
    t: int
    error: float
    """Mean of |Psi - eps|: how far the picture is from what the models expect."""


class Distillation:
    """The two networks and what they are told."""

    def __init__(
        self,
        model: LatentDiffusion,
        fine_tuned: torch.nn.Module,
        prompt: Float[Tensor, "1 tokens size"],
        labels: Float[Tensor, "n tokens size"],
        config: GuidanceConfig,
        seed: int,
    ) -> None:
        """`labels`: s_i of each keyframe."""
        self._model, self._fine_tuned, self._config, self._seed = model, fine_tuned, config, seed
        self._prompt, self._labels, self._empty = prompt, labels, model.words([""])

    def score(self, latent: Float[Tensor, "1 channels h w"], keyframe: int, step: int, n_steps: int) -> Score:
        """For a render of `keyframe`, in step `step` of `n_steps`. Everything random depends on the seed and the step alone."""
        model = self._model
        t = time_of(self._config, model.time_steps, step, n_steps, self._seed)
        noise = model.noise((self._seed, NOISE_SEED, step), 1, latent)
        with torch.no_grad():
            times = torch.tensor([t], device=model.device)
            combined = self.noise_estimate(model.noised(latent.detach(), noise, times), t, keyframe)
            weight = 1.0 - model.alphas[t]
            return Score(weight * (combined - noise) / latent.numel(), t, float((combined - noise).abs().mean()))

    @torch.no_grad()
    def noise_estimate(self, noisy: Float[Tensor, "1 channels h w"], t: int, keyframe: int) -> Float[Tensor, "1 channels h w"]:
        """Psi of equation 10."""
        model, w = self._model, self._config.guidance
        v = pretrained_share(self._config, t, model.time_steps)
        times = torch.tensor([t, t], device=model.device)
        # One pass for both of the pre-trained network's, also where v leaves one unused.
        with_prompt, without = model.noise_in(model.unet, noisy.expand(2, -1, -1, -1), times, torch.cat([self._prompt, self._empty])).split(
            1
        )
        wanted = with_prompt
        if v < 1.0:
            personal = model.noise_in(self._fine_tuned, noisy, times[:1], self._labels[keyframe : keyframe + 1])
            wanted = v * with_prompt + (1.0 - v) * personal
        return w * wanted + (1.0 - w) * without


def pretrained_share(config: GuidanceConfig, t: int, time_steps: int) -> float:
    """v of equation 10 at time step `t`."""
    return config.pretrained_share if t > config.personal_above * time_steps / NOMINAL_TIME_STEPS else 1.0


def most_time(config: GuidanceConfig, step: int, n_steps: int) -> float:
    """The annealed upper end of t's range as a share of the schedule: even from the first step to the last."""
    first, last = config.most_time
    return first + (last - first) * step / max(1, n_steps - 1)


def time_of(config: GuidanceConfig, time_steps: int, step: int, n_steps: int, seed: int) -> int:
    """t of a step, drawn evenly."""
    rng = np.random.default_rng((seed, TIME_SEED, step))
    return min(time_steps - 1, int(time_steps * rng.uniform(config.least_time, most_time(config, step, n_steps))))
