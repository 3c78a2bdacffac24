"""InstructPix2Pix by diffusers: any sentence, by a network that is downloaded or lies in a folder.

What Instruct-NeuralTalker does, and what is chosen here:

- The image condition c_I. Without an extra condition it is the current frame itself ("we then send them into ip2p for the second update");
  with one it is the original frame, as in Instruct-NeRF2NeRF, which the paper reports to hold edits back.
- The first latent. InstructPix2Pix denoises pure Gaussian noise (paper, "Preliminaries"); so does this at strength 1 without an extra
  condition. Otherwise it is the current frame's latent with noise up to `strength` of the schedule, as in Instruct-NeRF2NeRF: with the
  original as condition the current frame would not enter at all.
- Guidance, with scales s_T and s_I, is equation 3 of InstructPix2Pix (Brooks, Holynski and Efros 2023).
- Steps t are steps of DDIM (η = 0) over the part of the schedule that is run.
- Noise. Each frame has a generator of its own, seeded by (seed, index), so batches do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.diffusion_pipeline import load_pipeline
from editing.image_editors.editor import check_pictures
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from editing.image_editors.editor import EditSettings, Progress
    from editing.image_editors.guide import Guide

DEFAULT_MODEL = "timbrooks/instruct-pix2pix"
DEVICES = ("auto", "cpu", "cuda")
CONDITIONED_CHANNELS = 8
"""Of the UNet's input: the noisy latent's four beside the condition's."""


@dataclass(frozen=True)
class InstructPix2PixConfig:
    """Options of the diffusion editor."""

    device: str = "auto"
    """auto (an NVIDIA GPU where there is one), cpu or cuda. A GPU computes in half precision"""
    batch_size: int = 4
    """frames that are denoised together"""
    size_px: int = 512
    """frames are brought to this height or width, whichever is smaller, and back: the public network edits 512 best"""
    save_memory: bool = False
    """attention and autoencoder in slices and tiles, and on a GPU parts wait in the main memory: slower, about a third of the memory"""

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise BadInput(f"device {self.device!r}: {', '.join(DEVICES)} are possible")
        if self.batch_size < 1:
            raise BadInput(f"batch size {self.batch_size}: at least 1 is wanted")
        if not 16 <= self.size_px <= 2048:
            raise BadInput(f"{self.size_px} px: ip2p edits at 16 to 2048")


