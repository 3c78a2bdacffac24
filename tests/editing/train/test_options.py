"""What a training may look at, which schedule it follows, and what it shows on the way."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
import torch

from editing.dataset import Dataset, held_out_frames
from editing.train.clip import TrainingClip, training_frames
from editing.train.command import Previews, config_for, field_config_for, parser
from editing.train.config import FINEST_RESOLUTION, PRESETS
from editing.train.speech import SpeechLessons
from renderer.audio.encoder import AudioEncoder
from renderer.errors import BadInput
from tests.editing.train.test_trainer import CONFIG, trainer

if TYPE_CHECKING:
    from pathlib import Path


def test_held_out_frames_are_those_that_are_named() -> None:
    assert held_out_frames("none", 10).tolist() == []
    assert held_out_frames("every:5", 12).tolist() == [4, 9]
    assert held_out_frames("last:3", 10).tolist() == [7, 8, 9]
    for wrong in ("first:3", "every", "every:0", "last:-2", "last:10", "every:x", ""):
        with pytest.raises(BadInput, match="--hold-out"):
            held_out_frames(wrong, 10)


def partly_usable(take: Path) -> Dataset:
    dataset = Dataset.open(take)
    usable = np.ones(dataset.meta.n_frames, bool)
    usable[5:9] = False
    return dataclasses.replace(dataset, track=dataclasses.replace(dataset.track, usable=usable))


def test_only_usable_frames_that_are_not_held_out_are_trained_on(tiny_take: Path) -> None:
    dataset, encoder = partly_usable(tiny_take), AudioEncoder.bundled()
    n = dataset.meta.n_frames
    clip = TrainingClip(dataset, encoder, field_config_for(dataset, encoder.spec, 160.0, 64), "every:3")
    allowed = [k for k in range(n) if k % 3 != 2 and not 5 <= k < 9]
    assert clip.frames.tolist() == allowed == training_frames(dataset, "every:3").tolist()
    rng = np.random.default_rng(0)
    drawn = {int(k) for _ in range(200) for k in clip.draw(4, rng)}
    assert drawn == set(allowed)
    assert set(clip.spread(6).tolist()) <= set(allowed) and clip.spread(6)[[0, -1]].tolist() == [allowed[0], allowed[-1]]
    assert len(clip.draw(10_000, rng)) == len(allowed)

    # Frames that may not be learned from are marked by an opening that nothing else has.
    opening = np.where(np.isin(np.arange(n), allowed), 0.1 + 0.001 * np.arange(n), 99.0).astype(np.float32)
    marked = dataclasses.replace(dataset, track=dataclasses.replace(dataset.track, lip_opening=opening, articulation=None))
    lessons = SpeechLessons(
        [marked], encoder, clip.windows.shape and field_config_for(dataset, encoder.spec, 160.0, 64).audio_window, [clip.frames]
    )
    targets = torch.cat([lessons.batch(64, rng)[1] for _ in range(8)])
    assert targets.abs().max() < 4.0

    with pytest.raises(BadInput, match="no frame"):
        training_frames(dataset, "every:1")


def test_presets_are_schedules(tiny_take: Path) -> None:
    dataset = Dataset.open(tiny_take)

    def config(*options: str):  # type: ignore[no-untyped-def]
        return config_for(parser().parse_args(["take", "--out", "x.avatar", *options]), dataset)

    paper = config("--preset", "paper")
    assert (paper.head_steps, paper.lips_steps, paper.torso_steps, paper.speech_steps) == (20_000, 5000, 20_000, 0)
    assert (paper.network_rate, paper.grid_rate, paper.final_rate, paper.ema_decay) == (5e-4, 5e-3, 0.1, 0.95)
    assert (paper.entropy_weight, paper.dynamic_weight, paper.structure_weight) == (1e-3, 0.1, 0.01)
    assert paper.max_rays_per_step == 256**2 and paper.frames_per_step == 1 and FINEST_RESOLUTION["paper"] == 2048
    assert config() == config("--preset", "cpu") and PRESETS.keys() == FINEST_RESOLUTION.keys()
    assert config("--preset", "gpu", "--head-steps", "7").head_steps == 7
    assert config("--preset", "gpu").samples_per_step > config().samples_per_step


def test_looking_does_not_change_the_training(tiny_take: Path, tmp_path: Path) -> None:
    dataset, encoder = Dataset.open(tiny_take), AudioEncoder.bundled()
    brief = dataclasses.replace(CONFIG, speech_steps=2, head_steps=8, lips_steps=2, torso_steps=4)
    weights = []
    for looks in (False, True):
        clip = TrainingClip(dataset, encoder, field_config_for(dataset, encoder.spec, 160.0, 64))
        run = trainer(clip, tmp_path / f"{looks}.checkpoint", brief)
        previews = Previews(run, encoder, tmp_path / "x.avatar")
        previews.every_s = 0.0
        run.run(lambda stage, step, n, result: previews(stage, step, n) if looks else None)  # noqa: B023
        assert (tmp_path / "x.preview.png").exists() == (tmp_path / "x.preview.mp4").exists() == looks
        weights.append({name: tensor.clone() for name, tensor in run.average.items()})
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    with av.open(str(tmp_path / "x.preview.mp4")) as container:
        assert container.streams.audio and container.streams.video[0].width == 2 * dataset.meta.camera.width
    with av.open(str(tmp_path / "x.preview.png")) as picture:
        shape = next(picture.decode(video=0)).to_ndarray(format="rgb24").shape
    assert shape == (2 * dataset.meta.camera.height, 4 * dataset.meta.camera.width, 3)


class CountingLpips:
    """Pulls every patch towards white, so that what it does can be seen."""

    name = "alex"
    calls = 0

    def distances(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        assert a.shape == b.shape and a.shape[1] == a.shape[2] == CONFIG.patch_px
        return (1.0 - a).mean((1, 2, 3))


def test_lip_patches_are_judged_by_lpips_where_it_is_given(tiny_take: Path, tmp_path: Path) -> None:
    dataset, encoder = Dataset.open(tiny_take), AudioEncoder.bundled()
    clip = TrainingClip(dataset, encoder, field_config_for(dataset, encoder.spec, 160.0, 64))
    config = dataclasses.replace(CONFIG, structure_weight=10.0)
    gradients = []
    for lpips in (None, CountingLpips()):
        run = trainer(clip, tmp_path / "x.checkpoint", config, lpips)
        run.head.step(0, lips=True)
        gradients.append(run.field["head.colour1.weight"].grad.clone())
    assert lpips is not None and lpips.calls == 1
    assert not torch.allclose(gradients[0], gradients[1])
    assert config_for(parser().parse_args(["t", "--out", "x.avatar"]), dataset, lpips).structure == "lpips alex"
