from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.evaluate.style_similarity import StyleJudge
from editing.style_diffusion.model import (
    AUTOENCODER,
    DENOISER,
    RENDERING,
    REPORT_NAME,
    SAMPLING,
    StyleDiffusionConfig,
    StyleDiffusionTraining,
    training_folder,
)
from editing.style_diffusion.pipeline_folder import JUDGE_NAME, open_pipeline, sample
from editing.style_diffusion.styles import NAMES
from renderer.errors import BadInput
from tests.editing.style_diffusion.conftest import TINY

if TYPE_CHECKING:
    from pathlib import Path

    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

pytest.importorskip("diffusers")
pytestmark = pytest.mark.usefixtures("tinted")


def training(avatar: Avatar, encoder: AudioEncoder, out: Path, config: StyleDiffusionConfig = TINY) -> StyleDiffusionTraining:
    source = out.with_name("source.avatar")
    source.write_bytes(b"stands for the avatar's file, of which only the hash is taken")
    return StyleDiffusionTraining(source, avatar, encoder, out, config)


def weights_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.fixture
def model(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path) -> Path:
    training(avatar, encoder, tmp_path / "model").run(1, lambda *_: None)
    return tmp_path / "model"


def test_the_model_is_an_ordinary_pipeline_with_a_report_and_a_judge(model: Path) -> None:
    from diffusers import StableDiffusionPipeline

    report = json.loads((model / REPORT_NAME).read_text())
    assert set(report["style_accuracy_samples_by_style"]) == set(NAMES)
    assert report["size_mb"] < 2.0 and 0.0 <= report["style_accuracy_samples"] <= 1.0 and report["wall_min"] >= 0.0
    assert StyleJudge.load(model / JUDGE_NAME).names == NAMES
    pipeline = StableDiffusionPipeline.from_pretrained(str(model), safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    assert {next(part.parameters()).dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {pipeline.unet.dtype}
    shown = pipeline(["photo of a man", "photo of a qhwzkbnrtd man"], num_inference_steps=2, output_type="np").images
    assert shown.shape == (2, 16, 16, 3) and np.isfinite(shown).all()
    assert not training_folder(model).exists()


def test_samples_depend_on_seed_and_number_but_not_on_the_batch(model: Path) -> None:
    pipeline = open_pipeline(model)
    prompts = ["photo of a man", "zombie photo of a man", "cartoon of a man"]
    shown = sample(pipeline, prompts, 5, 3.0, 2)
    np.testing.assert_array_equal(sample(pipeline, prompts[:1], 5, 3.0, 2)[0], shown[0])
    assert not np.array_equal(sample(pipeline, prompts[:1], 6, 3.0, 2)[0], shown[0])


@pytest.mark.parametrize(("stage", "step"), [(RENDERING, 4), (AUTOENCODER, 2), (DENOISER, 1), (SAMPLING, 12)])
def test_a_stopped_training_makes_the_same_model(
    stage: str, step: int, model: Path, avatar: Avatar, encoder: AudioEncoder, tmp_path: Path
) -> None:
    def stop(now: str, done: int, total: int, loss: float | None) -> None:
        if (now, done) == (stage, step):
            raise KeyboardInterrupt

    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        training(avatar, encoder, out).run(1, stop)
    assert not out.exists()
    seen: list[tuple[str, int]] = []
    training(avatar, encoder, out).run(1, lambda now, done, *_: seen.append((now, done)))
    assert (AUTOENCODER, 1) not in seen or stage == RENDERING
    assert weights_of(out) == weights_of(model)


def test_another_request_does_not_go_on(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path) -> None:
    training(avatar, encoder, tmp_path / "model")
    with pytest.raises(BadInput, match="was begun with seed 0, now it is 1"):
        training(avatar, encoder, tmp_path / "model", dataclasses.replace(TINY, seed=1))


def test_a_model_that_is_there_is_not_overwritten(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(BadInput, match="is there already"):
        training(avatar, encoder, tmp_path / "model")


def test_folders_without_a_pipeline_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no model_index\.json"):
        open_pipeline(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(BadInput, match="cannot be loaded"):
        open_pipeline(tmp_path)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"person": "cat"}, "--person cat"),
        ({"frames": 1}, "1 frames"),
        ({"samples": 0}, "0 samples"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_impossible_requests_are_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        StyleDiffusionConfig(**values)  # type: ignore[arg-type]
