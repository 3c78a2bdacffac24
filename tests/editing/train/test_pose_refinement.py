"""Refined head poses: their geometry, their gauge, and that a training finds poses which were disturbed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from editing.dataset import Dataset
from editing.train.clip import TrainingClip
from editing.train.command import config_for, field_config_for, parser
from editing.train.config import TrainConfig
from editing.train.pose_refinement import PoseRefinement, follow_pose
from editing.train.speech import SpeechLessons
from editing.train.trainer import Trainer
from renderer.audio.encoder import AudioEncoder
from renderer.errors import BadInput
from renderer.field.frame_codes import rotation_vector

if TYPE_CHECKING:
    from pathlib import Path


def random_poses(n: int, dtype: torch.dtype = torch.float32) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    skew = torch.randn(n, 3, 3, dtype=dtype, generator=generator)
    poses = torch.eye(4, dtype=dtype).repeat(n, 1, 1)
    poses[:, :3, :3] = torch.matrix_exp(skew - skew.transpose(1, 2))
    poses[:, :3, 3] = torch.randn(n, 3, dtype=dtype, generator=generator) + torch.tensor([0.0, 0.0, 5.0], dtype=dtype)
    return poses.numpy()


def head_frame_updates(poses: np.ndarray, captured: np.ndarray) -> np.ndarray:
    """What each pose was moved by, seen from the head: rotation vectors and translations [n, 6]."""
    rotations = [rotation_vector(c[:3, :3].T @ p[:3, :3]) for p, c in zip(poses, captured, strict=True)]
    translations = [p[:3, :3].T @ (p[:3, 3] - c[:3, 3]) for p, c in zip(poses, captured, strict=True)]
    return np.concatenate([rotations, translations], axis=1)


def test_refined_poses_begin_as_the_captured() -> None:
    captured = random_poses(5)
    refinement = PoseRefinement(captured, 0.1)
    assert torch.equal(refinement.poses().detach(), torch.from_numpy(captured))
    assert torch.equal(refinement.poses(np.array([3, 1])).detach(), torch.from_numpy(captured[[3, 1]]))


def test_update_turns_and_moves_along_the_axes_of_the_camera() -> None:
    captured = random_poses(3)
    refinement = PoseRefinement(captured, 0.1)
    with torch.no_grad():
        refinement.updates[1] = torch.tensor([0.0, 0.0, 0.1, 0.2, 0.3, 0.4])
    pose = refinement.poses(np.array([1]))[0].detach().numpy()
    turn = np.array([[np.cos(0.1), -np.sin(0.1), 0.0], [np.sin(0.1), np.cos(0.1), 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(pose[:3, :3], turn @ captured[1, :3, :3], atol=1e-6)
    np.testing.assert_allclose(pose[:3, 3] - captured[1, :3, 3], [0.2, 0.3, 0.4], atol=1e-6)


def test_follow_pose_keeps_positions_and_differentiates_them() -> None:
    refinement = PoseRefinement(random_poses(3), 0.1)
    refinement.captured = torch.from_numpy(random_poses(3, torch.float64))
    refinement.updates = torch.zeros(3, 6, dtype=torch.float64, requires_grad=True)
    positions, ends = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), [4, 4, 7]
    torch.testing.assert_close(follow_pose(positions, ends, refinement.poses()), positions)

    at_rest = refinement.poses().detach()
    before_camera = torch.cat(
        [positions[:4] @ at_rest[0, :3, :3].T + at_rest[0, :3, 3], positions[4:] @ at_rest[2, :3, :3].T + at_rest[2, :3, 3]]
    )

    def moved(updates: torch.Tensor) -> torch.Tensor:
        refinement.updates = updates
        pose = refinement.poses()[[0, 0, 0, 0, 2, 2, 2]]
        return ((before_camera - pose[:, :3, 3])[:, None] @ pose[:, :3, :3])[:, 0]

    start = refinement.updates
    truth = torch.autograd.functional.jacobian(moved, start)
    refinement.updates = start
    ours = follow_pose(positions, ends, refinement.poses())
    for i, row in enumerate(ours.reshape(-1)):
        (gradient,) = torch.autograd.grad(row, start, retain_graph=True)
        torch.testing.assert_close(gradient, truth.reshape(-1, 3, 6)[i])


def test_step_leaves_no_common_motion_of_the_head() -> None:
    captured = random_poses(40)
    refinement = PoseRefinement(captured, 0.1)
    for seed in range(20):
        pull = torch.randn(40, 6, generator=torch.Generator().manual_seed(seed)) + 1.0
        (refinement.updates * pull).sum().backward()
        refinement.step(1e-3)
        assert refinement.updates.grad is None
    moved = head_frame_updates(refinement.poses().detach().numpy(), captured)
    assert np.abs(moved).mean() > 3e-3
    assert np.abs(moved.mean(0)).max() < 3e-4


def test_refinement_goes_on_from_its_state() -> None:
    def pull(refinement: PoseRefinement, seeds: range) -> None:
        for seed in seeds:
            (refinement.updates * torch.randn(6, 6, generator=torch.Generator().manual_seed(seed))).sum().backward()
            refinement.step(1e-3)

    whole, first, second = (PoseRefinement(random_poses(6), 0.1) for _ in range(3))
    pull(whole, range(8))
    pull(first, range(4))
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    pull(second, range(4, 8))
    assert torch.equal(whole.updates, second.updates)


@pytest.mark.parametrize(
    ("option", "refined"), [([], (False, True)), (["--refine-poses"], (True, True)), (["--no-refine-poses"], (False, False))]
)
def test_train_refines_poses_that_are_estimates_unless_told(tiny_take: Path, option: list[str], refined: tuple[bool, bool]) -> None:
    true = Dataset.open(tiny_take)
    estimated = dataclasses.replace(true, track=dataclasses.replace(true.track, articulation=None, articulation_names=()))
    arguments = parser().parse_args([str(tiny_take), "--out", "x.avatar", *option])
    assert tuple(bool(config_for(arguments, dataset).pose_steps) for dataset in (true, estimated)) == refined


@pytest.mark.parametrize("wrong", [{"pose_rate": -1.0}, {"pose_rate": 1.0}, {"pose_start_step": -1}, {"pose_prior_weight": -0.1}])
def test_config_rejects_poses_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        dataclasses.replace(TrainConfig(), **wrong)


def disturbed(dataset: Dataset, degrees: float, share: float) -> Dataset:
    """The dataset with poses that are off: turned by so many degrees, moved by such a share of the head's extent (root mean square)."""
    rng = np.random.default_rng(2)
    track = dataset.track
    noise = PoseRefinement(track.camera_from_head, 0.0)
    scale = np.array([np.radians(degrees)] * 3 + [share * dataset.meta.head_box.half_extent] * 3) / np.sqrt(3)
    with torch.no_grad():
        noise.updates.copy_(torch.from_numpy(rng.normal(size=noise.updates.shape) * scale))
    return dataclasses.replace(dataset, track=dataclasses.replace(track, camera_from_head=noise.poses().detach().numpy()))


