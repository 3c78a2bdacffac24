"""The whole training on a tiny take: it learns, it can be interrupted, and what it writes can be rendered."""

from __future__ import annotations

import dataclasses
import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from editing.dataset import Dataset
from editing.evaluate.judges import Judges
from editing.evaluate.metrics import psnr_db
from editing.evaluate.self_driven import evaluate
from editing.landmarks import LANDMARK_NAMES
from editing.train.clip import TrainingClip
from editing.train.command import field_config_for
from editing.train.command import main as train_main
from editing.train.config import TrainConfig
from editing.train.occupancy import visual_hull
from editing.train.speech import SpeechLessons, between_frames, mouth_targets
from editing.train.trainer import Trainer
from renderer.audio.encoder import AudioEncoder
from renderer.avatar_file import load_avatar, save_avatar
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from editing.train.stages import StepReport
    from renderer.field.config import FieldConfig

CONFIG = TrainConfig(speech_steps=30, head_steps=60, lips_steps=4, torso_steps=60, speech_frames_per_step=32, frames_per_step=4,
                      samples_per_step=8192, torso_pixels_per_step=2048,
                     prune_after=20, patch_px=8, threads=1)  # fmt: skip
PICTURES_ONLY = Judges(no_detector="not asked")
REFINING = dataclasses.replace(CONFIG, pose_rate=1e-3, pose_start_step=4)
BRIEF = {"speech_steps": 1, "head_steps": 6, "lips_steps": 1, "torso_steps": 2, "pose_start_step": 0}
"""Torch's threads wait busily for one another: on a machine with other work a step takes most of a second."""


@pytest.fixture(scope="module")
def clip(tiny_take: Path) -> TrainingClip:
    dataset, encoder = Dataset.open(tiny_take), AudioEncoder.bundled()
    return TrainingClip(dataset, encoder, field_config_for(dataset, encoder.spec, 160.0, 64))


def trainer(clip: TrainingClip, checkpoint: Path, config: TrainConfig = CONFIG, lpips: Any = None) -> Trainer:
    field_config = field_config_for(clip.dataset, AudioEncoder.bundled().spec, 160.0, 64)
    return Trainer(clip, lessons(clip, field_config), field_config, config, checkpoint, lpips)


def lessons(clip: TrainingClip, field_config: FieldConfig) -> SpeechLessons:
    return SpeechLessons([clip.dataset], AudioEncoder.bundled(), field_config.audio_window)


def test_training_learns_the_head_and_the_torso(clip: TrainingClip, tmp_path: Path) -> None:
    run = trainer(clip, tmp_path / "x.checkpoint")
    psnr: dict[str, list[float]] = {"speech": [], "head": [], "lips": [], "torso": []}
    losses: list[float] = []

    def note(stage: str, step: int, n: int, report: StepReport) -> None:
        psnr[stage].append(report.psnr_db)
        if stage == "speech":
            losses.append(float(report.loss))

    run.run(note)
    assert [len(v) for v in psnr.values()] == [30, 60, 4, 60]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert np.mean(psnr["head"][-10:]) > np.mean(psnr["head"][:10]) + 4.0
    assert np.mean(psnr["torso"][-10:]) > np.mean(psnr["torso"][:10]) + 4.0
    assert run.occupancy.grid.sum() < run.occupancy.hull.sum(), "nothing was pruned"

    encoder = AudioEncoder.bundled()
    path = tmp_path / "tiny.avatar"
    save_avatar(run.avatar("tiny", encoder), path)
    avatar = load_avatar(path)
    assert avatar.encoder.sha256 == encoder.spec.sha256
    assert avatar.field_config.max_samples == 32, "a grazing ray would run out of samples in front of what it should show"
    assert run.field.config.max_samples == 16
    grid = run.occupancy.grid.numpy()
    assert 0 < avatar.occupancy.sum() < grid.sum() and not (avatar.occupancy & ~grid).any()
    # Tightened three times on the way, and at the end.
    assert avatar.occupancy.sum() < 0.5 * visual_hull(clip, run.field.config).sum(), "the avatar keeps cells that its pictures do not need"
    again = trainer(clip, tmp_path / "again.checkpoint")
    again.start_from(avatar)
    np.testing.assert_array_equal(again.field["head.density1.weight"].detach().numpy(), avatar.tensors["head.density1.weight"])
    assert again.occupancy.grid.sum() <= run.occupancy.grid.sum()
    frames = range(0, clip.n_frames, 6)
    result = evaluate(avatar, clip.dataset, encoder, frames, backend="torch", judges=PICTURES_ONLY)
    loose = avatar.replace(occupancy=run.occupancy.grid.numpy())
    generous = evaluate(loose, clip.dataset, encoder, frames, backend="torch", judges=PICTURES_ONLY)
    assert result["psnr_db"] > generous["psnr_db"] - 0.1, "cells were dropped that the pictures need"
    truth = np.asarray(clip.dataset.frames[0])
    assert result["psnr_db"] > psnr_db(truth, np.asarray(clip.dataset.background)) + 2.0, "worse than the empty background"


