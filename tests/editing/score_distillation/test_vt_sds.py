from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from editing.score_distillation.config import ABLATIONS, WAYS, DistillationConfig, GuidanceConfig
from editing.score_distillation.vt_sds import Distillation, Score, most_time, pretrained_share, times_of
from renderer.errors import BadInput

if TYPE_CHECKING:
    from editing.score_distillation.latent_diffusion import LatentDiffusion

LATENT = torch.linspace(-1.0, 1.0, 256).reshape(1, 4, 8, 8)


class Sees(torch.nn.Module):
    """Sees in every latent as much noise as the words' mean says, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor), requires_grad=False)

    def forward(self, noisy: torch.Tensor, t: torch.Tensor, encoder_hidden_states: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        return (self.factor * encoder_hidden_states.mean((1, 2))[:, None, None, None].expand_as(noisy),)


@pytest.fixture
def guided(model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch) -> Distillation:
    """Pre-trained: prompt 3, no words 1. Fine-tuned: 10 times the label, which is 7 for the second keyframe."""
    monkeypatch.setattr(model, "unet", Sees(1.0))
    monkeypatch.setattr(model, "words", lambda sentences: torch.ones(1, 2, 4))
    labels = torch.tensor([5.0, 7.0])[:, None, None].expand(2, 2, 4)
    return Distillation(model, Sees(10.0), torch.full((1, 2, 4), 3.0), labels, GuidanceConfig(), seed=1)


def test_noise_estimate_follows_equation_10(guided: Distillation) -> None:
    above, below = guided.noise_estimate(torch.cat([LATENT, LATENT]), (601, 600), 1).split(1)
    torch.testing.assert_close(above, torch.full_like(LATENT, 10.0 * (0.6 * 3.0 + 0.4 * 70.0) + (1.0 - 10.0) * 1.0))
    torch.testing.assert_close(below, torch.full_like(LATENT, 10.0 * 3.0 + (1.0 - 10.0) * 1.0))
    assert not torch.equal(above, guided.noise_estimate(LATENT, (601,), 0)), "another keyframe has another label"


def test_score_follows_equation_8(guided: Distillation, model: LatentDiffusion) -> None:
    score = guided.score(LATENT, 0, 3, 100)
    noise = model.noise((1, 12, 3), 1, LATENT)
    (t,) = score.t
    expected = (1.0 - model.alphas[t]) * (guided.noise_estimate(LATENT, (t,), 0) - noise) / LATENT.numel()
    torch.testing.assert_close(score.gradient, expected)
    again, other = guided.score(LATENT, 0, 3, 100), guided.score(LATENT, 0, 4, 100)
    torch.testing.assert_close(again.gradient, score.gradient, atol=0.0, rtol=0.0)
    assert other.t != score.t or not torch.equal(other.gradient, score.gradient)


def test_score_of_several_draws_is_the_mean_of_theirs(
    guided: Distillation, model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guided, "_config", GuidanceConfig(draws=3))
    score = guided.score(LATENT, 0, 3, 100)
    noises = model.noise((1, 12, 3), 3, LATENT)
    alone = [
        (1.0 - model.alphas[t]) * (guided.noise_estimate(model.noised(LATENT, noise[None], torch.tensor([t])), (t,), 0) - noise)
        for t, noise in zip(score.t, noises, strict=True)
    ]
    torch.testing.assert_close(score.gradient, torch.cat(alone).mean(0, keepdim=True) / LATENT.numel())
    assert sorted(score.t) == list(score.t) and len(set(score.t)) == 3


@pytest.mark.parametrize("draws", [1, 3])
def test_both_ways_agree_for_an_orthogonal_autoencoder(
    guided: Distillation, model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch, draws: int
) -> None:
    monkeypatch.setattr(model, "resized", lambda picture: picture)
    monkeypatch.setattr(model, "encode", lambda picture: pixel_unshuffle(2.0 * picture - 1.0, 2))
    monkeypatch.setattr(model, "decode", lambda latent: 0.5 * pixel_shuffle(latent, 2) + 0.5)
    picture = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    gradients, scores = [], []
    for way in WAYS:
        monkeypatch.setattr(guided, "_config", GuidanceConfig(draws=draws, way=way))
        seen = picture.clone().requires_grad_(True)
        value, score = guided.surrogate(seen, 1, 3, 100)
        value.backward()
        gradients.append(seen.grad)
        scores.append(score)
    torch.testing.assert_close(scores[0].gradient, scores[1].gradient)
    # Pixels of 0...1 are latents of -1...1 here: the encoder's Jacobian is twice an orthogonal matrix, the decoder's half of one.
    torch.testing.assert_close(gradients[0], 4.0 * gradients[1])
    assert float(gradients[0].abs().max()) > 0.0


def test_decoders_way_holds_colours_but_not_what_the_autoencoder_cannot_draw(
    guided: Distillation, model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An autoencoder that draws nothing but the picture of means, darker than it is, and a score of nothing."""
    monkeypatch.setattr(model, "resized", lambda picture: picture)
    monkeypatch.setattr(model, "encode", lambda picture: picture.mean((2, 3), keepdim=True).expand(-1, -1, 8, 8))
    monkeypatch.setattr(model, "decode", lambda latent: 0.8 * latent.mean((2, 3), keepdim=True).expand(-1, -1, 32, 32))
    monkeypatch.setattr(guided, "score", lambda latent, *_: Score(torch.zeros_like(latent), (1,), 0.0))
    monkeypatch.setattr(guided, "_config", GuidanceConfig(way="decoder"))
    stripes = 0.5 + 0.3 * (torch.arange(32) % 2 - 0.5).expand(1, 3, 32, 32)
    seen = stripes.clone().requires_grad_(True)
    guided.surrogate(seen, 0, 0, 10)[0].backward()
    assert seen.grad is not None
    torch.testing.assert_close(seen.grad * seen.numel(), torch.full_like(stripes, 0.1), atol=1e-4, rtol=0.0)