def picture_error_px(dataset: Dataset, poses: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square, over frames and points of the face, of how far they are drawn from their place; one rigid motion of the head,
    the same in all frames, does not count."""
    box, camera = dataset.meta.head_box, dataset.meta.camera
    moved = head_frame_updates(poses, truth)
    common = PoseRefinement(np.eye(4)[None], 0.0)
    with torch.no_grad():
        common.updates.copy_(torch.from_numpy(moved.mean(0)[None]))
    undone = poses @ np.linalg.inv(common.poses()[0].detach().numpy())
    face = np.asarray(box.centre) + box.half_extent * np.array([[-0.4, 0, 0.3], [0.4, 0, 0.3], [0, -0.4, 0.5], [0, 0.5, 0.3], [0, 0, 0.6]])

    def draw(p: np.ndarray) -> np.ndarray:
        q = face @ p[:, :3, :3].transpose(0, 2, 1) + p[:, None, :3, 3]
        return np.stack([camera.fx * q[..., 0] / q[..., 2], camera.fy * q[..., 1] / q[..., 2]], -1)

    return float(np.sqrt(((draw(undone) - draw(truth)) ** 2).sum(-1).mean()))


def test_training_finds_disturbed_poses(tiny_take: Path, tmp_path: Path) -> None:
    encoder, exact = AudioEncoder.bundled(), Dataset.open(tiny_take)
    dataset = disturbed(exact, degrees=1.5, share=0.015)  # 0.4 pixels of 64
    field_config = field_config_for(dataset, encoder.spec, 160.0, 64)
    clip = TrainingClip(dataset, encoder, field_config)
    config = TrainConfig(
        speech_steps=0, head_steps=400, samples_per_step=8192, prune_after=50, threads=1, pose_rate=1e-3, pose_start_step=100
    )
    run = Trainer(clip, SpeechLessons([exact], encoder, field_config.audio_window), field_config, config, tmp_path / "x.checkpoint")

    def stop(stage: str, step: int, *_: object) -> None:
        if step == config.pose_steps.stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(stop)
    truth = exact.track.camera_from_head
    before, after = (picture_error_px(exact, p, truth) for p in (dataset.track.camera_from_head, clip.poses))
    assert before > 0.3
    assert after < 0.6 * before


def test_settled_poses_of_other_frames_follow_their_neighbours() -> None:
    captured = np.repeat(random_poses(1), 6, 0)
    refinement = PoseRefinement(captured, 0.1, np.array([0, 1, 3, 5]))
    with torch.no_grad():
        refinement.updates[:, 3] = torch.tensor([0.1, 0.1, 9.0, 0.3, 9.0, 0.3])
    shift = refinement.settled().numpy()[:, 0, 3] - captured[:, 0, 3]
    np.testing.assert_allclose(shift[[0, 1, 3, 5]], [0.1, 0.1, 0.3, 0.3], atol=1e-6)
    assert 0.18 < shift[2] < 0.22 and 0.27 < shift[4] < 0.31


def test_settled_poses_far_from_all_others_follow_those_of_their_kind() -> None:
    """An error that depends on the pose is expected where the pose comes up again, however much later."""
    rng = np.random.default_rng(3)
    captured = np.repeat(random_poses(1), 200, 0)
    captured[:, 0, 3] += rng.normal(0.0, 0.1, 200).astype(np.float32)
    trained = np.arange(100)
    refinement = PoseRefinement(captured, 0.1, trained)
    bias = 0.2 * (captured[:, 0, 3] - captured[:100, 0, 3].mean())
    with torch.no_grad():
        refinement.updates[:, 4] = torch.from_numpy(bias + rng.normal(0.0, 0.005, 200).astype(np.float32))
    shift = refinement.settled().numpy()[:, 1, 3] - captured[:, 1, 3]
    far = np.arange(130, 200)
    assert np.abs(shift[far] - bias[far]).mean() < 0.3 * np.abs(bias[far]).mean()