@pytest.mark.parametrize(
    ("config", "cuts"),
    [
        (CONFIG, [("head", 37)]),
        (REFINING, [("speech", 11), ("head", 17), ("head", 30), ("head", 60), ("lips", 3), ("torso", 25)]),
        (dataclasses.replace(REFINING, threads=2, **BRIEF), [("head", 2), ("torso", 1)]),
    ],
    ids=["captured poses", "refined poses", "two threads"],
)
def test_interrupted_training_equals_an_uninterrupted_one(
    clip: TrainingClip, tmp_path: Path, config: TrainConfig, cuts: list[tuple[str, int]]
) -> None:
    whole = trainer(clip, tmp_path / "whole.checkpoint", config)
    whole.run(lambda *_: None)
    wholes_poses = clip.poses

    checkpoint = tmp_path / "cut.checkpoint"
    trainer(clip, checkpoint, config).save_checkpoint()
    for cut in cuts:

        def stop(stage: str, step: int, *_: object, cut: tuple[str, int] = cut) -> None:
            if (stage, step) == cut:
                raise KeyboardInterrupt

        part = trainer(clip, checkpoint, config)
        part.load_checkpoint()
        with pytest.raises(KeyboardInterrupt):
            part.run(stop)
    resumed = trainer(clip, checkpoint, config)
    resumed.load_checkpoint()
    assert (resumed.stage, resumed.step) == cuts[-1]
    resumed.run(lambda *_: None)
    for name, tensor in whole.average.items():
        assert torch.equal(resumed.field[name], whole.field[name]), name
        assert torch.equal(resumed.average[name], tensor), f"average of {name}"
    assert torch.equal(resumed.occupancy.seen, whole.occupancy.seen)
    assert torch.equal(resumed.poses.updates, whole.poses.updates)
    np.testing.assert_array_equal(clip.poses, wholes_poses)
    np.testing.assert_array_equal(resumed.avatar("tiny", AudioEncoder.bundled()).pose_track, wholes_poses)
    assert np.array_equal(clip.poses, clip.dataset.track.camera_from_head) == (config.pose_rate == 0.0)


