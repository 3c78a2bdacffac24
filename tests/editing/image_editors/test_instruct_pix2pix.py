"""InstructPix2Pix with a tiny random network: the loop equals diffusers' own, and every setting counts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.image_editors import open_image_editor
from editing.image_editors.editor import EditSettings
from editing.image_editors.instruct_pix2pix import InstructPix2PixConfig, InstructPix2PixEditor, _noise
from renderer.errors import BadInput
from tests.editing.image_editors.tiny_pipeline import write_tiny_pipeline

if TYPE_CHECKING:
    from pathlib import Path

SIZE_PX = 32
SETTINGS = EditSettings("make him old", steps=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_pipeline(tmp_path_factory.mktemp("ip2p") / "tiny")


@pytest.fixture(scope="module")
def editor(folder: Path) -> InstructPix2PixEditor:
    opened = open_image_editor(str(folder), device="cpu", size_px=SIZE_PX, batch_size=2)
    assert isinstance(opened, InstructPix2PixEditor)
    return opened


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(SIZE_PX // 4, 1).repeat(SIZE_PX // 4, 2)


def settings(**values: object) -> EditSettings:
    return EditSettings(**{"instruction": "make him old", "steps": 4, **values})  # type: ignore[arg-type]


def test_edit_matches_the_pipelines_own_call(folder: Path, editor: InstructPix2PixEditor, frames: np.ndarray) -> None:
    import torch
    from diffusers import DDIMScheduler, StableDiffusionInstructPix2PixPipeline

    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.cat([_noise(7, k, (4, SIZE_PX // 2, SIZE_PX // 2)) for k in range(3)])
    wanted = pipeline(
        prompt=["make him old"] * 3,
        image=torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255.0,
        num_inference_steps=5,
        guidance_scale=4.5,
        image_guidance_scale=1.5,
        latents=noise,
        output_type="np",
    ).images
    found = editor.edit(frames, None, settings(text_guidance=4.5, steps=5, seed=7))
    np.testing.assert_allclose(found, wanted * 255.0, atol=1.0)


def test_same_settings_give_the_same_bytes(editor: InstructPix2PixEditor, frames: np.ndarray) -> None:
    np.testing.assert_array_equal(editor.edit(frames, None, SETTINGS), editor.edit(frames, None, SETTINGS))


def test_frames_do_not_depend_on_their_batch(folder: Path, editor: InstructPix2PixEditor, frames: np.ndarray) -> None:
    alone = open_image_editor(str(folder), device="cpu", size_px=SIZE_PX, batch_size=1)
    together = editor.edit(frames, None, SETTINGS, indices=[4, 9, 2])
    np.testing.assert_allclose(alone.edit(frames, None, SETTINGS, indices=[4, 9, 2]), together, atol=1)
    np.testing.assert_allclose(alone.edit(frames[1:2], None, SETTINGS, indices=[9]), together[1:2], atol=1)


@pytest.mark.parametrize(
    "changed", [{"text_guidance": 3.0}, {"image_guidance": 3.0}, {"steps": 7}, {"seed": 1}, {"strength": 0.5}, {"instruction": "zombie"}]
)
def test_every_setting_counts(editor: InstructPix2PixEditor, frames: np.ndarray, changed: dict[str, object]) -> None:
    assert np.abs(editor.edit(frames, None, SETTINGS).astype(int) - editor.edit(frames, None, settings(**changed))).mean() > 0.5


def test_frames_get_noise_of_their_own(editor: InstructPix2PixEditor, frames: np.ndarray) -> None:
    same = frames[[0, 0]]
    edited = editor.edit(same, None, SETTINGS).astype(int)
    assert np.abs(edited[0] - edited[1]).mean() > 0.5


def test_condition_replaces_the_frame_as_image_condition(editor: InstructPix2PixEditor, frames: np.ndarray) -> None:
    free = editor.edit(frames, None, SETTINGS).astype(int)
    held = editor.edit(frames, frames[::-1].copy(), SETTINGS)
    assert np.abs(free - held).mean() > 0.5
    # The current frame still enters, noised: with the same condition and noise another one gives another result.
    other = editor.edit(255 - frames, frames[::-1].copy(), settings(strength=0.3))
    assert np.abs(editor.edit(frames, frames[::-1].copy(), settings(strength=0.3)).astype(int) - other).mean() > 0.5


def test_low_strength_begins_nearer_to_the_frame(editor: InstructPix2PixEditor) -> None:
    import torch

    latents, noise = torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
    shares = []
    for strength in (0.2, 0.6, 1.0):
        timesteps = editor._timesteps(settings(strength=strength))
        assert len(timesteps) == 4
        shares.append(float(editor._scheduler.add_noise(latents, noise, timesteps[:1]).mean()))
    assert shares == sorted(shares)
    assert shares[0] < 0.5 < 0.95 < shares[2]


def test_sizes_that_the_network_cannot_halve_come_back_as_they_were(editor: InstructPix2PixEditor) -> None:
    odd = np.full((1, 50, 37, 3), 128, np.uint8)
    assert editor.edit(odd, None, SETTINGS).shape == odd.shape


def test_memory_saving_gives_the_same(folder: Path, editor: InstructPix2PixEditor, frames: np.ndarray) -> None:
    saving = InstructPix2PixEditor(str(folder), InstructPix2PixConfig("cpu", 2, SIZE_PX, save_memory=True))
    np.testing.assert_allclose(saving.edit(frames, None, SETTINGS), editor.edit(frames, None, SETTINGS), atol=1)


def test_progress_comes_between_steps_and_can_stop(editor: InstructPix2PixEditor, frames: np.ndarray) -> None:
    seen: list[int] = []
    editor.edit(frames, None, SETTINGS, progress=seen.append)
    assert seen == [0, 0, 0, 2, 2, 2, 2, 3]

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        editor.edit(frames, None, SETTINGS, progress=stop)
    assert editor.edit(frames, None, SETTINGS).shape == frames.shape


def test_too_many_steps_for_the_strength_are_rejected(editor: InstructPix2PixEditor, frames: np.ndarray) -> None:
    with pytest.raises(BadInput, match="at most 100"):
        editor.edit(frames, None, settings(steps=200, strength=0.1))


# ---- what cannot be loaded -------------------------------------------------------------------------------------------
def test_missing_hub_model_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="somebody/nothing-there: cannot be loaded") as refused:
        open_image_editor("somebody/nothing-there")
    assert "\n" not in str(refused.value)


def test_folder_without_a_pipeline_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no model_index\.json"):
        open_image_editor(str(tmp_path))
    (tmp_path / "model_index.json").write_text("not json", encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be loaded"):
        open_image_editor(str(tmp_path))


def test_pipeline_without_image_condition_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="4 channels, InstructPix2Pix takes 8"):
        open_image_editor(str(write_tiny_pipeline(tmp_path / "plain", unet_channels=4)))


def test_missing_diffusers_is_one_line(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(BadInput, match=r"pip install visavis\[editing\]"):
        open_image_editor(str(folder))


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BadInput, match="no NVIDIA GPU"):
        open_image_editor(str(folder), device="cuda")
