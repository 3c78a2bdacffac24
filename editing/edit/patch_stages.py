"""The stages in which the field is seen as whole patches, and the refinement network learns (Instruct-NeuralTalker, equations 4 to 10).

patches       patches from anywhere in the picture, all losses but the lip-edge loss (equation 9)
lip patches   patches around the lips, the lip-edge loss too (equation 10)

A patch shows the head, rendered along its rays, over what the field's own torso stage made of torso and background; the torso is not
learned here. In lip patches the field always learns. In the others it learns where `on_patches` is set, as in the paper; otherwise it is
held, having learned from random rays, which give eight frames a step where a patch gives one, and only the refiner learns: equation 4
with the gradient of L_high stopped before the field.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import torch

from editing.edit.refiner_losses import LossWeights, lip_edge_loss, reconstruction_loss
from editing.edit.refiner_training import Lips, patch_corner
from editing.train.batches import PixelBatch
from editing.train.clip import FACE, LIP_LABELS
from editing.train.losses import rate_at
from editing.train.stages import StepReport, torso_bounds
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Bool, Float, Int, UInt8
    from torch import Tensor

    from editing.edit.refiner_training import RefinerTrainer
    from editing.train.clip import TrainingClip
    from editing.train.trainer import Trainer

PATCHES, LIP_PATCHES = "patches", "lip patches"
HELD_FRAMES = 64
"""Of a field that is held as many frames, spread over the clip, are rendered for the refiner, each once: it learns texture, which the
others share, and rendering them would take longer than learning from them."""
FINAL_RATE = 0.1
"""The field's rates decay to this share, as in its other stages, and stay there on lip patches."""


@dataclasses.dataclass(frozen=True)
class PatchConfig:
    """What the patch stages of one round do. Sizes and weights are the paper's."""

    steps: int
    """On patches from anywhere."""
    lip_steps: int
    patch_px: int = 256
    """Edge of a patch; a smaller picture is taken whole."""
    lip_patch_px: int = 64
    on_patches: bool = False
    """Whether the field learns from patches of the whole picture, and from nothing but lip patches in the end. Otherwise every other of
    `lip_steps` is one of random rays for the field, and of a patch from anywhere for the refiner: lip patches alone would let the rest of
    the head drift, and the colours of what the refiner no longer sees."""
    weights: LossWeights = dataclasses.field(default_factory=LossWeights)
    """Where there is no refiner; with one, its own are used."""


