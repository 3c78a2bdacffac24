from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from editing.score_distillation.config import FineTuningConfig
from editing.score_distillation.fine_tuning import FineTuner, prior_latents
from editing.score_distillation.identifiers import label, random_identifiers

if TYPE_CHECKING:
    from editing.score_distillation.latent_diffusion import LatentDiffusion


def tuner(model: LatentDiffusion, config: FineTuningConfig, n: int = 3, n_prior: int = 2) -> FineTuner:
    latents = torch.randn(n + n_prior, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    words = model.words([label(word, "man") for word in random_identifiers(n, 0)])
    return FineTuner(model, latents[:n], words, latents[n:], model.words(["photo of a man"]), config, seed=4)


def test_a_batch_shares_its_noise_and_holds_different_keyframes(model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, ...]] = []
    noised = model.noised
    monkeypatch.setattr(model, "noised", lambda *given: seen.append(given) or noised(*given))
    training = tuner(model, FineTuningConfig(2), n=5)
    training.step(), training.step()
    for latents, noise, t in seen:
        assert len(latents) == 3 + 2 and torch.equal(noise, noise[:1].expand_as(noise))
        assert len(latents[:3].flatten(1).unique(dim=0)) == 3 and len(t.unique()) > 1
    assert not torch.equal(seen[0][1], seen[1][1]), "each step has its own"


def test_the_prior_loss_is_that_of_the_class_noun(model: LatentDiffusion) -> None:
    with_prior, without = (tuner(model, FineTuningConfig(1, prior_weight=weight), n_prior=n) for weight, n in ((1.0, 2), (1.0, 0)))
    assert with_prior.step() == pytest.approx(without.step(), rel=0.9)
    apart = [
        float((a - b).detach().abs().max()) for a, b in zip(with_prior.network.parameters(), without.network.parameters(), strict=True)
    ]
    assert max(apart) > 0.0
    held = [float((a - b).detach().abs().max()) for a, b in zip(with_prior.network.parameters(), model.unet.parameters(), strict=True)]
    assert 0.0 < max(held) < 1e-3, "one step of Adam at 5e-5; the pre-trained network stays"


def test_fine_tuning_learns_its_keyframes(model: LatentDiffusion) -> None:
    """Three plain latents, by a network of random weights. Whether identifiers tell keyframes apart takes a model that knows words: see
    `tests.end_to_end.measure_score_distillation`."""
    levels = torch.tensor([-2.0, 0.0, 2.0])[:, None, None, None].expand(3, 4, 8, 8)
    words = model.words([label(word, "man") for word in random_identifiers(3, 0)])
    training = FineTuner(model, levels, words, levels[:0], words[:1], FineTuningConfig(120, rate=5e-3), seed=0)
    losses = [training.step() for _ in range(120)]
    assert sum(losses[-20:]) < 0.4 * sum(losses[:20]), losses


def test_a_resumed_fine_tuning_is_the_same(model: LatentDiffusion) -> None:
    config = FineTuningConfig(6)
    whole, cut = tuner(model, config), tuner(model, config)
    for _ in range(6):
        whole.step()
    for _ in range(3):
        cut.step()
    resumed = tuner(model, config)
    resumed.load_state({name: tensor.clone() for name, tensor in cut.state().items()})
    assert resumed.n_done == 3
    for _ in range(3):
        resumed.step()
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, resumed.state()[name]), name


def test_prior_pictures_come_in_batches_that_follow_from_the_seed(model: LatentDiffusion) -> None:
    config, like = FineTuningConfig(1, prior_pictures=6, prior_steps=2), torch.zeros(1, 4, 8, 8)
    words = model.words(["photo of a man"])
    first, rest = (prior_latents(model, words, like, config, 0, start) for start in (0, 4))
    assert first.shape == (4, 4, 8, 8) and rest.shape == (2, 4, 8, 8)
    assert torch.equal(rest, prior_latents(model, words, like, config, 0, 4))
    assert not torch.equal(rest, prior_latents(model, words, like, config, 1, 4))
