"""Poses of frames that the avatar was not trained on, found by the pictures themselves: how good is it where the head stands right?

A capture's poses err by about a pixel and a degree. Training refines those of its own frames together with the field; a held-out frame's
stays as it was captured, and its picture is then judged a pixel beside the truth. As is usual for fields whose poses are learned (BARF,
section 4.2), the held-out pose is refined by the same loss with the field held, six numbers a frame. Nothing else can change.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from editing.train.clip import TrainingClip
from editing.train.config import TrainConfig
from editing.train.engine import NativeEngine
from editing.train.losses import rate_at
from editing.train.occupancy import MaximumOccupancy
from editing.train.pose_refinement import PoseRefinement
from editing.train.stages import HeadStage
from renderer.field import training_library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from editing.evaluate.driving import Drive

STEPS_PER_FRAME = 80
RATE = 2e-3
"""Initial Adam rate in radians and head units, decaying to a tenth."""
SAMPLES_PER_STEP = 49_152
PRIOR_WEIGHT = 1e-3


def aligned(drive: Drive, frames: Sequence[int]) -> Drive:
    """The same drive with the poses of these frames of its dataset aligned to their pictures. For self-driven measurements only."""
    avatar, encoder = drive.avatar, drive.encoder
    torch.set_num_threads(drive.threads)
    training_library.set_threads(drive.threads)
    config = TrainConfig(samples_per_step=SAMPLES_PER_STEP, speech_weight=0.0, lip_share=0.0, prune_after=sys.maxsize)
    clip = TrainingClip(drive.dataset, encoder, avatar.field_config)
    clip.frames = np.asarray(frames)
    clip.use_poses(np.asarray(drive.poses))
    engine = NativeEngine()
    field = engine.field(avatar.field_config)
    field.load_arrays(avatar.tensors)
    occupancy = MaximumOccupancy(avatar.occupancy, engine.device)
    stage = HeadStage(field, clip, occupancy, config, np.random.default_rng(0), engine)
    refinement = PoseRefinement(clip.poses, PRIOR_WEIGHT, clip.frames, keep_mean=True)
    n_steps = STEPS_PER_FRAME * -(-len(clip.frames) // config.frames_per_step)
    for step in tqdm(range(n_steps), "aligning poses", unit="step", disable=not sys.stderr.isatty()):
        stage.step(step, refinement=refinement)
        field.zero_grad(set_to_none=True)
        refinement.step(rate_at(step, n_steps, RATE, 0.1))
    return dataclasses.replace(drive, poses=refinement.poses().detach().numpy(), poses_from="aligned to the pictures")
