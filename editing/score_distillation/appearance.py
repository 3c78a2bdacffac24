"""The avatar's appearance as something that pictures can be pulled out of and gradients pushed into (AvatarStudio, section 3.3).

Learned are the head's colour and density layers and their spatial grid, and the torso's colours. What moves the lips stays as it is: the
audio networks, the audio coordinate, its grid and the weights that read it, the eye feature, the torso's deformation; so do all
conditions of a frame. With the geometry held, only layers behind the density are learned: colours then come from what the field knows of a
place already.

A picture is the head, rendered along one ray a pixel, over the torso over the background. The raster's centres may be shifted by a part
of a pixel, so that a coarse raster meets the whole field in the course of many steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from editing.edit.optimise import one_appearance
from editing.train.config import ADAM_BETAS, ADAM_EPSILON
from editing.train.losses import entropy_loss
from editing.train.tight_occupancy import LEAST_WEIGHT, cell_indices
from renderer.field.frame_codes import pose_code, spherical_harmonics, view_direction
from renderer.field.rays import camera_rays, pixel_grid
from renderer.images import resize_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float
    from torch import Tensor

    from editing.score_distillation.config import AppearanceConfig
    from editing.score_distillation.keyframes import Keyframe
    from editing.train.engine import Engine
    from renderer.avatar import Avatar
    from renderer.field.config import GridLevel
    from renderer.field.rays import PackedSamples
    from renderer.types import FrameCondition

HEAD = (
    *("head.spatial_grid", "head.density0.weight", "head.density0.bias", "head.density1.weight", "head.density2.weight"),
    *("head.colour0.weight", "head.colour0.bias", "head.colour1.weight"),
)
TORSO = ("torso.grid", "torso.colour0.weight", "torso.colour0.bias", "torso.colour1.weight", "torso.colour2.weight")
BEHIND_DENSITY = ("head.density2.weight", "head.colour0.weight", "head.colour0.bias", "head.colour1.weight")
BEHIND_ALPHA = ("torso.colour2.weight",)
"""The same for the torso, whose last layer gives colour and alpha."""
SHAPE_ROW = {"head.density2.weight": 0, "torso.colour2.weight": 3}
"""The row that makes the density, or the torso's alpha."""
AVERAGE_DECAY = 0.99
"""Of the moving average of the weights, as in `editing.train`: score distillation is noisy."""


class Shown(NamedTuple):
    """A rendered keyframe, with its graph."""

    picture: Float[Tensor, "1 3 height width"]
    """0...1."""
    opacity: Float[Tensor, " height*width"]
    """Of the head, omega of equation 9."""


