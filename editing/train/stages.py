"""One optimisation step of each stage: head, lips, torso (RAD-NeRF, section 3.4 and 4.1)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from editing.train.batches import PixelBatch, head_batch, lip_batch, patch_side
from editing.train.clip import view_harmonics
from editing.train.losses import colour_loss, dynamic_loss, entropy_loss, structural_loss
from editing.train.pose_refinement import follow_pose

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from editing.lpips import Lpips
    from editing.train.clip import TrainingClip
    from editing.train.config import TrainConfig
    from editing.train.engine import Engine
    from editing.train.occupancy import MaximumOccupancy
    from editing.train.pose_refinement import PoseRefinement
    from renderer.field.rays import PackedSamples
    from renderer.field.torch_field import HeadSamples, TorchField

OCCUPANCY_HULL_EVERY = 16
"""Every so many steps the whole hull is marched, so that a pruned cell can come back."""
PRUNE_EVERY = 25
BOUNDS_FRAMES = 200
"""Looked at to find where the torso can be."""


class StepReport(NamedTuple):
    """What a step says of itself."""

    loss: Float[Tensor, ""]
    psnr_db: float
    n_samples: int
    n_rays: int


class ShownPixels(NamedTuple):
    """What the head shows of the n pixels of a batch."""

    predicted: Float[Tensor, "n 3"]
    opacity: Float[Tensor, " n"]
    weights: Float[Tensor, " n_samples"]
    ambient: Float[Tensor, "n_samples 2"]
    samples: PackedSamples

    @property
    def n_samples(self) -> int:
        return len(self.samples.positions)

    @property
    def n_rays(self) -> int:
        return len(self.opacity)


class HeadStage:
    """Random pixels of whole heads, or lip patches when `lips` is set."""

    def __init__(
        self,
        field: TorchField,
        clip: TrainingClip,
        occupancy: MaximumOccupancy,
        config: TrainConfig,
        rng: np.random.Generator,
        engine: Engine,
        lpips: Lpips | None = None,
    ) -> None:
        """`lpips` is the structural loss of the lip patches, as in the paper; without it, `structural_loss` is."""
        self.field, self.clip, self.occupancy, self.config, self.rng = field, clip, occupancy, config, rng
        self._engine, self._lpips = engine, lpips
        camera = clip.dataset.meta.camera
        self._intrinsics = (camera.fx, camera.fy, camera.cx, camera.cy)
        # Once the grid is tight, training spends the same few samples a ray that rendering will.
        self._coarse_march = dataclasses.replace(field.config, max_samples=config.training_samples_per_ray)
        self.samples_per_ray = 40.0
        """Running mean, which sets how many rays a step takes."""
        self._head = engine.head(field)

    def step(self, index: int, lips: bool = False, refinement: PoseRefinement | None = None) -> StepReport:
        """Forward and backward; gradients are left on the field's parameters, and on the updates of a `refinement` of the poses."""
        config = self.config
        wanted = min(config.max_rays_per_step, int(config.samples_per_step / self.samples_per_ray))
        batch = lip_batch(self.clip, config, self.rng) if lips else head_batch(self.clip, config, wanted, self.rng)
        batch = batch.to(self._engine.device)
        poses = refinement.poses(batch.frames) if refinement else torch.from_numpy(self.clip.poses[batch.frames]).float()
        whole_hull = not lips and index % OCCUPANCY_HULL_EVERY == 0
        shown = self.show(batch, poses, whole_hull, coarse=whole_hull or (index < config.coarse_steps and not lips))
        error = colour_loss(shown.predicted, batch.target)
        loss = error + self.regularisers(batch, shown)
        if refinement:
            loss = loss + refinement.prior(batch.frames).to(self._engine.device)
        if lips:
            side = patch_side(self.clip, config)
            shape = (len(batch.frames), side, side, 3)
            patches = shown.predicted.reshape(shape), batch.target.reshape(shape)
            structure = structural_loss(*patches) if self._lpips is None else self._lpips.distances(*patches).mean()
            loss = loss + config.structure_weight * structure
        loss.backward()
        self.record(shown)
        if not whole_hull and not lips:
            self.samples_per_ray = 0.9 * self.samples_per_ray + 0.1 * max(1.0, shown.n_samples / shown.n_rays)
        if index >= config.prune_after and index % PRUNE_EVERY == 0 and not lips:
            self.occupancy.prune()
        return StepReport(loss.detach(), -10.0 * float(torch.log10(error.detach() + 1e-12)), shown.n_samples, shown.n_rays)

    def show(
        self, batch: PixelBatch, poses: Float[Tensor, "n_frames 4 4"], whole_hull: bool = False, coarse: bool = False, jitter: bool = True
    ) -> ShownPixels:
        """What the head shows of a batch's pixels, over what lies behind, with its graph.

        `whole_hull` marches the hull in place of the grid, `coarse` as many samples a ray as the beginning of the stage may take; without
        `jitter` rays are sampled as in rendering.
        """
        engine, field = self._engine, self.field
        poses = poses.to(engine.device)
        rays_o, rays_d = self._rays(batch, poses.detach())
        shifts = self.rng.random(len(rays_o), dtype=np.float32) - 0.5 if jitter else np.zeros(len(rays_o), np.float32)
        samples = engine.march(
            rays_o,
            rays_d,
            self.occupancy.hull if whole_hull else self.occupancy.grid,
            self._coarse_march if coarse else field.config,
            torch.from_numpy(shifts).to(engine.device),
        )
        out = self._evaluate(batch, samples, poses)
        colours, opacity, weights = engine.composite(out.sigmas, out.rgbs, samples, field.config.step_size)
        return ShownPixels(colours + (1.0 - opacity)[:, None] * batch.behind, opacity, weights, out.ambient, samples)

    def regularisers(self, batch: PixelBatch, shown: ShownPixels) -> Float[Tensor, ""]:
        """Of opacity, floaters, the audio coordinate outside the face, and the appearance embeddings."""
        config, field = self.config, self.field
        loss = config.entropy_weight * entropy_loss(shown.opacity)
        loss = loss + config.distortion_weight * self._engine.distortion(shown.weights, shown.samples, field.config.step_size).mean()
        outside = batch.outside_face[shown.samples.ray_indices.long()]
        loss = loss + config.dynamic_weight * dynamic_loss(shown.ambient, shown.weights.detach(), outside, shown.n_rays)
        appearance = field["head.appearance"][torch.from_numpy(batch.frames).to(self._engine.device)]
        return loss + config.appearance_decay * (appearance**2).mean()

    def record(self, shown: ShownPixels) -> None:
        """Let the occupancy grid know what these rays saw."""
        self.occupancy.record(shown.samples.positions, shown.weights.detach(), self.field.config)

    def _rays(self, batch: PixelBatch, poses: Float[Tensor, "n_frames 4 4"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        fx, fy, cx, cy = self._intrinsics
        x, y = (batch.pixels[..., 0] - cx) / fx, (batch.pixels[..., 1] - cy) / fy
        directions = torch.stack([x, y, torch.ones_like(x)], -1) @ poses[:, :3, :3]
        directions = directions / directions.norm(dim=-1, keepdim=True)
        origins = -(poses[:, :3, :3].transpose(1, 2) @ poses[:, :3, 3:])[..., 0]
        return origins[:, None].expand_as(directions).reshape(-1, 3).contiguous(), directions.reshape(-1, 3).contiguous()

    def _evaluate(self, batch: PixelBatch, samples: PackedSamples, poses: Float[Tensor, "n_frames 4 4"]) -> HeadSamples:
        field, clip, device, refined = self.field, self.clip, self._engine.device, poses.requires_grad
        harmonics = view_harmonics(poses.detach().cpu().numpy(), field.config) if refined else clip.harmonics[batch.frames]
        biases = field.head_biases(
            field.audio_codes(torch.from_numpy(clip.windows[batch.frames]).to(device)),
            torch.from_numpy(clip.eye_ratio[batch.frames]).to(device),
            torch.from_numpy(harmonics).to(device),
            field["head.appearance"][torch.from_numpy(batch.frames).to(device)],
            None if clip.emotions is None else torch.from_numpy(clip.emotions[batch.frames]).to(device),
        )
        rays_per_frame = batch.pixels.shape[1]
        ends = [*samples.starts[rays_per_frame::rays_per_frame].cpu().tolist(), len(samples.positions)]
        positions = follow_pose(samples.positions, ends, poses) if refined else samples.positions
        return self._head(positions, ends, biases)


class TorsoStage:
    """Random pixels of the picture without its head."""

    def __init__(self, field: TorchField, clip: TrainingClip, config: TrainConfig, rng: np.random.Generator) -> None:
        self.field, self.clip, self.config, self.rng = field, clip, config, rng
        self.background = clip.dataset.background.reshape(-1, 3)
        self.bounds = torso_bounds(clip)

    def step(self, index: int) -> StepReport:
        clip, config, field, rng, device = self.clip, self.config, self.field, self.rng, self.field.device
        frames = clip.draw(config.frames_per_step, rng)
        candidates = np.flatnonzero(self.bounds.reshape(-1))
        total, error, n = torch.zeros((), device=device), 0.0, config.torso_pixels_per_step // len(frames)
        for frame in frames:
            pixels = candidates[rng.integers(0, len(candidates), n)]
            picture, torso = clip.torso_target(int(frame))
            target = (picture.reshape(-1, 3)[pixels] / np.float32(255)).astype(np.float32)
            behind = (self.background[pixels] / np.float32(255)).astype(np.float32)
            # On the torso the background is random, so only an opaque torso can match; off it both are the same random colour.
            noise = rng.random(target.shape, dtype=np.float32)
            on = torso.reshape(-1)[pixels]
            behind, target[~on] = noise, noise[~on]
            x_t = torch.from_numpy(
                np.stack([(pixels % clip.width + 0.5) / clip.width, (pixels // clip.width + 0.5) / clip.height], 1).astype(np.float32)
            )
            pose = torch.from_numpy(clip.pose_codes[frame]).to(device)
            rgb, alpha, shift = field.torso(x_t.to(device), pose, field["torso.appearance"][int(frame)])
            predicted = rgb * alpha[:, None] + (1.0 - alpha[:, None]) * torch.from_numpy(behind).to(device)
            part = colour_loss(predicted, torch.from_numpy(target).to(device))
            error += float(part.detach()) / len(frames)
            regular = config.entropy_weight * entropy_loss(alpha) + 1e-3 * (shift**2).mean()
            total = total + (part + regular) / len(frames)
        total = total + config.appearance_decay * (field["torso.appearance"][torch.from_numpy(frames).to(device)] ** 2).mean()
        total.backward()
        return StepReport(total.detach(), -10.0 * float(np.log10(error + 1e-12)), n * len(frames), n * len(frames))


def torso_bounds(clip: TrainingClip) -> np.ndarray:
    """Pixels where any of a few hundred frames shows torso, grown a little: bool [height, width]."""
    from scipy import ndimage

    seen = np.zeros((clip.height, clip.width), bool)
    for frame in clip.spread(BOUNDS_FRAMES):
        seen |= clip.torso_target(int(frame))[1]
    return np.asarray(ndimage.binary_dilation(seen, iterations=max(2, clip.height // 64)), dtype=bool)


def torso_cells(bounds: np.ndarray, resolution: int) -> np.ndarray:
    """The same as a coarse grid: a cell is set if any of its pixels is."""
    height, width = bounds.shape
    cells = np.zeros((resolution, resolution), bool)
    y, x = np.nonzero(bounds)
    cells[y * resolution // height, x * resolution // width] = True
    return cells