class PatchStages:
    """See the module; `editing.train.trainer.FurtherStages`."""

    def __init__(
        self, clip: TrainingClip, originals: UInt8[np.ndarray, "n h w 3"], config: PatchConfig, refiner: RefinerTrainer | None = None
    ) -> None:
        """`clip` holds the edited frames, `originals` are the same frames before any edit.

        Without a refiner only L_low is left of the losses, and patches that the field does not learn from are left out. Raises BadInput
        where lip patches are asked for and no frame has lips.
        """
        self._clip, self._originals, self._config, self._refiner = clip, originals, config, refiner
        learned = refiner is not None or config.on_patches
        self.steps: Mapping[str, int] = {PATCHES: config.steps if learned else 0, LIP_PATCHES: config.lip_steps}
        self._lips: dict[int, Bool[np.ndarray, "h w"]] = {int(k): clip.mask(int(k), LIP_LABELS) for k in clip.frames}
        self._held_frames = clip.spread(HELD_FRAMES)
        self._with_lips = np.array([k for k, mask in self._lips.items() if mask.any()], np.int64)
        if config.lip_steps and not len(self._with_lips):
            raise BadInput("no frame shows lips, which the fine-tune on lip patches needs; --lips-steps 0 leaves it out")
        self._behind: dict[int, UInt8[np.ndarray, "n_pixels 3"]] = {}
        self._held: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
        self._torso_bounds: Bool[np.ndarray, "h w"] | None = None

    def step(self, trainer: Trainer, stage: str, index: int) -> StepReport:
        if stage == LIP_PATCHES and not self._config.on_patches and index % 2:
            if self._refiner is not None:
                self._held_step(trainer, moving=True)
            return trainer.head.step(index)
        if stage == LIP_PATCHES:
            return self._lip_step(trainer)
        return self._learned_step(trainer) if self._config.on_patches else self._held_step(trainer, moving=False)

    def rate(self, stage: str, index: int) -> float | None:
        if stage == LIP_PATCHES:
            return FINAL_RATE
        return rate_at(index, self.steps[PATCHES], 1.0, FINAL_RATE) if self._config.on_patches else None

    def state(self) -> dict[str, Tensor]:
        return {} if self._refiner is None else self._refiner.tensors()

    def load_state(self, state: dict[str, Tensor]) -> None:
        if self._refiner is not None:
            self._refiner.load_tensors(state)

    def identity(self) -> str:
        refiner = None if self._refiner is None else dataclasses.asdict(self._refiner.config)
        return json.dumps([dataclasses.asdict(self._config), refiner], sort_keys=True)

    # --- steps -----------------------------------------------------------------------------------------------------------

    def _held_step(self, trainer: Trainer, moving: bool) -> StepReport:
        """The refiner alone, on what the field shows of one frame.

        Each frame is rendered once and kept, unless the field is `moving` between these steps: what is kept would then depend on when it
        was rendered, and a training that was stopped would go on with other pictures.
        """
        assert self._refiner is not None
        frame, rows, columns = self._place(trainer.rng, self._config.patch_px, self._held_frames)
        picture = self._shown(trainer, frame, rows, columns) if moving else self._kept(trainer, frame)[rows, columns]
        device = trainer.engine.device
        rendered = torch.from_numpy(picture[None]).to(device).float() / 255.0
        edited = torch.from_numpy(np.asarray(self._clip.dataset.frames[frame])[None, rows, columns]).to(device).float() / 255.0
        found = self._refiner.losses(rendered, edited)
        found.total.backward()
        self._refiner.update(found, edited)
        return _report(found.total, found.terms["reconstruction"], rendered[..., 0].numel(), rendered[..., 0].numel())

    def _kept(self, trainer: Trainer, frame: int) -> UInt8[np.ndarray, "h w 3"]:
        picture = self._held.get(frame)
        if picture is None:
            picture = self._shown(trainer, frame, slice(0, self._clip.height), slice(0, self._clip.width))
            self._held[frame] = picture
        return picture

    @torch.no_grad()
    def _shown(self, trainer: Trainer, frame: int, rows: slice, columns: slice) -> UInt8[np.ndarray, "rows columns 3"]:
        """What the field shows there now."""
        shown = trainer.head.show(self._batch(trainer, frame, rows, columns), self._pose(frame), jitter=False)
        patch = shown.predicted.reshape(rows.stop - rows.start, columns.stop - columns.start, 3)
        return (255.0 * patch + 0.5).clamp(0.0, 255.0).byte().cpu().numpy()

    def _learned_step(self, trainer: Trainer) -> StepReport:
        frame, rows, columns = self._place(trainer.rng, self._config.patch_px, self._clip.frames)
        return self._joint_step(trainer, frame, rows, columns, None)

    def _lip_step(self, trainer: Trainer) -> StepReport:
        frame, rows, columns = self._place(trainer.rng, self._config.lip_patch_px, self._with_lips, on_lips=True)
        device = trainer.engine.device
        original = torch.from_numpy(np.asarray(self._originals[frame])[None, rows, columns]).to(device).float() / 255.0
        mask = torch.from_numpy(self._lips[frame][None, rows, columns]).to(device).float()
        return self._joint_step(trainer, frame, rows, columns, Lips(original, mask))

    def _joint_step(self, trainer: Trainer, frame: int, rows: slice, columns: slice, lips: Lips | None) -> StepReport:
        """Field and refiner together (equation 4); gradients are left on the field."""
        batch = self._batch(trainer, frame, rows, columns)
        shown = trainer.head.show(batch, self._pose(frame))
        shape = (1, rows.stop - rows.start, columns.stop - columns.start, 3)
        rendered, edited = shown.predicted.reshape(shape), batch.target.reshape(shape)
        regular = trainer.head.regularisers(batch, shown)
        if self._refiner is None:
            weights = self._config.weights
            error = reconstruction_loss(rendered, edited)
            total = weights.reconstruction * error + regular
            if lips is not None:
                total = total + weights.lip_edge * lip_edge_loss(rendered, lips.original, lips.mask)
            total.backward()
        else:
            found = self._refiner.losses(rendered, edited, lips)
            error, total = found.terms["reconstruction"], found.total + regular
            total.backward()
            self._refiner.update(found, edited)
        trainer.head.record(shown)
        return _report(total, error, shown.n_samples, shown.n_rays)

    # --- patches ---------------------------------------------------------------------------------------------------------

    def _place(self, rng: np.random.Generator, edge: int, frames: Int[np.ndarray, " n"], on_lips: bool = False) -> tuple[int, slice, slice]:
        """One of `frames`, and rows and columns of a patch in it: around the lips, or anywhere."""
        frame = int(rng.choice(frames))
        height, width = (min(edge, size // 2 * 2) for size in (self._clip.height, self._clip.width))
        row, column = patch_corner(self._lips[frame], height, width, rng, on_lips)
        return frame, slice(row, row + height), slice(column, column + width)

    def _pose(self, frame: int) -> Float[Tensor, "1 4 4"]:
        return torch.from_numpy(self._clip.poses[frame : frame + 1]).float()

    def _batch(self, trainer: Trainer, frame: int, rows: slice, columns: slice) -> PixelBatch:
        width = self._clip.width
        pixels = (np.arange(rows.start, rows.stop)[:, None] * width + np.arange(columns.start, columns.stop)).reshape(-1)
        xy = np.stack([pixels % width, pixels // width], -1).astype(np.float32) + 0.5
        target = self._clip.picture(frame)[pixels] / np.float32(255)
        behind = self._behind_head(trainer, frame)[pixels] / np.float32(255)
        outside_face = (self._clip.regions(frame).bits[pixels] & FACE) == 0
        tensors = (torch.from_numpy(xy)[None], *(torch.from_numpy(part) for part in (target, behind, outside_face)))
        return PixelBatch(np.array([frame]), *tensors).to(trainer.engine.device)

    @torch.no_grad()
    def _behind_head(self, trainer: Trainer, frame: int) -> UInt8[np.ndarray, "n_pixels 3"]:
        """Torso over background as the field has them after its torso stage."""
        found = self._behind.get(frame)
        if found is None:
            clip, field = self._clip, trainer.field
            if self._torso_bounds is None:
                self._torso_bounds = torso_bounds(clip)
            pixels = np.flatnonzero(self._torso_bounds.reshape(-1))
            x_t = np.stack([(pixels % clip.width + 0.5) / clip.width, (pixels // clip.width + 0.5) / clip.height], 1).astype(np.float32)
            pose = torch.from_numpy(clip.pose_codes[frame]).to(field.device)
            rgb, alpha, _ = field.torso(torch.from_numpy(x_t).to(field.device), pose, field["torso.appearance"][frame])
            rgb, alpha = rgb.float().cpu(), alpha.float().cpu()[:, None]
            found = np.array(clip.dataset.background.reshape(-1, 3))
            over = alpha * rgb + (1.0 - alpha) * torch.from_numpy(found[pixels] / np.float32(255))
            found[pixels] = (255.0 * over + 0.5).byte().numpy()
            self._behind[frame] = found
        return found


def _report(total: Tensor, error: Tensor, n_samples: int, n_rays: int) -> StepReport:
    return StepReport(total.detach(), -10.0 * float(torch.log10(error.detach() + 1e-12)), n_samples, n_rays)
