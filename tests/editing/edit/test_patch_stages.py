"""Patches of the field: they show what the avatar shows, and each stage learns what it should."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from editing.edit.edited_clip import edited_clip
from editing.edit.optimise import FROZEN, Learning, OptimisationSteps, one_appearance
from editing.edit.originals import Originals
from editing.edit.patch_stages import PATCHES, PatchConfig, PatchStages
from editing.edit.presets import preset_named
from editing.edit.refiner_losses import FilterBank, LossWeights
from editing.edit.refiner_training import RefinerTrainer, RefinerTrainingConfig
from editing.evaluate.metrics import psnr_db
from editing.train.trainer import Trainer
from renderer.errors import BadInput
from renderer.refiner.config import RefinerConfig
from tests.editing.edit.conftest import SIZE_PX

if TYPE_CHECKING:
    from pathlib import Path

    from editing.train.clip import TrainingClip
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

pytestmark = pytest.mark.usefixtures("without_landmarks")
N_FRAMES = 4
SMALL = RefinerTrainingConfig(refiner=RefinerConfig(16, 16), learning_rate=1e-3)
NONE = OptimisationSteps(0, 0, 0, 0)


@dataclasses.dataclass
class Setting:
    originals: Originals
    clip: TrainingClip
    avatar: Avatar
    checkpoint: Path

    def trainer(self, config: PatchConfig, refiner: RefinerTrainer | None) -> Trainer:
        further = PatchStages(self.clip, self.originals.pictures, config, refiner)
        training = Learning().trained(NONE, threads=1, seed=3)
        trainer = Trainer(self.clip, None, self.avatar.field_config, training, self.checkpoint, frozen=FROZEN, further=further)
        trainer.start_from(self.avatar)
        return trainer


@pytest.fixture
def setting(avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, without_landmarks: None) -> Setting:
    originals = Originals.of(avatar, encoder, N_FRAMES, threads=1)
    inverted = 255 - originals.pictures
    clip = edited_clip(avatar, originals, inverted, encoder, "inverted")
    return Setting(originals, clip, one_appearance(avatar, N_FRAMES), tmp_path / "x.checkpoint")


def weights(trainer: Trainer) -> dict[str, np.ndarray]:
    return {name: trainer.field[name].detach().numpy().copy() for name in trainer.average}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name, array in before.items() if not np.array_equal(array, after[name])}


def test_a_patch_shows_what_the_avatar_shows(setting: Setting) -> None:
    trainer = setting.trainer(PatchConfig(1, 0), RefinerTrainer(SMALL, FilterBank()))
    stages = trainer.further
    assert isinstance(stages, PatchStages)
    original_clip = dataclasses.replace(setting.clip.dataset, frames=setting.originals.pictures, background=setting.avatar.background)
    setting.clip.dataset = original_clip
    rows, columns = slice(8, 56), slice(10, 50)
    with torch.no_grad():
        batch = stages._batch(trainer, 2, rows, columns)
        shown = trainer.head.show(batch, stages._pose(2), jitter=False)
    patch = 255.0 * shown.predicted.reshape(48, 40, 3).numpy()
    # The renderer stops at a low transmittance, and the grid of this training is the avatar's cut to the masks of four frames.
    assert psnr_db(patch, setting.originals.pictures[2, rows, columns]) > 32.0


def test_the_refiner_learns_from_a_field_that_is_held(setting: Setting) -> None:
    # No term that the refiner cannot lower: not the field's own error, and no opponent that learns too.
    refiner = RefinerTrainer(dataclasses.replace(SMALL, weights=LossWeights(reconstruction=0.0, adversarial=0.0)), FilterBank())
    trainer = setting.trainer(PatchConfig(30, 0), refiner)
    before, losses = weights(trainer), []
    trainer.run(lambda stage, step, n, report: losses.append((stage, float(report.loss))))
    assert changed(before, weights(trainer)) == set()
    assert {stage for stage, _ in losses} == {PATCHES} and refiner.step == 30
    assert np.mean([loss for _, loss in losses[-8:]]) < 0.9 * np.mean([loss for _, loss in losses[:8]])


def test_the_field_learns_from_patches_where_it_is_asked_to(setting: Setting) -> None:
    trainer = setting.trainer(PatchConfig(50, 0, patch_px=32, on_patches=True), RefinerTrainer(SMALL, FilterBank()))
    before, psnr = weights(trainer), []
    trainer.run(lambda stage, step, n, report: psnr.append(report.psnr_db))
    found = changed(before, weights(trainer))
    assert "head.colour0.weight" in found and "head.spatial_grid" in found
    assert not [name for name in found if name.startswith((*FROZEN, "torso."))]
    assert np.mean(psnr[-5:]) > np.mean(psnr[:5]) + 1.0


@pytest.mark.parametrize("with_refiner", [True, False])
def test_the_lip_edge_loss_smooths_lips_where_the_original_has_no_edge(setting: Setting, with_refiner: bool) -> None:
    """Only that loss is left: the field's lips lose the edges that their pictures have."""
    only = LossWeights(reconstruction=0.0, perceptual=0.0, style=0.0, adversarial=0.0, lip_edge=100.0)
    refiner = RefinerTrainer(dataclasses.replace(SMALL, weights=only), FilterBank()) if with_refiner else None
    blank = np.full_like(setting.originals.pictures, 128)
    setting.originals = dataclasses.replace(setting.originals, pictures=blank)
    trainer = setting.trainer(PatchConfig(9, 20, lip_patch_px=16, on_patches=False, weights=only), refiner)
    if refiner is None:
        assert trainer.further is not None and trainer.further.steps[PATCHES] == 0, "nothing would learn from them"
    edges = []
    stages = trainer.further
    assert isinstance(stages, PatchStages)
    rows, columns = slice(36, 42), slice(27, 37)

    def note(stage: str, step: int, n: int, report: object) -> None:
        if stage != PATCHES:
            with torch.no_grad():
                shown = trainer.head.show(stages._batch(trainer, 0, rows, columns), stages._pose(0), jitter=False)
            edges.append(float(shown.predicted.reshape(6, 10, 3).diff(dim=0).abs().mean()))

    trainer.run(note)
    assert edges[-1] < 0.8 * edges[0]