class Appearance:
    """See the module. Every piece of state that a resumed optimisation needs is in `state`."""

    def __init__(
        self,
        avatar: Avatar,
        keyframes: Sequence[Keyframe],
        config: AppearanceConfig,
        height_px: int,
        engine: Engine,
        seen_px: int | None = None,
    ) -> None:
        """Begins as `avatar`, with its mean appearance embedding; keyframes are rendered `height_px` high, and `seen_px` is what becomes of
        it before anybody looks (None: the same)."""
        self._avatar, self._config, self._engine = one_appearance(avatar, 1), config, engine
        self._camera = avatar.camera.resized(round(height_px * avatar.camera.width / avatar.camera.height), height_px)
        self.field = engine.field(self._avatar.field_config)
        self.field.load_arrays(self._avatar.tensors)
        self.learned = (*(HEAD if config.geometry else BEHIND_DENSITY), *_torso_names(config))
        for name, parameter in ((name, self.field[name]) for name in self._avatar.tensors):
            parameter.requires_grad_(name in self.learned)
        self.average = {name: self.field[name].detach().clone() for name in self.learned}
        networks = [self.field[name] for name in self.learned if not name.endswith("grid")]
        self._optimiser = torch.optim.Adam(networks, lr=config.network_rate, betas=ADAM_BETAS, eps=ADAM_EPSILON)
        self._tables = {name: engine.grid_table(self.field[name]) for name in self.learned if name.endswith("grid")}
        self._held_from = {
            f"{part}.{grid}": _first_row_finer(levels, config.finest_cells or seen_px or height_px)
            for part, grid, levels in (
                ("head", "spatial_grid", self.field.config.spatial_grid.levels()),
                ("torso", "grid", self.field.config.torso.grid.levels()),
            )
        }
        """Rows of the grids from which on they are held."""
        self._head = engine.head(self.field)
        self._audio_columns = self.field.config.spatial_grid.n_outputs
        """Of the density's first layer: from this column on it reads the audio grid, which stays as it is."""
        grown = avatar.occupancy
        if config.geometry and config.growth_cells:
            grown = ndimage.binary_dilation(grown, iterations=config.growth_cells)
        self._occupancy = torch.from_numpy(np.ascontiguousarray(grown)).to(engine.device)
        self._frames = [_Frame(self, keyframe.condition) for keyframe in keyframes]
        self.n_done = 0

    @property
    def n_keyframes(self) -> int:
        return len(self._frames)

    def show(self, keyframe: int, shift: tuple[float, float] = (0.0, 0.0)) -> Shown:
        """A keyframe as it is now; `shift` (x, y) moves the raster by as many pixels."""
        return self._show(self._frames[keyframe], shift)[0]

    def picture(self, condition: FrameCondition) -> Float[np.ndarray, "height width 3"]:
        """Any frame as it is now, 0...1."""
        with torch.no_grad():
            shown = self._show(_Frame(self, condition), (0.0, 0.0))[0]
        return np.asarray(shown.picture[0].permute(1, 2, 0).cpu().numpy())

    def step(self, loss: Float[Tensor, ""]) -> None:
        """Move the learned tensors down the gradient of `loss`, once."""
        loss.backward()
        reads = self.field["head.density0.weight"].grad
        if reads is not None:
            reads[:, self._audio_columns :] = 0.0
        for name in self._tables:
            gradient = self.field[name].grad
            if gradient is not None:
                gradient[self._held_from[name] :] = 0.0
        if not self._config.geometry:
            for name, row in SHAPE_ROW.items():
                gradient = self.field[name].grad
                if gradient is not None:
                    gradient[row] = 0.0
        left = self._config.last_rate ** (self.n_done / max(1, self._config.steps - 1))
        for group in self._optimiser.param_groups:
            group["lr"] = left * self._config.network_rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        for table in self._tables.values():
            table.adam_step(left * self._config.grid_rate, ADAM_BETAS, ADAM_EPSILON)
        self.n_done += 1
        # A short run's average must not remember its start.
        decay = min(AVERAGE_DECAY, (1.0 + self.n_done) / (10.0 + self.n_done))
        with torch.no_grad():
            for name, mean in self.average.items():
                mean.lerp_(self.field[name], 1.0 - decay)

    def entropy(self, shown: Shown) -> Float[Tensor, ""]:
        """Equation 9, weighed. Printed with another sign before its second term; an entropy is meant."""
        return self._config.entropy_weight * entropy_loss(shown.opacity)

    def avatar(self, conditions: Sequence[FrameCondition]) -> Avatar:
        """The avatar with its averaged weights; of the cells that it may have grown into, those that show in one of `conditions`."""
        with torch.no_grad():
            current = {name: self.field[name].detach().clone() for name in self.learned}
            for name, mean in self.average.items():
                self.field[name].copy_(mean)
            occupancy = self._needed(conditions)
            tensors = self.field.arrays()
            for name, tensor in current.items():
                self.field[name].copy_(tensor)
        return self._avatar.replace(tensors={**self._avatar.tensors, **tensors}, occupancy=occupancy, refiner=None, poster=None)

    def state(self) -> dict[str, Tensor]:
        """Tensors by name, for a safetensors file."""
        tensors: dict[str, Tensor] = {"step": torch.tensor(self.n_done)}
        for name in self.learned:
            tensors[f"field/{name}"], tensors[f"average/{name}"] = self.field[name].detach(), self.average[name]
        for i, parameter in enumerate(self._optimiser.param_groups[0]["params"]):
            for key, value in self._optimiser.state.get(parameter, {}).items():
                tensors[f"adam/{i}/{key}"] = value
        for name, table in self._tables.items():
            tensors[f"table/{name}/first"], tensors[f"table/{name}/second"] = table.first_moment, table.second_moment
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.n_done = int(tensors["step"])
        with torch.no_grad():
            for name in self.learned:
                self.field[name].copy_(tensors[f"field/{name}"])
                self.average[name].copy_(tensors[f"average/{name}"])
        for i, parameter in enumerate(self._optimiser.param_groups[0]["params"]):
            prefix = f"adam/{i}/"
            saved = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            if saved:
                self._optimiser.state[parameter] = {n: t if n == "step" else t.to(parameter.device) for n, t in saved.items()}
        for name, table in self._tables.items():
            first, second = tensors[f"table/{name}/first"], tensors[f"table/{name}/second"]
            table.load_state_dict({"first": first, "second": second, "n_steps": self.n_done, "average": None})

    # --- rendering -------------------------------------------------------------------------------------------------------

    def _show(self, frame: _Frame, shift: tuple[float, float]) -> tuple[Shown, PackedSamples, Float[Tensor, " n"]]:
        engine, field, camera = self._engine, self.field, self._camera
        pixels = pixel_grid(camera.width, camera.height, engine.device) + torch.tensor(shift, device=engine.device)
        behind = frame.background
        if frame.torso_pixels.any():
            x_t = pixels[frame.torso_pixels] / torch.tensor([float(camera.width), float(camera.height)], device=engine.device)
            rgb, alpha, _ = field.torso(x_t, frame.pose, field["torso.appearance"][0])
            over = alpha[:, None] * rgb + (1.0 - alpha[:, None]) * behind[frame.torso_pixels]
            behind = behind.masked_scatter(frame.torso_pixels[:, None], over)
        rays_o, rays_d = camera_rays(camera, frame.camera_from_head, pixels)
        still = torch.zeros(len(rays_o), device=engine.device)
        samples = engine.march(rays_o.contiguous(), rays_d.contiguous(), self._occupancy, field.config, still)
        biases = field.head_biases(frame.audio_code, frame.eye_ratio, frame.harmonics, field["head.appearance"], frame.emotion)
        out = self._head(samples.positions, [len(samples.positions)], biases)
        colours, opacity, weights = engine.composite(out.sigmas, out.rgbs, samples, field.config.step_size)
        picture = (colours + (1.0 - opacity)[:, None] * behind).reshape(1, camera.height, camera.width, 3).permute(0, 3, 1, 2)
        return Shown(picture, opacity), samples, weights

    def _needed(self, conditions: Sequence[FrameCondition]) -> Bool[np.ndarray, "z y x"]:
        before = torch.from_numpy(self._avatar.occupancy).to(self._engine.device)
        if bool((self._occupancy == before).all()):
            return self._avatar.occupancy
        most = torch.zeros(before.numel(), device=self._engine.device)
        for frame in (*self._frames, *(_Frame(self, condition) for condition in conditions)):
            _, samples, weights = self._show(frame, (0.0, 0.0))
            most.scatter_reduce_(0, cell_indices(samples.positions, self.field.config), weights, "amax")
        return np.asarray((before | (most.reshape(before.shape) > LEAST_WEIGHT)).cpu().numpy())