def test_interrupt_waits_for_the_end_of_the_step(clip: TrainingClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(clip, tmp_path / "x.checkpoint")
    lesson, n_lessons = run.lessons.batch, 0

    def interrupted_lesson(n: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal n_lessons
        n_lessons += 1
        if n_lessons == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return lesson(n, rng)

    monkeypatch.setattr(run.lessons, "batch", interrupted_lesson)
    with pytest.raises(KeyboardInterrupt):
        run.run(lambda *_: None)
    resumed = trainer(clip, tmp_path / "x.checkpoint")
    resumed.load_checkpoint()
    assert resumed.step == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_checkpoint_of_another_configuration_is_refused(clip: TrainingClip, tmp_path: Path) -> None:
    checkpoint = tmp_path / "x.checkpoint"
    trainer(clip, checkpoint).save_checkpoint()
    other = field_config_for(clip.dataset, AudioEncoder.bundled().spec, 200.0, 64)
    with pytest.raises(BadInput, match="another dataset or configuration"):
        Trainer(clip, lessons(clip, other), other, CONFIG, checkpoint).load_checkpoint()


def test_broken_checkpoint_is_refused(clip: TrainingClip, tmp_path: Path) -> None:
    checkpoint = tmp_path / "x.checkpoint"
    checkpoint.write_bytes(b"not a checkpoint at all")
    with pytest.raises(BadInput, match="not a usable checkpoint"):
        trainer(clip, checkpoint).load_checkpoint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere", "--out", "x.avatar"], "nowhere"),
        (["{take}", "--out", "x.bin"], ".avatar"),
        (["{take}", "--out", "no/such/x.avatar"], "does not exist"),
        (["{take}", "--out", "x.avatar", "--look-ahead-ms", "10"], "look_ahead_ms 10"),
        (["{take}", "--out", "x.avatar", "--threads", "0"], "threads 0"),
        (["{take}", "--out", "x.avatar", "--bogus"], "bogus"),
    ],
)
def test_train_rejects_bad_options(
    tiny_take: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=message):
        train_main([o.format(take=tiny_take) for o in options])


def test_a_persons_lips_are_described_however_the_head_is_turned(tiny_take: Path) -> None:
    dataset = Dataset.open(tiny_take)
    n = dataset.meta.n_frames
    # A flat face whose mouth opens and widens by turns, seen at the take's own poses.
    rest = np.random.default_rng(0).normal(0.0, 0.1, (len(LANDMARK_NAMES), 2))
    phase = np.arange(n) * 0.7
    wide, opening = np.sin(phase), np.cos(1.7 * phase)
    points = np.repeat(rest[None], n, 0)
    points[..., 0] += 0.05 * wide[:, None] * rest[:, 0]
    points[..., 1] += 0.1 * opening[:, None] * rest[:, 1]
    head = np.concatenate([points, np.full((n, len(rest), 1), dataset.meta.audio_region.centre[2])], axis=2)
    pose, camera = dataset.track.camera_from_head.astype(float), dataset.meta.camera
    seen = np.einsum("nij,nkj->nki", pose[:, :3, :3], head) + pose[:, None, :3, 3]
    landmarks = np.stack([seen[..., 0] / seen[..., 2] * camera.fx + camera.cx, seen[..., 1] / seen[..., 2] * camera.fy + camera.cy], axis=2)
    person = dataclasses.replace(
        dataset,
        meta=dataclasses.replace(dataset.meta, landmark_names=LANDMARK_NAMES),
        track=dataclasses.replace(dataset.track, landmarks=landmarks.astype(np.float32), articulation=None, articulation_names=()),
    )
    targets = mouth_targets(person, np.arange(0, n, 2))
    shapes = targets[:, :-1]
    assert shapes.shape[1] == 2, "two ways to move, two components"
    np.testing.assert_array_equal(targets[:, -1], dataset.track.lip_opening)
    design = np.column_stack([shapes, np.ones(n)])
    for curve in (wide, opening):
        fitted = design @ np.linalg.lstsq(design, curve, rcond=None)[0]
        assert np.abs(fitted - curve).max() < 0.02


def test_lessons_go_on_between_frames_and_over_a_short_gap() -> None:
    targets = np.arange(20, dtype=float)[:, None] ** 2
    steps, values = between_frames(np.array([0, 1, 3, 9, 10]), targets)
    assert steps.tolist() == [0, 1, 2, 3, 4, 5, 6, 18, 19, 20], "two steps a frame, and none in a gap of six frames"
    np.testing.assert_allclose(values[:, 0], [0, 0.5, 1, 3, 5, 7, 9, 81, 90.5, 100])
