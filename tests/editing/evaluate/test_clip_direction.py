"""The loader with a CLIP of random weights, and the formulas by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.evaluate.captions import Captions
from editing.evaluate.clip_direction import Clip, direction_consistency, direction_similarity, text_direction
from renderer.errors import BadInput
from tests.editing.evaluate.tiny_clip import DIM, IMAGE_PX, write_tiny_clip

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return Clip(str(folder))


def pictures(n: int, size: int = IMAGE_PX) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size, size, 3), np.uint8) for _ in range(n)]


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch(clip: Clip) -> None:
    shown = pictures(11)
    found = clip.pictures(shown)
    assert found.shape == (11, DIM)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(clip.pictures(shown[9:10])[0], found[9], atol=1e-5)
    texts = clip.texts(["a man", "a much older woman"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(clip.texts(["a man"])[0], texts[0], atol=1e-5)


def test_embeddings_match_transformers_own_preparation(clip: Clip, folder: Path) -> None:
    import torch
    from transformers import CLIPModel

    picture = pictures(1)[0]
    mean, scale = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = torch.from_numpy(((picture / 255.0 - mean) / scale).transpose(2, 0, 1)[None]).float()
    words = clip._tokenizer(["a man"], return_tensors="pt")
    with torch.inference_mode():
        model = CLIPModel.from_pretrained(folder).eval()
        found = model(pixel_values=pixels, **words)
    np.testing.assert_allclose(clip.pictures([picture])[0], found.image_embeds[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(clip.texts(["a man"])[0], found.text_embeds[0].numpy(), atol=1e-5)


def test_larger_pictures_are_cut_to_the_middle_square(clip: Clip) -> None:
    wide = np.zeros((IMAGE_PX, 3 * IMAGE_PX, 3), np.uint8)
    wide[:, IMAGE_PX : 2 * IMAGE_PX] = pictures(1)[0]
    np.testing.assert_allclose(clip.pictures([wide]), clip.pictures([wide[:, IMAGE_PX : 2 * IMAGE_PX]]), atol=1e-5)
    large = np.repeat(np.repeat(pictures(1)[0], 4, 0), 4, 1)
    assert clip.pictures([large]).shape == (1, DIM)


def test_direction_similarity_is_the_mean_cosine() -> None:
    text = np.array([1.0, 0.0])
    before = np.array([[0.0, 0.0], [1.0, 1.0]])
    after = np.array([[2.0, 0.0], [1.0, 4.0]])
    assert direction_similarity(before, after, 5 * text) == pytest.approx(0.5)
    assert direction_similarity(before, 2 * before - after, text) == pytest.approx(-0.5)
    assert direction_similarity(before, before, text) is None


def test_direction_consistency_is_the_cosine_of_successive_changes() -> None:
    changes = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    following = np.array([[3.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    assert direction_consistency(changes, following) == pytest.approx((1.0 + np.sqrt(0.5)) / 2)
    assert direction_consistency(0 * changes, following) is None


def test_captions_that_are_the_same_are_rejected(clip: Clip) -> None:
    with pytest.raises(BadInput, match="no difference"):
        text_direction(clip, Captions("a man", "a man"))
    assert np.linalg.norm(text_direction(clip, Captions("a man", "an old man"))) > 0


def test_loading_rejects_what_is_no_clip(tmp_path: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    with pytest.raises(BadInput, match="no such folder"):
        Clip(str(tmp_path / "none"))
    with pytest.raises(BadInput, match="cannot be loaded"):
        Clip(str(tmp_path))
    half = tmp_path / "text_only"
    CLIPTextModel(
        CLIPTextConfig(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(half)
    with pytest.raises(BadInput, match="--clip"):
        Clip(str(half))