class _Frame:
    """What of a keyframe does not change while the appearance is learned."""

    def __init__(self, appearance: Appearance, condition: FrameCondition) -> None:
        field, avatar, camera = appearance.field, appearance._avatar, appearance._camera
        device = field.device
        self.camera_from_head = condition.camera_from_head
        with torch.no_grad():
            self.audio_code = field.audio_codes(torch.from_numpy(condition.audio_window)[None].float().to(device))
        self.eye_ratio = torch.tensor([condition.eye_ratio], dtype=torch.float32, device=device)
        self.emotion = None if condition.emotion is None else torch.from_numpy(condition.emotion)[None].float().to(device)
        direction = view_direction(condition.camera_from_head, avatar.field_config.head_centre)
        self.harmonics = torch.from_numpy(spherical_harmonics(direction))[None].to(device)
        self.pose = torch.from_numpy(pose_code(condition.camera_from_head, avatar.field_config)).to(device)
        background = avatar.background if condition.background is None else condition.background
        self.background = torch.from_numpy(resize_picture(background, camera.width, camera.height).reshape(-1, 3)).to(device)
        self.torso_pixels = torch.from_numpy(_torso_pixels(avatar.torso_mask, camera.width, camera.height)).to(device)


def _torso_names(config: AppearanceConfig) -> tuple[str, ...]:
    if not config.torso:
        return ()
    return TORSO if config.geometry else BEHIND_ALPHA


def _torso_pixels(mask: Bool[np.ndarray, "64 64"], width: int, height: int) -> Bool[np.ndarray, " height*width"]:
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    return np.ascontiguousarray(mask[rows][:, columns].reshape(-1))


def _first_row_finer(levels: Sequence[GridLevel], cells: int) -> int:
    """The first row of a grid's levels that have more than `cells` cells a side; the first level is never held."""
    return next((level.offset for level in levels[1:] if level.scale > cells * (1.0 + 1e-6)), levels[-1].offset + levels[-1].n_rows)
