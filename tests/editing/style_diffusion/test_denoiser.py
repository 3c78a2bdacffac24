from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.style_diffusion.denoiser import EMPTY_SHARE, Captioner, DenoiserConfig, tokens_of, train_denoiser
from editing.style_diffusion.learning import LearningConfig
from editing.style_diffusion.pictures import cut
from editing.style_diffusion.styles import NAMES, vocabulary
from editing.style_diffusion.words import MAX_TOKENS, build_tokenizer
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from editing.style_diffusion.renders import StyledRenders

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")


def test_captions_fit_their_pictures_and_a_tenth_is_empty(coloured: StyledRenders) -> None:
    pictures = cut(coloured, 16, 0)
    captioner = Captioner.of(pictures, coloured, "woman")
    bronze_right = np.flatnonzero((pictures.style == NAMES.index("bronze statue")) & (pictures.frame % 2 == 1))
    captions = captioner.draw(np.resize(bronze_right, 600), np.random.default_rng(0))
    told = [caption for caption in captions if caption]
    assert abs(1.0 - len(told) / len(captions) - EMPTY_SHARE) < 0.04
    assert all("bronze" in caption and "woman" in caption for caption in told)
    assert any(caption.endswith("turned to the right") for caption in told)
    assert any(caption.endswith("with open mouth") for caption in told)
    assert not any(caption.endswith(("to the left", "from the front", "closed mouth")) for caption in told)


def test_tokens_are_padded_and_cut() -> None:
    tokenizer = build_tokenizer(vocabulary("man"))
    ids = tokens_of(tokenizer, ["", "photo of a man " * 20])
    assert ids.shape == (2, MAX_TOKENS)
    assert ids[0].tolist() == [tokenizer.bos_token_id] + [tokenizer.eos_token_id] * (MAX_TOKENS - 1)


def test_noise_is_told_from_latents_and_words_are_learned_too(coloured: StyledRenders, tmp_path: Path) -> None:
    pictures = cut(coloured, 16, 0, windows=0)
    means = torch.from_numpy(np.where(pictures.style % 2, 1.0, -1.0).astype(np.float32))[:, None, None, None].repeat(1, 4, 4, 4)
    latents = (means, torch.full(means.shape, 0.01))
    tokenizer, captioner = build_tokenizer(vocabulary("man")), Captioner.of(pictures, coloured, "man")
    trained, losses = [], []
    for steps in (1, 60):
        learning = LearningConfig(steps=steps, batch=16, rate=4e-3, warm_up_steps=10, averaging=0.5)
        config = DenoiserConfig(channels=(16, 32), text_size=16, text_layers=1, attention_heads=2, learning=learning)
        losses.clear()
        note = lambda done, total, loss: losses.append(loss)  # noqa: E731
        trained.append(train_denoiser(latents, captioner, tokenizer, config, 0, tmp_path / f"{steps}.pt", note))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])

    first, last = (text_encoder.get_input_embeddings().weight.detach() for _, text_encoder in trained)
    moved = (last - first).abs().mean(1)
    said, never_said = (tokenizer(words, add_special_tokens=False).input_ids[0] for words in ("bronze", "%"))
    assert moved[said] > 5.0 * moved[never_said], "the sentences' words are learned too"


@pytest.mark.parametrize(("values", "named"), [({"channels": (20,)}, "20 channels"), ({"text_size": 30}, "text size 30")])
def test_impossible_networks_are_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        DenoiserConfig(**values)  # type: ignore[arg-type]