def test_no_lips_are_refused_where_they_are_asked_for(setting: Setting) -> None:
    setting.clip.dataset = dataclasses.replace(setting.clip.dataset, labels=np.zeros((N_FRAMES, SIZE_PX, SIZE_PX), np.uint8))
    with pytest.raises(BadInput, match="no frame shows lips"):
        PatchStages(setting.clip, setting.originals.pictures, PatchConfig(1, 1))
    PatchStages(setting.clip, setting.originals.pictures, PatchConfig(1, 0))


def test_a_stopped_training_goes_on_with_the_refiner_and_its_moments(setting: Setting) -> None:
    ends = []
    for stop in (None, 5, 12):
        refiner = RefinerTrainer(SMALL, FilterBank())
        trainer = setting.trainer(PatchConfig(10, 6, patch_px=32, lip_patch_px=16), refiner)

        def interrupt(stage: str, step: int, n: int, report: object, stop: int | None = stop) -> None:
            if stop is not None and (step if stage == PATCHES else 10 + step) == stop:
                raise KeyboardInterrupt

        if stop is None:
            trainer.run(interrupt)
        else:
            with pytest.raises(KeyboardInterrupt):
                trainer.run(interrupt)
            refiner = RefinerTrainer(SMALL, FilterBank())
            trainer = setting.trainer(PatchConfig(10, 6, patch_px=32, lip_patch_px=16), refiner)
            trainer.load_checkpoint()
            trainer.run(lambda *_: None)
        ends.append({**weights(trainer), **{name: tensor.numpy() for name, tensor in refiner.tensors().items()}})
        setting.checkpoint.unlink()
    for other in ends[1:]:
        assert changed(ends[0], other) == set()


def test_the_paper_preset_has_the_papers_numbers() -> None:
    steps, learning = OptimisationSteps.of_preset(preset_named("paper"), 200), Learning.as_in_the_paper()
    assert (steps.patches, steps.lips, steps.head) == (300 * 200, 100 * 200, 0)
    assert (learning.patch_px, learning.lip_patch_px, learning.network_rate, learning.on_patches) == (256, 64, 5e-4, True)
    refiner = learning.refiner
    assert refiner is not None
    assert (refiner.learning_rate, refiner.refine_weight) == (2e-4, 0.8)
    assert 0.9e6 < refiner.refiner.n_bytes <= 1 << 20
    assert refiner.weights == LossWeights(1.0, 0.001, 10.0, 0.01, 0.1)
    with pytest.raises(BadInput, match="--preset turbo"):
        preset_named("turbo")