def test_pretrained_share_is_whole_up_to_k_and_counts_in_thousandths() -> None:
    config = GuidanceConfig()
    assert [pretrained_share(config, t, 1000) for t in (20, 600, 601, 999)] == [1.0, 1.0, 0.6, 0.6]
    assert [pretrained_share(config, t, 100) for t in (60, 61)] == [1.0, 0.6]


def test_largest_time_step_is_annealed() -> None:
    config = GuidanceConfig()
    assert (most_time(config, 0, 11), most_time(config, 10, 11)) == pytest.approx((0.98, 0.5))
    assert most_time(config, 5, 11) == pytest.approx(0.74)
    early = [times_of(config, 1000, step, 10**6, 0)[0] for step in range(400)]
    late = [times_of(config, 1000, 10**6 - 1 - step, 10**6, 0)[0] for step in range(400)]
    assert min(early) >= 20 and 900 < max(early) < 980 and min(late) >= 20 and 470 < max(late) < 501
    assert abs(float(np.mean(late)) - 260.0) < 30.0


def test_ablations_change_what_the_paper_takes_away() -> None:
    config = DistillationConfig()
    assert config.without("single-token") == dataclasses.replace(config, single_token=True)
    assert config.without("no-time-stamps").keyframes.time_stamps == 0
    alone = config.without("no-pre-trained").guidance
    assert [pretrained_share(alone, t, 1000) for t in (20, 999)] == [0.0, 0.0]
    held = config.without("no-annealing").guidance
    assert most_time(held, 0, 10) == most_time(held, 9, 10) == 0.98
    thirds = np.array([times_of(dataclasses.replace(config.guidance, least_time=0.38, draws=3), 1000, 0, 10, seed) for seed in range(50)])
    assert ((thirds - 380) // 200 == [0, 1, 2]).all()
    with pytest.raises(BadInput, match=f"--ablation nothing: one of {', '.join(ABLATIONS)}"):
        config.without("nothing")
