"""View-and-time-aware score distillation sampling (AvatarStudio, section 3.3): from a rendered keyframe to the gradient of its latent.

    Psi(z_t, t, s, s_i) = w (v zeta(z_t, s) + (1 - v) zeta^(z_t, s_i)) + (1 - w) zeta(z_t)                       (equation 10)
    grad L = w(t) (Psi - eps),   w(t) = 1 - a_t (Poole et al. 2022)                                             (equation 8)

zeta is the pre-trained network, zeta^ the fine-tuned one, s the prompt, s_i the keyframe's label; v = 0.6 for t > K and 1 for t <= K.
Equation 8 is printed with the opposite sign; this is the gradient that is descended, as Poole et al. have it. It is taken with respect to
the latent z = E(x). Divided by the number of latent values, so that its size does not depend on the model.

From there to the pixels of the render x there are two ways. The paper's multiplies by the encoder's Jacobian: grad_x = J_E^T grad_z. An
encoder is not made for that: one that was trained to be read by its decoder alone may pull a latent that turns to bronze into pixels that
turn to turquoise. The other lets the decoder say what is meant, grad_x = D(z) - D(z - grad_z) + S(x - D(z)); for an orthogonal autoencoder
the two are the same. S smooths over a few cells of the latent: colours as a whole are held to what the autoencoder can draw, for where E
does not see how strong they are they would grow without end; what it cannot draw, such as small mouths, is left as it is.

With several draws a step, the score is the mean over as many noises and time steps of the same render: the same in expectation, with less
noise, where a render costs more than a look of the networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from editing.score_distillation.config import DECODER, NOMINAL_TIME_STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from editing.score_distillation.config import GuidanceConfig
    from editing.score_distillation.latent_diffusion import LatentDiffusion

TIME_SEED, NOISE_SEED = 11, 12
SMOOTHED_CELLS = 2
"""Cells of the latent along a side of S's squares, in the decoder's way."""


@dataclass(frozen=True)
class Score:
    """What the diffusion models say of a latent."""

    gradient: Float[Tensor, "1 channels h w"]
    """Of the loss with respect to the latent."""
    t: tuple[int, ...]
    """Of each draw."""
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
        times = times_of(self._config, model.time_steps, step, n_steps, self._seed)
        noise = model.noise((self._seed, NOISE_SEED, step), len(times), latent)
        with torch.no_grad():
            noisy = model.noised(latent.detach().expand_as(noise), noise, torch.tensor(times, device=model.device))
            combined = self.noise_estimate(noisy, times, keyframe)
            weight = 1.0 - model.alphas[list(times)][:, None, None, None]
            gradient = (weight * (combined - noise)).mean(0, keepdim=True) / latent.numel()
            return Score(gradient, times, float((combined - noise).abs().mean()))

    @torch.no_grad()
    def noise_estimate(
        self, noisy: Float[Tensor, "n channels h w"], times: Sequence[int], keyframe: int
    ) -> Float[Tensor, "n channels h w"]:
        """Psi of equation 10 for `n` draws of one keyframe, each with its time step."""
        model, w, n = self._model, self._config.guidance, len(times)
        shares = [pretrained_share(self._config, t, model.time_steps) for t in times]
        t = torch.tensor(times, device=model.device)
        # One pass for both of the pre-trained network's, also where v leaves one unused.
        words = torch.cat([self._prompt.expand(n, -1, -1), self._empty.expand(n, -1, -1)])
        with_prompt, without = model.noise_in(model.unet, torch.cat([noisy, noisy]), torch.cat([t, t]), words).split(n)
        wanted = with_prompt.clone()
        shared = [k for k, v in enumerate(shares) if v < 1.0]
        if shared:
            label = self._labels[keyframe : keyframe + 1].expand(len(shared), -1, -1)
            personal = model.noise_in(self._fine_tuned, noisy[shared], t[shared], label)
            v = torch.tensor([shares[k] for k in shared], device=model.device)[:, None, None, None]
            wanted[shared] = v * with_prompt[shared] + (1.0 - v) * personal
        return w * wanted + (1.0 - w) * without

    def surrogate(
        self, picture: Float[Tensor, "1 3 height width"], keyframe: int, step: int, n_steps: int
    ) -> tuple[Float[Tensor, ""], Score]:
        """A number whose gradient with respect to a render of `keyframe` is the score's, by the way that is chosen; and the score."""
        model = self._model
        if self._config.way == DECODER:
            resized = model.resized(picture)
            with torch.no_grad():
                latent = model.encode(resized)
            score = self.score(latent, keyframe, step, n_steps)
            # Of the size that it has before the division: the decoder is no linear map.
            now, meant = model.decode(torch.cat([latent, latent - score.gradient * latent.numel()])).split(1)
            strayed = smoothed(resized.detach() - now, SMOOTHED_CELLS * resized.shape[-1] // latent.shape[-1])
            return ((now - meant + strayed) * resized).sum() / resized.numel(), score
        latent = model.encode(picture)
        score = self.score(latent, keyframe, step, n_steps)
        return (score.gradient * latent).sum(), score


def smoothed(picture: Float[Tensor, "1 channels h w"], px: int) -> Float[Tensor, "1 channels h w"]:
    """Means of squares of about `px`, with even ways between them."""
    height, width = picture.shape[2:]
    squares = torch.nn.functional.adaptive_avg_pool2d(picture, (max(1, height // px), max(1, width // px)))
    return torch.nn.functional.interpolate(squares, (height, width), mode="bilinear")


def pretrained_share(config: GuidanceConfig, t: int, time_steps: int) -> float:
    """v of equation 10 at time step `t`."""
    return config.pretrained_share if t > config.personal_above * time_steps / NOMINAL_TIME_STEPS else 1.0


def most_time(config: GuidanceConfig, step: int, n_steps: int) -> float:
    """The annealed upper end of t's range as a share of the schedule: even from the first step to the last."""
    first, last = config.most_time
    return first + (last - first) * step / max(1, n_steps - 1)


def times_of(config: GuidanceConfig, time_steps: int, step: int, n_steps: int, seed: int) -> tuple[int, ...]:
    """The time steps of a step's draws: one drawn evenly from each of as many equal parts of the range."""
    rng = np.random.default_rng((seed, TIME_SEED, step))
    shares = (np.arange(config.draws) + rng.uniform(size=config.draws)) / config.draws
    least, most = config.least_time, most_time(config, step, n_steps)
    return tuple(min(time_steps - 1, int(time_steps * (least + share * (most - least)))) for share in shares)
