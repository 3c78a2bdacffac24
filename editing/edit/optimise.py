"""The field's optimisation after one update of the dataset: `editing.train` on the edited clip, begun with the avatar as it is.

What makes the lips follow the sound (the audio feature extractor and the audio coordinate) stays as it is, so edited lips move as the
original's did; shape, colours and the torso are learned anew, and the refinement network with them. The paper optimises everything.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from editing.edit.patch_stages import PatchConfig, PatchStages
from editing.edit.refiner_training import RefinerTrainer, RefinerTrainingConfig
from editing.train.config import TrainConfig
from editing.train.trainer import Trainer
from renderer.errors import BadInput
from renderer.refiner.config import RefinerConfig

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import UInt8

    from editing.edit.presets import EditPreset
    from editing.edit.refiner_losses import Features
    from editing.train.clip import TrainingClip
    from editing.train.engine import Engine
    from editing.train.trainer import Report
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

FROZEN = ("audio.", "attention.", "head.ambient", "head.appearance", "torso.appearance")
APPEARANCES = ("head.appearance", "torso.appearance")


@dataclasses.dataclass(frozen=True)
class OptimisationSteps:
    """Of a whole edit, all rounds together."""

    head: int = 2400
    """On random rays of eight frames."""
    lips: int = 600
    """On lip patches, with the lip-edge loss."""
    torso: int = 900
    patches: int = 600
    """On patches of the whole picture: the refiner alone, or the field too (`Learning.on_patches`)."""

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value <= 1_000_000:
                raise BadInput(f"--{name}-steps {value}: 0 to 1,000,000 are possible")

    @staticmethod
    def of_preset(preset: EditPreset, n_frames: int) -> OptimisationSteps:
        """For an edit of as many frames."""
        patches, lips = preset.patch_steps_for(n_frames), preset.lips_steps_for(n_frames)
        return OptimisationSteps(preset.head_steps, lips, preset.torso_steps, patches)

    def share(self, share: float) -> OptimisationSteps:
        """Of a round that gets this share of the steps."""
        return OptimisationSteps(**{name: round(share * steps) for name, steps in dataclasses.asdict(self).items()})


@dataclasses.dataclass(frozen=True)
class Learning:
    """How field and refiner learn."""

    refiner: RefinerTrainingConfig | None = dataclasses.field(default_factory=lambda: RefinerTrainingConfig(learning_rate=1e-3))
    """None: the avatar gets none. Its steps and seed are set in each round."""
    on_patches: bool = False
    """Whether the field learns from patches of the whole picture, as in the paper, instead of random rays (see `patch_stages`)."""
    network_rate: float = 1e-3
    grid_rate: float = 5e-3
    patch_px: int = 128
    """Edge of a patch of the whole picture (paper: 256)."""
    lip_patch_px: int = 64
    """Edge of a lip patch (paper)."""

    @staticmethod
    def as_in_the_paper() -> Learning:
        """Field and refiner together, the refiner of 1 MB; rates and sizes of the paper's "Implementation Details"."""
        refiner = RefinerTrainingConfig(refiner=RefinerConfig(64, 32))
        return Learning(refiner, on_patches=True, network_rate=5e-4, grid_rate=5e-3, patch_px=256)

    def trained(self, steps: OptimisationSteps, threads: int, seed: int) -> TrainConfig:
        """The stages of `editing.train` in a round of these steps."""
        return TrainConfig(
            speech_steps=0,
            head_steps=steps.head,
            lips_steps=0,
            torso_steps=steps.torso,
            # The grid is tight already: no step may spend more samples than rendering will.
            coarse_share=0.0,
            network_rate=self.network_rate,
            grid_rate=self.grid_rate,
            threads=threads,
            seed=seed,
        )

    def patches(self, steps: OptimisationSteps) -> PatchConfig:
        """The stages that follow them."""
        return PatchConfig(steps.patches, steps.lips, self.patch_px, self.lip_patch_px, self.on_patches)


def one_appearance(avatar: Avatar, n_frames: int) -> Avatar:
    """The avatar with its mean appearance for each of `n_frames` frames: what is rendered live, and what the edit begins with."""
    config = dataclasses.replace(avatar.field_config, n_appearances=n_frames)
    means = {name: np.repeat(avatar.tensors[name].mean(0, keepdims=True), n_frames, axis=0) for name in APPEARANCES}
    return avatar.replace(field_config=config, tensors={**avatar.tensors, **means})


def optimised(
    avatar: Avatar,
    clip: TrainingClip,
    originals: UInt8[np.ndarray, "n h w 3"],
    encoder: AudioEncoder,
    steps: OptimisationSteps,
    learning: Learning,
    features: Features,
    checkpoint: Path,
    report: Report,
    threads: int = 2,
    seed: int = 0,
    engine: Engine | None = None,
) -> Avatar:
    """The avatar after its round of `steps`. Goes on from `checkpoint` if there is one; a KeyboardInterrupt leaves one behind.

    `clip` holds the edited frames, `originals` the same frames unedited. A refiner of the right sizes that the avatar has is where its
    new one begins.
    """
    refiner = None
    if learning.refiner is not None:
        config = dataclasses.replace(learning.refiner, steps=steps.patches, fine_tune_steps=steps.lips, seed=seed)
        start = avatar.refiner if avatar.refiner is not None and avatar.refiner.config == config.refiner else None
        refiner = RefinerTrainer(config, features, start=start, device=None if engine is None else engine.device)
    further = PatchStages(clip, originals, learning.patches(steps), refiner)
    training = learning.trained(steps, threads, seed)
    trainer = Trainer(clip, None, avatar.field_config, training, checkpoint, engine=engine, frozen=FROZEN, further=further)
    trainer.start_from(avatar)
    if checkpoint.exists():
        trainer.load_checkpoint()
    trainer.run(report)
    learned = trainer.avatar(avatar.name, encoder)
    return avatar.replace(
        tensors=learned.tensors,
        occupancy=learned.occupancy,
        torso_mask=learned.torso_mask,
        background=learned.background,
        refiner=None if refiner is None else refiner.network.to_refiner(),
        poster=None,
    )
