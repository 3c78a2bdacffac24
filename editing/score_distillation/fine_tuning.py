"""View-and-time-specific fine-tuning of the denoising network (AvatarStudio, section 3.2.1).

Equation 6 with the noise in place of the picture, which is what Stable Diffusion predicts:

    w_t | zeta(sqrt(a_t) E(x_i) + sqrt(1 - a_t) eps, s_i) - eps |^2,   s_i = Gamma("photo of a [identifier i] [class noun]")

The error of the picture is that of the noise times (1 - a_t) / a_t, so w_t = max(1, min(limit, (1 - a_t) / a_t)): with the limit 1 it is
DreamBooth's loss; with a higher one, early time steps, in which a picture is told from another, count for more, which a short fine-tuning
needs. The paper leaves w_t open.

A batch holds different keyframes, each at its own t, all with the same eps: different noise may leak what one identifier means into
another (section 3.2.1). The class-specific prior preservation loss (DreamBooth, equation 2) is the same on pictures that the pre-trained
network makes of "photo of a [class noun]", as many as keyframes.

The network learns, and so do the labels' embeddings s_i, beginning with what the text encoder makes of them: the paper "estimates multiple
tokens", one identifier's for each keyframe, and does not say what of the text side learns. The text encoder itself is held, so that no
other word changes its meaning.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

    from editing.score_distillation.config import FineTuningConfig
    from editing.score_distillation.latent_diffusion import LatentDiffusion

PRIOR_BATCH = 4
NOISE_SEED, CHOICE_SEED, PRIOR_SEED = 1, 2, 3
"""Which randomness is drawn: every step's depends on the job's seed, on this and on the step alone, so a stopped run draws the same."""


class FineTuner:
    """Every piece of state that a resumed fine-tuning needs is in `state`."""

    def __init__(
        self,
        model: LatentDiffusion,
        latents: Float[Tensor, "n channels h w"],
        words: Float[Tensor, "n tokens size"],
        prior: Float[Tensor, "n_prior channels h w"],
        prior_words: Float[Tensor, "1 tokens size"],
        config: FineTuningConfig,
        seed: int,
    ) -> None:
        """`latents` and `words` of the keyframes; without `prior` pictures (n_prior = 0) their loss is left out."""
        self._model, self._config, self._seed = model, config, seed
        self._latents, self._prior, self._prior_words = latents, prior, prior_words
        self.network = model.copy_of_network()
        self._owner = owners(words)
        """Which row of `_tokens` is whose: keyframes with the same label share one."""
        self._tokens = torch.nn.Parameter(torch.stack([words[self._owner.index(k)] for k in range(max(self._owner) + 1)]).clone())
        self._parameters = [*self.network.parameters(), self._tokens]
        groups = [{"params": self._parameters[:-1], "lr": config.rate}, {"params": [self._tokens], "lr": config.token_rate}]
        self._optimiser = torch.optim.Adam(groups)
        self._weights = ((1.0 - model.alphas) / model.alphas).clamp(max=config.weight_limit).clamp(min=1.0)
        self.n_done = 0

    @property
    def labels(self) -> Float[Tensor, "n tokens size"]:
        """s_i of each keyframe as learned so far."""
        return self._tokens.detach()[self._owner]

    def step(self) -> float:
        """One step of Adam; returns the keyframes' loss."""
        model, config, k = self._model, self._config, self.n_done
        rng = np.random.default_rng((self._seed, CHOICE_SEED, k))
        n = min(config.batch, len(self._latents))
        chosen = torch.from_numpy(rng.choice(len(self._latents), n, replace=False))
        latents, words = self._latents[chosen], self._tokens[[self._owner[int(k)] for k in chosen]]
        n_prior = min(n, len(self._prior))
        if n_prior:
            others = torch.from_numpy(rng.choice(len(self._prior), n_prior, replace=False))
            latents = torch.cat([latents, self._prior[others]])
            words = torch.cat([words, self._prior_words.expand(n_prior, -1, -1)])
        t = torch.from_numpy(rng.integers(0, model.time_steps, len(latents))).to(model.device)
        noise = model.noise((self._seed, NOISE_SEED, k), 1, latents).expand_as(latents)
        with _autocast(model.device):
            predicted = model.noise_in(self.network, model.noised(latents, noise, t), t, words)
        errors = ((predicted - noise) ** 2).mean((1, 2, 3)) * self._weights[t]
        loss = errors[:n].mean()
        total = loss + config.prior_weight * errors[n:].mean() if n_prior else loss
        total.backward()
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.n_done += 1
        return float(loss.detach())

    def state(self) -> dict[str, Tensor]:
        """Tensors by name, for a safetensors file."""
        tensors = self.network_state()
        for i, parameter in enumerate(self._parameters):
            for key, value in self._optimiser.state.get(parameter, {}).items():
                tensors[f"adam/{i}/{key}"] = value
        return tensors

    def network_state(self) -> dict[str, Tensor]:
        """The same without the optimiser's: enough once the fine-tuning is done."""
        tensors = {f"network/{name}": value.detach() for name, value in self.network.state_dict().items()}
        return {**tensors, "tokens": self._tokens.detach(), "step": torch.tensor(self.n_done)}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.network.load_state_dict({n.removeprefix("network/"): t for n, t in tensors.items() if n.startswith("network/")})
        with torch.no_grad():
            self._tokens.copy_(tensors["tokens"])
        for i, parameter in enumerate(self._parameters):
            prefix = f"adam/{i}/"
            saved = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            if saved:
                # Adam counts its steps on the CPU, wherever the parameter lies.
                self._optimiser.state[parameter] = {n: t if n == "step" else t.to(parameter.device) for n, t in saved.items()}
        self.n_done = int(tensors["step"])


def owners(words: Float[Tensor, "n tokens size"]) -> list[int]:
    """A number for each label, the same for equal ones, from 0 in the order in which they come first."""
    first: list[Tensor] = []
    found = []
    for word in words:
        same = next((k for k, other in enumerate(first) if torch.equal(word, other)), len(first))
        if same == len(first):
            first.append(word)
        found.append(same)
    return found


def prior_latents(
    model: LatentDiffusion,
    words: Float[Tensor, "1 tokens size"],
    like: Float[Tensor, "_ channels h w"],
    config: FineTuningConfig,
    seed: int,
    first: int,
    progress: Callable[[], None] | None = None,
) -> Float[Tensor, "n channels h w"]:
    """The next pictures of the class from the `first`-th on, at most `PRIOR_BATCH`, as the pre-trained network makes them."""
    n = min(PRIOR_BATCH, config.prior_pictures - first)
    noise = model.noise((seed, PRIOR_SEED, first), n, like)
    return model.sample(model.unet, noise, words.expand(n, -1, -1), config.prior_steps, config.prior_guidance, progress)


def _autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Single-precision weights, bfloat16 products on a GPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()
