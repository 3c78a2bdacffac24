"""The fused native renderer as a backend: real time on a CPU, without torch.

The kernels are in renderer/native/; what they take is described in renderer/native/field_abi.h. Here the avatar is checked against what
they can do, and a condition becomes a camera and the biases of `renderer.field.frame_codes`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BackendUnavailable, BadInput
from renderer.field.frame_codes import frame_codes
from renderer.images import resize_picture
from renderer.native_library import (
    MATRICES,
    FieldStructure,
    FrameStructure,
    GridStructure,
    RegionStructure,
    available_isas,
    load_library,
    rgb_to_i420,
)
from renderer.refiner.native_refiner import NativeRefiner
from renderer.refiner.window import refine_window
from renderer.types import WHOLE_PICTURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8

    from renderer.avatar import Avatar
    from renderer.backends.base import RenderOptions
    from renderer.field.config import FieldConfig, GridConfig, RegionConfig
    from renderer.types import FrameCondition, PictureWindow

__all__ = ["CpuBackend", "available_isas", "rgb_to_i420"]

MAX_HIDDEN, MAX_TORSO_COLOUR, MAX_TORSO_OCTAVES = 64, 32, 7
MAX_WIDTH_PX = 4096
AUTO_REFINE_SCOPE = "mouth"
"""Of the picture, what one core can refine within a live frame."""
REFINER_STAGE = "refiner"
ERROR_SIZE = 512


@dataclass(frozen=True)
class _Backdrop:
    """What was last shown behind the person, beside the avatar's own picture."""

    picture: UInt8[np.ndarray, "h w 3"]
    window: PictureWindow | None
    resized: Float[np.ndarray, "height width 3"]


