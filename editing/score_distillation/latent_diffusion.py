"""A Stable Diffusion checkpoint as score distillation needs it: its parts as functions of tensors, all held (AvatarStudio, section 3.1.3).

pictures   [n, 3, height, width], 0...1
latents    [n, channels, h, w], times the autoencoder's scaling factor
t          whole time steps, 0 (no noise) ... 999; z_t = sqrt(a_t) z + sqrt(1 - a_t) eps with a_t the schedule's cumulative product
words      [n, tokens, size], what the text encoder makes of a sentence

Networks that predict velocity instead of noise (Stable Diffusion 2) are brought to noise: eps = sqrt(a_t) v + sqrt(1 - a_t) z_t.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from editing.diffusion_pipeline import load_pipeline
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

WANTED = "a Stable Diffusion pipeline of diffusers in a folder or on a hub that can be reached, such as stable-diffusion-v1-5"
PREDICTIONS = ("epsilon", "v_prediction")


class LatentDiffusion:
    """See the module. Nothing here changes; `copy_of_network` is what can be fine-tuned."""

    def __init__(self, pipeline: Any, name: str, device: torch.device, size_px: int | None = None) -> None:
        """Of a `StableDiffusionPipeline`, which belongs to this object from now on.

        On a GPU the denoising network computes in half precision, the autoencoder in single. `size_px`: height or width, whichever is
        smaller, of the pictures that it is given; None: what it was made for. Raises BadInput for a pipeline of another kind.
        """
        self._pipeline = pipeline
        inputs, latents = int(pipeline.unet.config.in_channels), int(pipeline.vae.config.latent_channels)
        if inputs != latents:
            raise BadInput(f"--model {name}: its UNet takes {inputs} channels, a text-to-image one takes the autoencoder's {latents}")
        self.name, self.device = name, device
        self.scheduler = _ddim(pipeline)
        self._prediction = str(self.scheduler.config.prediction_type)
        if self._prediction not in PREDICTIONS:
            raise BadInput(f"--model {name}: it predicts {self._prediction!r}; {' or '.join(PREDICTIONS)} is needed")
        self.size_px = size_px or int(pipeline.unet.config.sample_size) * int(pipeline.vae_scale_factor)
        for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
            if part.dtype != torch.float32:  # as the folder was written, in some versions of the packages
                part.float()
            part.requires_grad_(False).eval().to(device)
        self.unet = pipeline.unet.half() if device.type == "cuda" else pipeline.unet
        self.alphas: Float[Tensor, " time_steps"] = self.scheduler.alphas_cumprod.to(device)
        self._scaling = float(pipeline.vae.config.scaling_factor)

    @staticmethod
    def load(model: str, device: torch.device, size_px: int | None = None) -> LatentDiffusion:
        """By hub name or folder. Raises BadInput with one line where it cannot be had."""
        pipeline = load_pipeline("StableDiffusionPipeline", model, asked=f"--model {model}", wanted=WANTED)
        return LatentDiffusion(pipeline, model, device, size_px)

    @property
    def time_steps(self) -> int:
        return len(self.alphas)

    def copy_of_network(self) -> torch.nn.Module:
        """A denoising network in single precision that may learn."""
        network: torch.nn.Module = copy.deepcopy(self.unet)
        return (network if self.unet.dtype == torch.float32 else network.float()).requires_grad_(True)

    def words(self, sentences: Sequence[str]) -> Float[Tensor, "n tokens size"]:
        """Of sentences; BadInput for one that is longer than the text encoder reads."""
        tokenizer = self._pipeline.tokenizer
        longest = int(tokenizer.model_max_length)
        for sentence in sentences:
            n = len(tokenizer(sentence).input_ids)
            if n > longest:
                raise BadInput(f"“{sentence}” has {n} tokens for the text encoder of {self.name}; it reads {longest}")
        with torch.no_grad():
            found: Tensor = self._pipeline.encode_prompt(list(sentences), self.device, 1, False)[0]
        return found.float()

    def encode(self, pictures: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n channels h w"]:
        """Brought to the model's size and encoded (the distribution's mode); differentiable."""
        latents: Tensor = self._pipeline.vae.encode(self.resized(pictures) * 2.0 - 1.0).latent_dist.mode()
        return latents * self._scaling

    def resized(self, pictures: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n 3 model_height model_width"]:
        """Brought to the model's size; differentiable."""
        height, width = self._model_size(int(pictures.shape[2]), int(pictures.shape[3]))
        if pictures.shape[2:] == (height, width):
            return pictures
        return interpolate(pictures, (height, width), mode="bilinear", antialias=True)

    def decode(self, latents: Float[Tensor, "n channels h w"]) -> Float[Tensor, "n 3 height width"]:
        """0...1."""
        with torch.no_grad():
            pictures: Tensor = self._pipeline.vae.decode(latents / self._scaling, return_dict=False)[0]
        return (0.5 * pictures + 0.5).clamp(0.0, 1.0)

    def noised(
        self, latents: Float[Tensor, "n channels h w"], noise: Float[Tensor, "n channels h w"], t: Int[Tensor, " n"]
    ) -> Float[Tensor, "n channels h w"]:
        """z_t (equation 7)."""
        a = self.alphas[t][:, None, None, None]
        return a.sqrt() * latents + (1.0 - a).sqrt() * noise

    def noise_in(
        self,
        network: torch.nn.Module,
        noisy: Float[Tensor, "n channels h w"],
        t: Int[Tensor, " n"],
        words: Float[Tensor, "n tokens size"],
    ) -> Float[Tensor, "n channels h w"]:
        """The noise that `network` sees in `noisy`, single precision."""
        dtype = next(network.parameters()).dtype
        predicted: Tensor = network(noisy.to(dtype), t, encoder_hidden_states=words.to(dtype), return_dict=False)[0].float()
        if self._prediction == "epsilon":
            return predicted
        a = self.alphas[t][:, None, None, None]
        return a.sqrt() * predicted + (1.0 - a).sqrt() * noisy

    @torch.no_grad()
    def sample(
        self,
        network: torch.nn.Module,
        noise: Float[Tensor, "n channels h w"],
        words: Float[Tensor, "n tokens size"],
        steps: int,
        guidance: float = 1.0,
        progress: Callable[[], None] | None = None,
    ) -> Float[Tensor, "n channels h w"]:
        """Latents that `network` makes of pure noise in `steps` of DDIM; `guidance` is classifier-free, 1: none.

        `progress` is called after each step; an exception that it raises stops the sampling.
        """
        empty = self.words([""]).expand(len(noise), -1, -1)
        self.scheduler.set_timesteps(steps, device=self.device)
        latents = noise.to(self.device)
        for t in self.scheduler.timesteps:
            times = t.expand(len(latents))
            predicted = self.noise_in(network, latents, times, words)
            if guidance != 1.0:
                without = self.noise_in(network, latents, times, empty)
                predicted = without + guidance * (predicted - without)
            a = self.alphas[t]
            velocity = (predicted - (1.0 - a).sqrt() * latents) / a.sqrt()
            output = predicted if self._prediction == "epsilon" else a.sqrt() * predicted - (1.0 - a).sqrt() * velocity
            latents = self.scheduler.step(output, t, latents, return_dict=False)[0]
            if progress:
                progress()
        return latents

    def noise(self, seed: Sequence[int], n: int, like: Float[Tensor, "_ channels h w"]) -> Float[Tensor, "n channels h w"]:
        """Standard normal, the same for the same `seed` on every device."""
        return torch.randn((n, *like.shape[1:]), generator=generator(seed)).to(self.device)

    def _model_size(self, height: int, width: int) -> tuple[int, int]:
        """Multiples of what autoencoder and UNet halve."""
        unit = int(self._pipeline.vae_scale_factor) * 2 ** (len(self.unet.config.block_out_channels) - 1)
        scale = self.size_px / min(height, width)
        return max(unit, round(height * scale / unit) * unit), max(unit, round(width * scale / unit) * unit)


def generator(seed: Sequence[int]) -> torch.Generator:
    """On the CPU; different for every sequence of numbers."""
    return torch.Generator("cpu").manual_seed(int(np.random.SeedSequence(tuple(seed)).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def _ddim(pipeline: Any) -> Any:
    from diffusers import DDIMScheduler

    make: Any = DDIMScheduler.from_config
    return make(pipeline.scheduler.config, clip_sample=False)
