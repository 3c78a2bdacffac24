"""The finished model as a folder that `diffusers.StableDiffusionPipeline.from_pretrained` loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.diffusion_pipeline import load_pipeline
from editing.style_diffusion.denoiser import SCHEDULE
from renderer.images import quantise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor

JUDGE_NAME = "style_judge.safetensors"
"""An `editing.evaluate.style_similarity.StyleJudge` of the same styles, beside the model."""
BATCH = 12
"""Pictures that are sampled together."""


def with_normal_latents(autoencoder: Any, mean: Float[Tensor, " c"], deviation: Float[Tensor, " c"]) -> None:
    """Give the autoencoder latents of mean 0 and deviation 1 in each channel, in place; it decodes them to the same pictures.

    `mean` and `deviation` are those of its latents so far. Stable Diffusion's single scaling factor leaves the channels as different as
    they are; here the two 1×1 convolutions beside the latent take it in, and the factor is 1.
    """
    import torch

    into, out_of = autoencoder.quant_conv, autoencoder.post_quant_conv
    n = len(mean)
    with torch.no_grad():
        into.weight[:n] /= deviation[:, None, None, None]
        into.bias[:n] = (into.bias[:n] - mean) / deviation
        into.bias[n:] -= 2.0 * deviation.log()
        out_of.bias += out_of.weight[:, :, 0, 0] @ mean
        out_of.weight *= deviation[None, :, None, None]
    autoencoder.register_to_config(scaling_factor=1.0)


def write_pipeline(folder: Path, autoencoder: Any, unet: Any, text_encoder: Any, tokenizer: Any) -> None:
    """The convolutional networks in half precision, the small text encoder in single precision."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    make_scheduler: Any = DDIMScheduler
    make: Any = StableDiffusionPipeline
    pipeline = make(
        vae=autoencoder.half(),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet.half(),
        # Stable Diffusion's own settings of DDIM; its latents are not limited to −1…1.
        scheduler=make_scheduler(**SCHEDULE, prediction_type="epsilon", clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)


def open_pipeline(folder: Path) -> Any:
    """On the CPU, in single precision. BadInput for a folder that holds no such model."""
    import torch

    name = str(folder.resolve())
    wanted = "a Stable Diffusion pipeline's folder; python -m editing style-diffusion makes one"
    return load_pipeline("StableDiffusionPipeline", name, asked=str(folder), wanted=wanted).to(torch.float32)


def sample(
    pipeline: Any,
    prompts: Sequence[str],
    seed: int,
    guidance: float,
    steps: int,
    progress: Callable[[int], None] | None = None,
) -> UInt8[np.ndarray, "n h w 3"]:
    """One picture a prompt, with classifier-free guidance; the k-th begins with the noise of (seed, k)."""
    import torch

    result = []
    for first in range(0, len(prompts), BATCH):
        part = list(prompts[first : first + BATCH])
        seeds = [int(np.random.SeedSequence((seed, first + k)).generate_state(1)[0]) for k in range(len(part))]
        noises = [torch.Generator("cpu").manual_seed(own) for own in seeds]
        shown = pipeline(part, num_inference_steps=steps, guidance_scale=guidance, generator=noises, output_type="np").images
        result.append(quantise(shown))
        if progress:
            progress(first + len(part))
    return np.concatenate(result)