class InstructPix2PixEditor:
    """An `ImageEditor`. The guide is not used."""

    def __init__(self, model: str = DEFAULT_MODEL, config: InstructPix2PixConfig | None = None) -> None:
        """Load the pipeline from a hub name or a folder; BadInput where it cannot be had."""
        import torch

        self.config = config or InstructPix2PixConfig()
        self.name = f"ip2p:{model}"
        wanted = self.config.device
        if wanted == "cuda" and not torch.cuda.is_available():
            raise BadInput("device cuda: torch finds no NVIDIA GPU here; use cpu or auto")
        self._device = torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
        self._dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        self._pipeline = _load(model).to(self._dtype)
        self._scheduler = _ddim(self._pipeline)
        if self.config.save_memory:
            self._pipeline.enable_attention_slicing()
            self._pipeline.vae.enable_slicing()
            self._pipeline.vae.enable_tiling()
        if self.config.save_memory and self._device.type == "cuda":
            self._pipeline.enable_model_cpu_offload(device=self._device)
        else:
            self._pipeline.to(self._device)

    def check(self, instruction: str) -> None:
        """Any sentence will do."""

    def edit(
        self,
        frames: UInt8[np.ndarray, "n h w 3"],
        condition: UInt8[np.ndarray, "n h w 3"] | None,
        settings: EditSettings,
        *,
        indices: Sequence[int] | None = None,
        guide: Guide | None = None,
        progress: Progress | None = None,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """See `ImageEditor`. `progress` is also called between the steps of a batch, so that a slow one can be stopped."""
        import torch

        numbers = check_pictures(frames, condition, indices)
        result = np.empty_like(frames)
        with torch.no_grad():
            texts = self._texts(settings.instruction)
            for start in range(0, len(frames), self.config.batch_size):
                chosen = slice(start, start + self.config.batch_size)
                originals = None if condition is None else condition[chosen]
                result[chosen] = self._edit_batch(frames[chosen], originals, settings, numbers[chosen], texts, start, progress)
                if progress:
                    progress(min(len(frames), start + self.config.batch_size))
        self._pipeline.maybe_free_model_hooks()
        return result

    def _edit_batch(
        self,
        frames: UInt8[np.ndarray, "n h w 3"],
        condition: UInt8[np.ndarray, "n h w 3"] | None,
        settings: EditSettings,
        numbers: list[int],
        texts: tuple[Tensor, Tensor],
        done: int,
        progress: Progress | None,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        import torch

        pipeline, scheduler = self._pipeline, self._scheduler
        timesteps = self._timesteps(settings)
        # The condition's latent is neither sampled nor scaled: so was the network trained.
        image = self._encoded(frames if condition is None else condition)
        noise = torch.cat([_noise(settings.seed, number, image.shape[1:]) for number in numbers]).to(self._device, self._dtype)
        if condition is None and settings.strength == 1.0:
            latents = noise
        else:
            current = image if condition is None else self._encoded(frames)
            latents = scheduler.add_noise(current * pipeline.vae.config.scaling_factor, noise, timesteps[:1])
        text, empty = (t.expand(len(frames), -1, -1) for t in texts)
        words = torch.cat([text, empty, empty])
        images = torch.cat([image, image, torch.zeros_like(image)])
        for k, t in enumerate(timesteps):
            seen = torch.cat([torch.cat([scheduler.scale_model_input(latents, t)] * 3), images], 1)
            predicted = pipeline.unet(seen, t, encoder_hidden_states=words, return_dict=False)[0]
            by_both, by_image, by_none = predicted.chunk(3)
            guided = by_none + settings.image_guidance * (by_image - by_none) + settings.text_guidance * (by_both - by_image)
            latents = scheduler.step(guided, t, latents, return_dict=False)[0]
            if progress and k + 1 < len(timesteps):
                progress(done)
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor, return_dict=False)[0]
        return _pictures(decoded, frames.shape[1], frames.shape[2])

    def _timesteps(self, settings: EditSettings) -> Tensor:
        """`steps` of them, from `strength` of the schedule down; sets the scheduler's stride."""
        whole = max(settings.steps, round(settings.steps / settings.strength))
        trained = int(self._scheduler.config.num_train_timesteps)
        if whole > trained:
            raise BadInput(
                f"{settings.steps} steps at strength {settings.strength:g}: at most {int(trained * settings.strength)} are possible"
            )
        self._scheduler.set_timesteps(whole, device=self._device)
        return self._scheduler.timesteps[-settings.steps :]

    def _texts(self, instruction: str) -> tuple[Tensor, Tensor]:
        """Embeddings of the instruction and of no words, [1, tokens, size] each."""
        # No other method of the pipeline does this; `edit` is compared with the pipeline's own call in the tests.
        text, empty, _ = self._pipeline._encode_prompt(instruction, self._device, 1, True).chunk(3)
        return text, empty

    def _encoded(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[Tensor, "n 4 h8 w8"]:
        import torch
        from torch.nn.functional import interpolate

        height, width = self._work_size(pictures.shape[1], pictures.shape[2])
        tensor = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        if tensor.shape[2:] != (height, width):
            tensor = interpolate(tensor, (height, width), mode="bicubic", antialias=True).clamp(-1.0, 1.0)
        return self._pipeline.vae.encode(tensor.to(self._device, self._dtype)).latent_dist.mode()

    def _work_size(self, height: int, width: int) -> tuple[int, int]:
        """Multiples of what the UNet halves."""
        unit = self._pipeline.vae_scale_factor * 2 ** (len(self._pipeline.unet.config.block_out_channels) - 1)
        scale = self.config.size_px / min(height, width)
        return max(unit, round(height * scale / unit) * unit), max(unit, round(width * scale / unit) * unit)


def _noise(seed: int, index: int, shape: Sequence[int]) -> Float[Tensor, "1 c h w"]:
    """Made on the CPU in single precision, so that it is the same everywhere."""
    import torch

    own = int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.randn((1, *shape), generator=torch.Generator("cpu").manual_seed(own))


def _pictures(decoded: Float[Tensor, "n 3 H W"], height: int, width: int) -> UInt8[np.ndarray, "n h w 3"]:
    from torch.nn.functional import interpolate

    tensor = decoded.float()
    if tensor.shape[2:] != (height, width):
        tensor = interpolate(tensor, (height, width), mode="bicubic", antialias=True)
    return np.asarray(((tensor.clamp(-1.0, 1.0) + 1.0) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())


def _load(model: str) -> Any:
    pipeline = load_pipeline(
        "StableDiffusionInstructPix2PixPipeline",
        model,
        asked=f"image editor {model}",
        wanted=f"an InstructPix2Pix pipeline in a folder or on a hub that can be reached, such as {DEFAULT_MODEL}",
        otherwise="the editor builtin needs no download",
    )
    channels = int(pipeline.unet.config.in_channels)
    if channels != CONDITIONED_CHANNELS:
        raise BadInput(f"image editor {model}: its UNet takes {channels} channels, InstructPix2Pix takes {CONDITIONED_CHANNELS}")
    return pipeline


def _ddim(pipeline: Any) -> Any:
    from diffusers import DDIMScheduler

    # The public network's own schedule samples nothing that DDIM would clip.
    make: Any = DDIMScheduler.from_config
    return make(pipeline.scheduler.config, clip_sample=False)
