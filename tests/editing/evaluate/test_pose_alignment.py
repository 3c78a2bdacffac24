"""Poses found by pictures that the avatar itself has drawn."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np

from editing.evaluate.driving import trained_from
from editing.evaluate.pose_alignment import aligned

if TYPE_CHECKING:
    from editing.evaluate.driving import Drive

FRAMES = range(0, 8, 2)


def pixels_apart(drive: Drive, poses: np.ndarray) -> float:
    """Root mean square distance between the pictures of a few points of the face, in pixels."""
    points = np.array([(0.0, 0.2, 0.0), (-0.3, 0.0, -0.2), (0.3, 0.0, -0.2), (0.0, -0.4, 0.0)])
    camera = drive.avatar.camera

    def project(pose: np.ndarray) -> np.ndarray:
        seen = points @ pose[:3, :3].T + pose[:3, 3]
        return np.asarray(seen[:, :2] / seen[:, 2:] * camera.fx)

    apart = [project(poses[k]) - project(drive.poses[k]) for k in FRAMES]
    return float(np.sqrt(np.mean(np.sum(np.square(apart), axis=-1))))


def test_aligned_finds_the_poses_of_pictures(drive: Drive) -> None:
    frames = np.asarray(drive.dataset.frames).copy()
    for k, picture in zip(FRAMES, drive.pictures(FRAMES), strict=True):
        frames[k] = picture
    drawn = dataclasses.replace(drive, dataset=dataclasses.replace(drive.dataset, frames=frames))
    moved = np.array(drive.poses, np.float32)
    moved[:, :2, 3] += np.random.default_rng(0).normal(0.0, 0.03, (len(moved), 2)).astype(np.float32)
    result = aligned(dataclasses.replace(drawn, poses=moved), FRAMES)
    before, after = pixels_apart(drawn, moved), pixels_apart(drawn, result.poses)
    assert after < 0.5 * before, (before, after)
    assert result.poses_from == "aligned to the pictures"
    others = [k for k in range(len(moved)) if k not in FRAMES]
    np.testing.assert_allclose(result.poses[others], moved[others], atol=1e-6)


def test_drive_takes_the_avatars_poses_on_its_own_clip_only(drive: Drive) -> None:
    assert drive.poses_from == "of the dataset"
    assert not trained_from(drive.avatar, drive.dataset)
    schedule = json.dumps({"dataset": drive.dataset.fingerprint()})
    own = drive.avatar.replace(lineage=dataclasses.replace(drive.avatar.lineage, schedule=schedule))
    assert trained_from(own, drive.dataset)
    assert not trained_from(drive.avatar.replace(lineage=dataclasses.replace(own.lineage, schedule="by hand")), drive.dataset)
