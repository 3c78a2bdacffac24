"""`python -m tests.end_to_end.measure_distillation_step --device cuda`: what a step at full size costs.

A network as large as Stable Diffusion 1.5 (860 million parameters, pictures of 512 pixels) with random weights: they cost what real ones
cost. Nothing is downloaded and nothing written. Prints JSON: seconds a step of the fine-tuning (3 keyframes and 3 pictures of the class)
and of the distillation (a render of 256 pixels), medians, their parts, and the most memory that torch held, in GiB.
`--small` has a network of a few hundred kilobytes instead, to try the program on a CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from editing.score_distillation.appearance import Appearance
from editing.score_distillation.config import AppearanceConfig, FineTuningConfig, GuidanceConfig, KeyframeConfig
from editing.score_distillation.fine_tuning import FineTuner
from editing.score_distillation.identifiers import label, random_identifiers
from editing.score_distillation.keyframes import choose_keyframes
from editing.score_distillation.latent_diffusion import LatentDiffusion
from editing.score_distillation.vt_sds import Distillation
from editing.train.device import choose_device
from editing.train.engine import engine_of
from renderer.audio.export import load_encoder
from renderer.library import open_avatar
from tests.editing.image_editors.tiny_pipeline import tokenizer_of_letters, write_tiny_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WORDS = 77
WARM_UP = 3
RENDER_PX = 256


def main(argv: list[str]) -> int:
    """Time both kinds of steps."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--device", help="cpu, cuda or cuda:N (default: a GPU where there is one)")
    p.add_argument("--steps", type=int, default=20, help="of each kind (default 20)")
    p.add_argument("--small", action="store_true", help="a tiny network instead")
    arguments = p.parse_args(argv)
    device = choose_device(arguments.device, "gpu")
    model = _small(device) if arguments.small else LatentDiffusion(full_size_pipeline(), "random, as large as SD 1.5", device)
    keyframes = choose_keyframes(open_avatar("bundled"), load_encoder("bundled"), KeyframeConfig(3, 1, 0))
    appearance = Appearance(open_avatar("bundled"), keyframes, AppearanceConfig(), RENDER_PX, engine_of(device))
    labels = model.words([label(word, "man") for word in random_identifiers(3, 0)])
    with torch.no_grad():
        latents = torch.cat([model.encode(appearance.show(k).picture) for k in range(3)])
    tuner = FineTuner(model, latents, labels, latents, model.words(["photo of a man"]), FineTuningConfig(), 0)
    fine_tuning = timed(tuner.step, arguments.steps, device)
    network = tuner.network.requires_grad_(False)
    network = network if model.unet.dtype == torch.float32 else network.to(model.unet.dtype)
    del tuner
    distillation = Distillation(model, network, model.words(["bronze statue of a man"]), labels, GuidanceConfig(), 0)
    count = iter(range(10**6))

    def distil() -> None:
        step = next(count)
        shown = appearance.show(step % 3)
        surrogate, _ = distillation.surrogate(shown.picture, step % 3, step, 10_000)
        appearance.step(surrogate + appearance.entropy(shown))

    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "model": model.name,
        "parameters_million": round(sum(q.numel() for q in model.unet.parameters()) / 1e6, 1),
        "fine_tuning_step_s": fine_tuning,
        "distillation_step_s": timed(distil, arguments.steps, device),
        "render_s": timed(lambda: appearance.show(0).picture.sum().backward(), arguments.steps, device),
        "score_s": timed(lambda: distillation.score(latents[:1], 0, 0, 10_000), arguments.steps, device),
    }
    if device.type == "cuda":
        found["memory_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
    print(json.dumps(found, indent=1))
    return 0


def timed(step: Callable[[], object], n: int, device: torch.device) -> float:
    """Median seconds of `n` steps, after a few that are not counted."""
    seconds = []
    for _ in range(WARM_UP + n):
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return round(float(np.median(seconds[WARM_UP:])), 4)


def full_size_pipeline() -> Any:
    """The published sizes of Stable Diffusion 1.5; its tokenizer's words are letters, which costs the same."""
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12))
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False, skip_prk_steps=True
    )
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tokenizer_of_letters(Path(folder) / "words", MAX_WORDS)
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _small(device: torch.device) -> LatentDiffusion:
    with tempfile.TemporaryDirectory() as folder:
        return LatentDiffusion.load(str(write_tiny_pipeline(Path(folder) / "tiny", 4, MAX_WORDS)), device)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