class CpuBackend:
    """See `renderer.backends.base.Backend`. One handle renders one frame at a time; use one a session or thread."""

    name = "cpu"

    def __init__(self, avatar: Avatar, options: RenderOptions) -> None:
        """Raises BackendUnavailable: no native library, an instruction set that is not here, or a field too large for the kernels;
        BadInput for a picture that is too wide.
        """
        self._library = load_library()
        isas = available_isas()
        if options.isa not in ("auto", *isas):
            raise BackendUnavailable(f"isa {options.isa!r} is not available here; available: auto, {', '.join(isas)}")
        self.isa = isas[0] if options.isa == "auto" else options.isa
        _check_size(avatar.field_config)
        self._avatar = avatar
        width = round(options.size * avatar.camera.width / avatar.camera.height)
        if not 1 <= width <= MAX_WIDTH_PX:
            raise BadInput(f"a picture of {width} x {options.size} pixels: a width of 1 to {MAX_WIDTH_PX} is possible")
        self._camera = avatar.camera.resized(width, options.size)
        self._background = resize_picture(avatar.background, width, options.size)
        self._other_backdrop: _Backdrop | None = None
        self._stages: tuple[str, ...] = tuple(self._library.visavis_field_stages().decode().split())
        self._stage_sums = np.zeros(len(self._stages))
        self._n_timed = 0
        error = ctypes.create_string_buffer(ERROR_SIZE)
        structure, arrays = _field_structure(avatar)
        self._handle: int | None = self._library.visavis_field_create(
            ctypes.byref(structure), self.isa.encode(), options.threads, error, ERROR_SIZE
        )
        del arrays
        if not self._handle:
            raise BackendUnavailable(f"the native renderer cannot start: {error.value.decode(errors='replace')}")
        self._refiner: NativeRefiner | None = None
        if avatar.refiner is not None:
            self._refiner = NativeRefiner(avatar.refiner, self.isa, options.threads)
            self._refine_scope = AUTO_REFINE_SCOPE if options.refine_scope == "auto" else options.refine_scope
            self._unrounded = np.empty((options.size, width, 3), np.float32)
        self._refiner_ms = 0.0

    def render(self, conditions: Sequence[FrameCondition]) -> UInt8[np.ndarray, "n height width 3"]:
        pictures = np.empty((len(conditions), self._camera.height, self._camera.width, 3), np.uint8)
        for picture, condition in zip(pictures, conditions, strict=True):
            self._render(condition, picture, self._unrounded if self._refines(condition) else None)
        return pictures

    def render_float(self, condition: FrameCondition) -> Float[np.ndarray, "height width 3"]:
        picture = np.empty((self._camera.height, self._camera.width, 3), np.float32)
        self._render(condition, None, picture)
        return picture

    def _refines(self, condition: FrameCondition) -> bool:
        return self._refiner is not None and condition.refine_weight != 0.0

    def _render(
        self,
        condition: FrameCondition,
        rgb: UInt8[np.ndarray, "height width 3"] | None,
        rgb_float: Float[np.ndarray, "height width 3"] | None,
    ) -> None:
        if self._handle is None:
            raise ValueError("the backend is closed")
        config, camera = self._avatar.field_config, self._camera.windowed(condition.window)
        shown = condition.window or WHOLE_PICTURE
        codes = frame_codes(config, self._avatar.tensors, condition)
        background = self._backdrop(condition)
        pose = np.ascontiguousarray(condition.camera_from_head, np.float32)
        frame = FrameStructure(
            width=camera.width, height=camera.height, fx=camera.fx, fy=camera.fy, cx=camera.cx, cy=camera.cy,
            rotation=tuple(pose[:3, :3].reshape(-1).tolist()), translation=tuple(pose[:3, 3].tolist()),
            window=(shown.left, shown.top, shown.width, shown.height),
            ambient_bias=codes.ambient_bias.ctypes.data, density_bias=codes.density_bias.ctypes.data,
            eye_bias=codes.eye_bias.ctypes.data, colour_bias=codes.colour_bias.ctypes.data,
            deform_bias=codes.deform_bias.ctypes.data, torso_colour_bias=codes.torso_colour_bias.ctypes.data,
            background=background.ctypes.data,
        )  # fmt: skip
        stage_ms = np.zeros(len(self._stages))
        failed = self._library.visavis_field_render(
            self._handle,
            ctypes.byref(frame),
            None if rgb is None else rgb.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
            None if rgb_float is None else rgb_float.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            stage_ms.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )
        if failed:
            raise MemoryError(f"the native renderer ran out of memory at {camera.width} x {camera.height} pixels")
        if self._refiner is not None and rgb_float is not None and self._refines(condition):
            window = refine_window(self._refine_scope, config, camera, pose)
            if window is not None:
                self._refiner_ms += self._refiner.refine(rgb_float, condition.refine_weight, window, rgb)
        self._stage_sums += stage_ms
        self._n_timed += 1

    def _backdrop(self, condition: FrameCondition) -> Float[np.ndarray, "height width 3"]:
        if condition.background is None and condition.window is None:
            return self._background
        picture = self._avatar.background if condition.background is None else condition.background
        # The same picture comes with every frame of a session: resize it once.
        known = self._other_backdrop
        if known is None or known.picture is not picture or known.window != condition.window:
            resized = resize_picture(picture, self._camera.width, self._camera.height, condition.window)
            self._other_backdrop = known = _Backdrop(picture, condition.window, resized)
        return known.resized

    def stage_ms(self) -> dict[str, float]:
        """Summed over threads, so that with two threads the stages add up to nearly twice a frame's time."""
        if not self._n_timed:
            return {}
        means = {stage: float(total) / self._n_timed for stage, total in zip(self._stages, self._stage_sums, strict=True)}
        if self._refiner is not None:
            means[REFINER_STAGE] = self._refiner_ms / self._n_timed
        self._refiner_ms = 0.0
        self._stage_sums[:] = 0.0
        self._n_timed = 0
        return means

    def close(self) -> None:
        if self._handle is not None:
            self._library.visavis_field_destroy(self._handle)
            self._handle = None
            if self._refiner is not None:
                self._refiner.close()

    def __del__(self) -> None:
        # Also runs when __init__ raised before the handle was made.
        if getattr(self, "_handle", None):
            self.close()


