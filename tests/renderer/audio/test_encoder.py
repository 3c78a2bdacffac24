"""The bundled encoder's declarations and behaviour, and files that are not encoders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from editing.phones import PHONES
from renderer.audio.encoder import BUNDLED_PATH, AudioEncoder, EncoderSpec
from renderer.audio.streaming import encode_all
from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

MAX_BYTES = 6_000_000
MAX_LOOK_AHEAD_MS = 80


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    return AudioEncoder.bundled()


def test_bundled_encoder_declares_what_it_needs(encoder: AudioEncoder) -> None:
    spec = encoder.spec
    assert (spec.id, spec.feature_dim, spec.labels) == ("bundled", len(PHONES), PHONES)
    assert (spec.step_samples, spec.hop_steps) == (320, 2)
    assert 0 < spec.look_ahead_ms <= MAX_LOOK_AHEAD_MS
    assert len(spec.sha256) == 64
    assert BUNDLED_PATH.stat().st_size <= MAX_BYTES


def test_encode_windows_gives_clipped_log_probabilities(encoder: AudioEncoder) -> None:
    windows = np.random.default_rng(0).normal(0, 0.1, (3, encoder.spec.window_samples)).astype(np.float32)
    features = encoder.encode_windows(windows)
    assert features.shape == (3, 2, 40)
    assert features.dtype == np.float32
    assert features.min() >= -10 and features.max() <= 0
    np.testing.assert_allclose(np.exp(features).sum(-1), 1, atol=0.01)
    np.testing.assert_array_equal(encoder.encode_windows(windows[1:2])[0], features[1])


def test_encode_windows_rejects_other_lengths(encoder: AudioEncoder) -> None:
    with pytest.raises(ValueError, match="was expected"):
        encoder.encode_windows(np.zeros((1, 100), np.float32))


def test_silence_features_say_silence(encoder: AudioEncoder) -> None:
    assert encoder.silence_features().shape == (40,)
    assert int(encoder.silence_features().argmax()) == 0


@pytest.mark.parametrize("seed", range(3))
def test_noise_at_minus_45_dbfs_is_silence(encoder: AudioEncoder, seed: int) -> None:
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=SAMPLE_RATE_HZ)
    if seed:  # brown-ish
        noise = np.convolve(noise, np.exp(-np.arange(100) / (10 * seed)), "same")
    noise *= 10 ** (-45 / 20) / noise.std()
    features = encode_all(encoder, noise.astype(np.float32)).steps
    assert (features.argmax(1) == 0).mean() > 0.97


def test_clipped_sound_gives_finite_features(encoder: AudioEncoder) -> None:
    square = np.sign(np.sin(np.arange(SAMPLE_RATE_HZ) * 0.05)).astype(np.float32)
    assert np.isfinite(encode_all(encoder, square).steps).all()


def test_audio_encoder_rejects_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.onnx"):
        AudioEncoder.from_onnx(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"not an encoder", BUNDLED_PATH.read_bytes()[:100_000]])
def test_audio_encoder_rejects_broken_files_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        AudioEncoder.from_onnx(path)
    assert "\n" not in str(caught.value)


def test_audio_encoder_rejects_foreign_and_newer_metadata(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(BUNDLED_PATH))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    for properties, message in (
        ({}, "without this program's metadata"),
        ({"visavis_encoder": metadata["visavis_encoder"].replace('"version": 1', '"version": 2')}, "format 2"),
        ({"visavis_encoder": "{"}, "cannot be read"),
        ({"visavis_encoder": metadata["visavis_encoder"].replace("12240", "12560")}, "metadata says"),
    ):
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, properties)
        path = tmp_path / "foreign.onnx"
        onnx.save(model, str(path))
        with pytest.raises(BadInput, match=message):
            AudioEncoder.from_onnx(path)


def test_encoder_spec_rejects_impossible_geometry(encoder: AudioEncoder) -> None:
    for change in (
        {"look_ahead_ms": 50.0},
        {"window_samples": 1000},
        {"window_samples": 400},
        {"hop_steps": 0},
        {"feature_dim": 39},
        {"step_samples": 160},
    ):
        with pytest.raises(BadInput):
            dataclasses.replace(encoder.spec, **change)


def test_encoder_spec_survives_its_metadata(encoder: AudioEncoder) -> None:
    spec = encoder.spec
    assert EncoderSpec.from_metadata(spec.metadata(), spec.sha256, BUNDLED_PATH) == spec
