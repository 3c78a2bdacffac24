"""The second half of the model: noise in latents is predicted from the noisy latent, its time step and a sentence.

A UNet2DConditionModel and a CLIPTextModel as Stable Diffusion has them, trained together by the loss of AvatarStudio's equation 5 under
Stable Diffusion's noise schedule. The loss of a time step is weighed by min(SNR, 5) / SNR (Hang et al. 2023), which spends less on the
last, almost noiseless steps. A tenth of the captions is left empty, for classifier-free guidance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.style_diffusion.autoencoder import LATENT_CHANNELS, drawn
from editing.style_diffusion.learning import LearningConfig, learn, torch_generator
from editing.style_diffusion.styles import STYLES, draw_caption, pose_words
from editing.style_diffusion.words import MAX_TOKENS
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jaxtyping import Float, Int
    from torch import Tensor

    from editing.style_diffusion.pictures import Pictures
    from editing.style_diffusion.renders import StyledRenders

NORM_GROUPS = 16
TEXT_HEADS = 4
N_TIME_STEPS = 1000
SCHEDULE = {"num_train_timesteps": N_TIME_STEPS, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
"""Stable Diffusion's; the noise itself is predicted."""
EMPTY_SHARE = 0.1
"""Captions that are left empty, as in Stable Diffusion."""
MOST_SNR = 5.0
"""γ of Hang et al."""


@dataclass(frozen=True)
class DenoiserConfig:
    """The networks and their training."""

    channels: tuple[int, ...] = (32, 80, 112)
    """of each level; there is attention (and so the sentence) from the second on"""
    text_size: int = 96
    """of a token's embedding"""
    text_layers: int = 2
    attention_heads: int = 4
    learning: LearningConfig = field(default_factory=lambda: LearningConfig(steps=1000, batch=16, rate=1.5e-3))

    def __post_init__(self) -> None:
        for channels in self.channels:
            if channels % NORM_GROUPS or channels % self.attention_heads:
                raise BadInput(f"{channels} channels: multiples of {NORM_GROUPS} and of {self.attention_heads} heads are possible")
        if self.text_size % TEXT_HEADS:
            raise BadInput(f"text size {self.text_size}: multiples of {TEXT_HEADS} are possible")


def build_text_encoder(config: DenoiserConfig, tokenizer: Any) -> Any:
    """With random weights (torch's own generator)."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.text_size,
            intermediate_size=2 * config.text_size,
            num_hidden_layers=config.text_layers,
            num_attention_heads=TEXT_HEADS,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=config.text_size,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_unet(config: DenoiserConfig, latent_px: int) -> Any:
    """With random weights (torch's own generator)."""
    import torch
    from diffusers import UNet2DConditionModel

    attending = len(config.channels) - 1
    make: Any = UNet2DConditionModel
    network = make(
        sample_size=latent_px,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=config.channels,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * attending,
        up_block_types=("CrossAttnUpBlock2D",) * attending + ("UpBlock2D",),
        cross_attention_dim=config.text_size,
        attention_head_dim=config.attention_heads,
        norm_num_groups=NORM_GROUPS,
    )
    return network.to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Captioner:
    """Draws a sentence for each picture."""

    pictures: Pictures
    poses: Sequence[tuple[str, ...]]
    """What can be said of each frame besides its style."""
    person: str

    @staticmethod
    def of(pictures: Pictures, renders: StyledRenders, person: str) -> Captioner:
        """A mouth counts as open if it is wider open than in the middle frame."""
        middle = float(np.median(renders.mouth_opening))
        seen = zip(renders.yaw_deg, renders.mouth_is_open(middle), strict=True)
        return Captioner(pictures, [pose_words(float(yaw), bool(is_open)) for yaw, is_open in seen], person)

    def draw(self, chosen: Int[np.ndarray, " n"], generator: np.random.Generator) -> list[str]:
        """Empty ones among them."""
        captions = []
        for k in chosen:
            style, frame = STYLES[self.pictures.style[k]], self.pictures.frame[k]
            caption = draw_caption(style, self.person, self.poses[frame], generator)
            captions.append("" if generator.random() < EMPTY_SHARE else caption)
        return captions


def tokens_of(tokenizer: Any, sentences: Sequence[str]) -> Tensor:
    """Token ids [n, MAX_TOKENS], padded and cut as StableDiffusionPipeline does."""
    return tokenizer(list(sentences), padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt").input_ids


def train_denoiser(
    latents: tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]],
    captioner: Captioner,
    tokenizer: Any,
    config: DenoiserConfig,
    seed: int,
    checkpoint: Path,
    progress: Callable[[int, int, float], None],
) -> tuple[Any, Any]:
    """UNet and text encoder, trained, or what the checkpoint has of them, trained on. `latents` are means and standard deviations."""
    import torch
    from diffusers import DDPMScheduler

    means, deviations = latents
    torch.manual_seed(seed)
    unet, text_encoder = build_unet(config, means.shape[-1]), build_text_encoder(config, tokenizer)
    make: Any = DDPMScheduler
    schedule = make(**SCHEDULE)
    kept = schedule.alphas_cumprod
    weight_of = (kept / (1.0 - kept)).clamp(max=MOST_SNR) / (kept / (1.0 - kept))

    def loss_of(generator: np.random.Generator) -> Tensor:
        chosen = drawn(captioner.pictures, config.learning.batch, generator)
        ids = tokens_of(tokenizer, captioner.draw(chosen, generator))
        time_steps = torch.from_numpy(generator.integers(0, N_TIME_STEPS, len(chosen)))
        random = torch_generator(generator)
        rows = torch.from_numpy(chosen)
        clean = means[rows] + deviations[rows] * torch.randn(means[rows].shape, generator=random)
        noise = torch.randn(clean.shape, generator=random)
        noisy = schedule.add_noise(clean, noise, time_steps).to(memory_format=torch.channels_last)
        predicted = unet(noisy, time_steps, text_encoder(ids)[0]).sample
        return ((predicted - noise).square().mean((1, 2, 3)) * weight_of[time_steps]).mean()

    learn({"unet": unet, "text_encoder": text_encoder}, loss_of, config.learning, (seed, 2), checkpoint, progress)
    return unet, text_encoder
