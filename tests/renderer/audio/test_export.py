"""Foreign wav2vec 2.0 models through the same code, held to transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from renderer.audio.encoder import AudioEncoder
from renderer.audio.export import cache_folder, load_encoder
from renderer.audio.streaming import encode_all
from renderer.errors import BadInput

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnx")

SIZES: dict[str, Any] = {
    "vocab_size": 11,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}


def save_tiny_model(folder: Path, do_normalize: bool = True, **changes: Any) -> Any:
    """A random Wav2Vec2ForCTC as others publish it; weights far from 0, so that features differ."""
    torch.manual_seed(0)
    model = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**{**SIZES, **changes}))
    with torch.no_grad():
        for parameter in model.lm_head.parameters():
            parameter.mul_(20.0)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return model.eval()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


@pytest.mark.parametrize("do_normalize", [True, False])
def test_load_encoder_matches_torch(tmp_path: Path, cache: Path, do_normalize: bool) -> None:
    folder = tmp_path / "model"
    model = save_tiny_model(folder, do_normalize)
    encoder = load_encoder(str(folder))
    spec = encoder.spec
    assert (spec.id, spec.feature_dim) == (str(folder), SIZES["vocab_size"])
    windows = np.random.default_rng(0).normal(0.01, 0.1, (3, spec.window_samples)).astype(np.float32)
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    inputs = torch.from_numpy(np.stack(extractor(list(windows), sampling_rate=16_000)["input_values"]))
    with torch.no_grad():
        logits = model(inputs).logits
    steps = logits.shape[1]
    wanted = torch.log_softmax(logits, -1).clamp(-10, 0)[:, steps - spec.future_steps - 2 : steps - spec.future_steps]
    np.testing.assert_allclose(encoder.encode_windows(windows), wanted.numpy(), atol=1e-4)
    assert len(encode_all(encoder, windows[0]).steps) > 30


def test_load_encoder_exports_once_until_the_folder_changes(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "model"
    save_tiny_model(folder)
    first = load_encoder(str(folder)).spec
    assert len(list(cache.glob("*.onnx"))) == 1
    (written,) = cache.glob("*.onnx")
    before = written.stat().st_mtime_ns
    assert load_encoder(str(folder)).spec == first
    assert written.stat().st_mtime_ns == before
    config = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**config, "do_normalize": False}))
    assert load_encoder(str(folder)).spec.sha256 != first.sha256
    assert AudioEncoder.from_onnx(written).spec == first


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"conv_stride": (5, 2, 2, 2, 2, 2, 1)}, "every 160"),
        ({"conv_kernel": (10, 3, 3, 3, 3, 2, 4)}, "sees 720 samples"),
    ],
)
def test_load_encoder_rejects_other_framings(tmp_path: Path, cache: Path, changes: dict[str, Any], reason: str) -> None:
    save_tiny_model(tmp_path / "model", **changes)
    with pytest.raises(BadInput, match=reason):
        load_encoder(str(tmp_path / "model"))
    assert not list(cache.glob("*.onnx"))


def test_load_encoder_rejects_other_models(tmp_path: Path, cache: Path) -> None:
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(BadInput, match="'bert' model"):
        load_encoder(str(tmp_path / "bert"))


def test_load_encoder_rejects_other_sample_rates(tmp_path: Path, cache: Path) -> None:
    save_tiny_model(tmp_path / "model")
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(tmp_path / "model")
    with pytest.raises(BadInput, match="8000 Hz"):
        load_encoder(str(tmp_path / "model"))


@pytest.mark.parametrize("name", ["", "no such/thing at/all", "/nowhere/model", "../model"])
def test_load_encoder_rejects_impossible_names(cache: Path, name: str) -> None:
    with pytest.raises(BadInput, match="is possible"):
        load_encoder(name)


def test_load_encoder_rejects_empty_folders(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(BadInput, match="cannot be loaded") as caught:
        load_encoder(str(tmp_path / "model"))
    assert "\n" not in str(caught.value)
