from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from editing.score_distillation.latent_diffusion import LatentDiffusion
from renderer.errors import BadInput
from tests.editing.image_editors.tiny_pipeline import write_tiny_pipeline

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def test_sampling_matches_diffusers_own_call(model: LatentDiffusion, model_folder: Path) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(model_folder, safety_checker=None)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    noise = model.noise((5, 1), 2, torch.zeros(1, 4, 8, 8))
    theirs = pipeline(
        ["a statue", "a sketch"], num_inference_steps=4, guidance_scale=3.0, latents=noise, output_type="latent", height=16, width=16
    ).images
    ours = model.sample(model.unet, noise, model.words(["a statue", "a sketch"]), 4, 3.0)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_velocity_is_brought_to_noise(model: LatentDiffusion, model_folder: Path) -> None:
    velocity = LatentDiffusion.load(str(model_folder), CPU)
    velocity._prediction = "v_prediction"
    latents, noise, t = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.tensor([400])
    noisy = velocity.noised(latents, noise, t)

    class Exact(torch.nn.Module):
        """Knows the velocity, sqrt(a) eps - sqrt(1 - a) z."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, *_: object, **__: object) -> tuple[torch.Tensor]:
            a = velocity.alphas[400]
            return (a.sqrt() * noise - (1.0 - a).sqrt() * latents,)

    found = velocity.noise_in(Exact(), noisy, t, torch.zeros(1, 4, 16))
    torch.testing.assert_close(found, noise, atol=1e-5, rtol=1e-5)


def test_encoding_brings_a_render_to_the_models_size_and_is_differentiable(model: LatentDiffusion) -> None:
    assert model.size_px == 16
    picture = torch.rand(1, 3, 24, 24, requires_grad=True)
    latent = model.encode(picture)
    assert latent.shape == (1, 4, 8, 8)
    latent.sum().backward()
    assert picture.grad is not None and float(picture.grad.abs().min()) > 0.0
    assert model.decode(latent.detach()).shape == (1, 3, 16, 16)
    assert not any(parameter.requires_grad for parameter in model.unet.parameters())


def test_sentences_that_the_text_encoder_would_cut_off_are_refused(model: LatentDiffusion) -> None:
    with pytest.raises(BadInput, match="it reads 64"):
        model.words(["x" * 80])


def test_missing_hub_model_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="--model somebody/nothing-there: cannot be loaded") as refused:
        LatentDiffusion.load("somebody/nothing-there", CPU)
    assert "\n" not in str(refused.value)


def test_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        LatentDiffusion.load(str(tmp_path / "nowhere"), CPU)
    with pytest.raises(BadInput, match=r"no model_index\.json"):
        LatentDiffusion.load(str(tmp_path), CPU)


def test_an_image_editing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="takes 8 channels"):
        LatentDiffusion.load(str(write_tiny_pipeline(tmp_path / "ip2p")), CPU)
