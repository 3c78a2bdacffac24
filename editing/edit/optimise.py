"""The field's optimisation after one update of the dataset: `editing.train` on the edited clip, begun with the avatar as it is.

What makes the lips follow the sound (the audio feature extractor and the audio coordinate) stays as it is, so edited lips move as the
original's did; shape, colours and the torso are learned anew. The paper optimises everything and repairs the lips by a loss of their own.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from editing.train.config import TrainConfig
from editing.train.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from editing.train.clip import TrainingClip
    from editing.train.engine import Engine
    from editing.train.trainer import Report
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

FROZEN = ("audio.", "attention.", "head.ambient", "head.appearance", "torso.appearance")
APPEARANCES = ("head.appearance", "torso.appearance")


@dataclasses.dataclass(frozen=True)
class OptimisationSteps:
    """Of a whole edit, all rounds together (paper: 300 epochs of 200 frames, then 100 on the lips)."""

    head: int = 3000
    lips: int = 900
    torso: int = 1500

    def config(self, share: float, threads: int, seed: int) -> TrainConfig:
        """The schedule of a round that gets this share of the steps."""
        head, lips, torso = (max(1, round(share * steps)) for steps in (self.head, self.lips, self.torso))
        return TrainConfig(
            speech_steps=0,
            head_steps=head,
            lips_steps=lips,
            torso_steps=torso,
            # The grid is tight already: no step may spend more samples than rendering will.
            coarse_share=0.0,
            network_rate=1e-3,
            grid_rate=5e-3,
            threads=threads,
            seed=seed,
        )


def one_appearance(avatar: Avatar, n_frames: int) -> Avatar:
    """The avatar with its mean appearance for each of `n_frames` frames: what is rendered live, and what the edit begins with."""
    config = dataclasses.replace(avatar.field_config, n_appearances=n_frames)
    means = {name: np.repeat(avatar.tensors[name].mean(0, keepdims=True), n_frames, axis=0) for name in APPEARANCES}
    return avatar.replace(field_config=config, tensors={**avatar.tensors, **means})


def optimised(
    avatar: Avatar,
    clip: TrainingClip,
    encoder: AudioEncoder,
    config: TrainConfig,
    checkpoint: Path,
    report: Report,
    engine: Engine | None = None,
) -> Avatar:
    """The avatar after its round. Goes on from `checkpoint` if there is one; a KeyboardInterrupt leaves one behind."""
    trainer = Trainer(clip, None, avatar.field_config, config, checkpoint, engine=engine, frozen=FROZEN)
    trainer.start_from(avatar)
    if checkpoint.exists():
        trainer.load_checkpoint()
    trainer.run(report)
    learned = trainer.avatar(avatar.name, encoder)
    return avatar.replace(
        tensors=learned.tensors, occupancy=learned.occupancy, torso_mask=learned.torso_mask, background=learned.background, poster=None
    )