def _check_size(config: FieldConfig) -> None:
    torso = config.torso
    limits = (
        ("hidden", config.hidden, MAX_HIDDEN),
        ("torso.hidden", torso.hidden, MAX_HIDDEN),
        ("torso.colour_hidden", torso.colour_hidden, MAX_TORSO_COLOUR),
        ("torso.position_octaves", torso.position_octaves, MAX_TORSO_OCTAVES),
    )
    for name, value, limit in limits:
        if value > limit:
            raise BackendUnavailable(f"the cpu backend takes {name} up to {limit}, this avatar has {value}; use the torch backend")


def _field_structure(avatar: Avatar) -> tuple[FieldStructure, list[np.ndarray]]:
    """The C structure, and the arrays that it points to (to be kept while it is used)."""
    config, tensors = avatar.field_config, avatar.tensors
    density2 = tensors["head.density2.weight"]
    matrices = {
        "ambient0": tensors["head.ambient0.weight"], "ambient1": tensors["head.ambient1.weight"],
        "ambient2": tensors["head.ambient2.weight"], "density0": tensors["head.density0.weight"],
        "density1": tensors["head.density1.weight"], "density2": density2[0],
        # No nonlinearity lies between the geometry features and the colour layer, so their product is one matrix.
        "colour0": tensors["head.colour0.weight"] @ density2[1:], "colour1": tensors["head.colour1.weight"],
        "deform0": tensors["torso.deform0.weight"], "deform1": tensors["torso.deform1.weight"],
        "deform2": tensors["torso.deform2.weight"], "torso_colour0": tensors["torso.colour0.weight"],
        "torso_colour1": tensors["torso.colour1.weight"], "torso_colour2": tensors["torso.colour2.weight"],
    }  # fmt: skip
    arrays = {name: np.ascontiguousarray(matrices[name], np.float32) for name in MATRICES}
    arrays["occupancy"] = np.ascontiguousarray(avatar.occupancy, np.uint8)
    arrays["torso_mask"] = np.ascontiguousarray(avatar.torso_mask, np.uint8)
    tables = {
        "spatial_grid": (config.spatial_grid, tensors["head.spatial_grid"]),
        "audio_grid": (config.audio_grid, tensors["head.audio_grid"]),
        "torso_grid": (config.torso.grid, tensors["torso.grid"]),
    }
    rows = {name: np.ascontiguousarray(table, np.float32) for name, (_, table) in tables.items()}
    structure = FieldStructure(
        head_centre=tuple(config.head_centre), head_half_extent=config.head_half_extent, step_size=config.step_size,
        transmittance_threshold=config.transmittance_threshold, max_samples=config.max_samples,
        occupancy_resolution=config.occupancy_resolution, hidden=config.hidden, torso_hidden=config.torso.hidden,
        torso_colour_hidden=config.torso.colour_hidden, torso_octaves=config.torso.position_octaves,
        torso_max_deformation=config.torso.max_deformation,
        audio_region=_region_structure(config.audio_region), eye_region=_region_structure(config.eye_region),
        **{name: _grid_structure(grid, rows[name]) for name, (grid, _) in tables.items()},
        **{name: array.ctypes.data for name, array in arrays.items()},
    )  # fmt: skip
    return structure, [*arrays.values(), *rows.values()]


def _region_structure(region: RegionConfig) -> RegionStructure:
    return RegionStructure(centre=tuple(region.centre), radii=tuple(region.radii), softness=region.softness)


def _grid_structure(grid: GridConfig, rows: Float[np.ndarray, "n_rows 2"]) -> GridStructure:
    structure = GridStructure(n_dims=grid.n_dims, n_levels=grid.n_levels, n_rows=grid.n_rows, rows=rows.ctypes.data)
    for i, level in enumerate(grid.levels()):
        structure.scale[i], structure.resolution[i], structure.hashed[i] = level.scale, level.resolution, level.hashed
        structure.offset[i], structure.n_level_rows[i] = level.offset, level.n_rows
    return structure
