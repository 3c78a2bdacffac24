"""Configuration of the talking radiance field (RAD-NeRF, "the paper" below).

Everything here travels in the header of an avatar file. Lengths are in head units (see `renderer.types`), times in ms.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from renderer.emotion import EMOTION_DIM
from renderer.errors import BadInput

STEP_MS = 20.0
"""Spacing of audio feature steps (wav2vec 2.0: 50 Hz)."""
STEPS_PER_FRAME = 2
FIRST_STEP_CENTRE_MS = 12.5
"""Centre of the receptive field of step 0: sample 200 at 16 kHz."""


@dataclass(frozen=True)
class AudioWindowConfig:
    """Which audio steps one frame looks at (paper, appendix A.1), leaning to the past so that little has to be awaited."""

    window: int = 16
    """Steps the audio network sees at once."""
    attention: int = 8
    """Frames the attention module weighs."""
    smoothing_frames: int = 4
    """Frames over which the explicit smoothing beta is summed; keeps a frame a pure function of its condition."""
    look_ahead_ms: float = 160.0
    """Audio after the frame's own time that encoder, window and attention may use together (paper: 320 ms + the encoder)."""
    encoder_look_ahead_ms: float = 80.0
    """The part of it that the audio encoder itself needs."""

    def __post_init__(self) -> None:
        if self.window != 16:
            raise BadInput(f"audio window of {self.window} steps: the audio network halves 16 steps four times, so it must be 16")
        if self.attention < 1 or self.smoothing_frames < 1:
            raise BadInput(f"attention {self.attention} and smoothing_frames {self.smoothing_frames} must be at least 1")
        if self.look_ahead_ms < self.encoder_look_ahead_ms + FIRST_STEP_CENTRE_MS:
            least = self.encoder_look_ahead_ms + FIRST_STEP_CENTRE_MS
            raise BadInput(f"look_ahead_ms {self.look_ahead_ms:g} is less than what the encoder alone needs, {least:g}")

    @property
    def future_steps(self) -> int:
        """Steps from the frame's own step on that are used (the own step counts)."""
        return int((self.look_ahead_ms - self.encoder_look_ahead_ms - FIRST_STEP_CENTRE_MS) // STEP_MS) + 1

    @property
    def attention_future_frames(self) -> int:
        """Frames after the present one in the attention's reach; the rest of the future goes to the window."""
        return min(self.future_steps // 4, self.attention - 1)

    @property
    def window_future_steps(self) -> int:
        return self.future_steps - STEPS_PER_FRAME * self.attention_future_frames

    @property
    def n_steps(self) -> int:
        """Length of `FrameCondition.audio_window`."""
        return self.window + STEPS_PER_FRAME * (self.attention - 1 + self.smoothing_frames - 1)

    def first_step(self, frame: int) -> int:
        """Index of the first encoder step of the audio window of `frame` (may be negative: silence before the start)."""
        return STEPS_PER_FRAME * frame + self.future_steps - self.n_steps


@dataclass(frozen=True)
class GridConfig:
    """A multiresolution hash grid (Instant-NGP; paper, appendix A.2)."""

    n_dims: int
    n_levels: int = 16
    n_features: int = 2
    base_resolution: int = 16
    finest_resolution: int = 2048
    log2_hashmap_size: int = 16

    def __post_init__(self) -> None:
        if self.n_dims not in (2, 3):
            raise BadInput(f"a grid of {self.n_dims} dimensions: 2 or 3 are possible")
        if self.n_features != 2:
            raise BadInput(f"{self.n_features} features a level: the kernels are written for 2")
        if not 1 <= self.n_levels <= 16 or not 8 <= self.log2_hashmap_size <= 22:
            raise BadInput(f"grid levels {self.n_levels} (1...16) or log2 hashmap size {self.log2_hashmap_size} (8...22) out of range")
        if not 2 <= self.base_resolution <= self.finest_resolution <= 1 << 14:
            raise BadInput(f"grid resolutions {self.base_resolution}...{self.finest_resolution}: ascending, 2...16384")

    @property
    def n_outputs(self) -> int:
        return self.n_levels * self.n_features

    def levels(self) -> tuple[GridLevel, ...]:
        """Where each level lies in the table."""
        growth = (self.finest_resolution / self.base_resolution) ** (1 / max(1, self.n_levels - 1))
        levels, offset, capacity = [], 0, 1 << self.log2_hashmap_size
        for i in range(self.n_levels):
            scale = self.base_resolution * growth**i
            resolution = math.floor(scale + 1e-6) + 2
            dense = resolution**self.n_dims <= capacity
            rows = resolution**self.n_dims if dense else capacity
            levels.append(GridLevel(scale, resolution, not dense, offset, rows))
            offset += -(-rows // ROW_ALIGNMENT) * ROW_ALIGNMENT
        return tuple(levels)

    @property
    def n_rows(self) -> int:
        last = self.levels()[-1]
        return last.offset + -(-last.n_rows // ROW_ALIGNMENT) * ROW_ALIGNMENT


ROW_ALIGNMENT = 16
"""Levels start at multiples of this many rows (one cache line of half-precision pairs)."""


@dataclass(frozen=True)
class GridLevel:
    scale: float
    """Grid coordinate = x01 * scale, x01 in 0...1."""
    resolution: int
    """Vertices along an axis."""
    hashed: bool
    """False: row = x + resolution * (y + resolution * z); True: row = (x ^ y * 2654435761 ^ z * 805459861) mod n_rows (uint32)."""
    offset: int
    n_rows: int


@dataclass(frozen=True)
class RegionConfig:
    """An ellipsoid in the head frame in which a condition may act: the gate is smoothstep((1 - r) / softness), exactly 0 outside.

    r is the distance from the centre in units of the radii. An assumption beyond the paper: its dynamic regulariser asks softly for
    what the gate guarantees (no flicker of hair and ears), and a gate of exactly 0 spares the audio branch there.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    softness: float = 0.25

    def __post_init__(self) -> None:
        if min(self.radii) <= 0 or not 0 < self.softness <= 1:
            raise BadInput(f"region radii {self.radii} must be positive and softness {self.softness} in 0...1")


@dataclass(frozen=True)
class TorsoConfig:
    """The pseudo-3D torso (paper, section 3.3)."""

    grid: GridConfig = field(default_factory=lambda: GridConfig(2))
    hidden: int = 64
    """Width of the deformation MLP."""
    colour_hidden: int = 32
    """Width of the colour MLP."""
    position_octaves: int = 4
    """Octaves of the positional encoding of the pixel for the deformation (slow motion only; the grid holds the detail)."""
    pose_octaves: int = 3
    reference_translation: tuple[float, float, float] = (0.0, 0.0, 7.0)
    """Mean translation of the training poses; the pose code is relative to it."""
    max_deformation: float = 0.1
    """Largest shift of a pixel coordinate, as a share of the picture."""


@dataclass(frozen=True)
class FieldConfig:
    """Shape of the whole field. Defaults are the paper's where it names a number."""

    feature_dim: int
    """Classes of the audio encoder."""
    head_centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    head_half_extent: float = 1.25
    """The head lives in a cube of this half edge around `head_centre`."""
    audio_region: RegionConfig = field(default_factory=lambda: RegionConfig((0.0, -0.5, 0.5), (0.7, 0.6, 0.7)))
    eye_region: RegionConfig = field(default_factory=lambda: RegionConfig((0.0, 0.1, 0.6), (0.7, 0.35, 0.5)))
    audio_window: AudioWindowConfig = field(default_factory=AudioWindowConfig)
    spatial_grid: GridConfig = field(default_factory=lambda: GridConfig(3))
    audio_grid: GridConfig = field(default_factory=lambda: GridConfig(2))
    audio_dim: int = 64
    """Size of the audio code a."""
    hidden: int = 64
    geometry_dim: int = 64
    appearance_dim: int = 4
    n_appearances: int = 0
    """Rows of the appearance table (training frames)."""
    emotion_dim: int = 0
    """Size of the emotion code e (AED-NeRF, equation 1): 8 (`renderer.emotion`), or 0 where the field knows no emotion."""
    occupancy_resolution: int = 128
    max_samples: int = 16
    """Samples a ray may spend."""
    transmittance_threshold: float = 1e-3
    """A ray stops when less light than this is left."""
    torso: TorsoConfig = field(default_factory=TorsoConfig)

    def __post_init__(self) -> None:
        if self.spatial_grid.n_dims != 3 or self.audio_grid.n_dims != 2 or self.torso.grid.n_dims != 2:
            raise BadInput("the spatial grid has 3 dimensions, the audio and torso grids 2")
        if self.head_half_extent <= 0 or not 1 <= self.max_samples <= 64:
            raise BadInput(f"head_half_extent {self.head_half_extent} must be positive and max_samples {self.max_samples} in 1...64")
        if self.emotion_dim not in (0, EMOTION_DIM):
            raise BadInput(f"emotion_dim {self.emotion_dim}: {EMOTION_DIM} for a field with emotion, 0 for one without, are possible")
        if self.occupancy_resolution % 32 or self.occupancy_resolution <= 0:
            raise BadInput(f"occupancy_resolution {self.occupancy_resolution} must be a multiple of 32")

    @property
    def step_size(self) -> float:
        """Spacing of samples on a ray, in head units: the cube's diagonal in `occupancy_resolution` steps."""
        return 2.0 * math.sqrt(3.0) * self.head_half_extent / self.occupancy_resolution

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FieldConfig:
        """The inverse of `to_json`. Raises BadInput with the name of a field that is unknown or of the wrong type."""
        nested = {
            "audio_region": RegionConfig, "eye_region": RegionConfig, "audio_window": AudioWindowConfig,
            "spatial_grid": GridConfig, "audio_grid": GridConfig,
        }  # fmt: skip
        values = {k: _load(nested[k], v) if k in nested else v for k, v in values.items()}
        if isinstance(values.get("torso"), dict):
            torso = dict(values["torso"])
            if "grid" in torso:
                torso["grid"] = _load(GridConfig, torso["grid"])
            values["torso"] = _load(TorsoConfig, torso)
        return _load(cls, values)


def _load(cls: Any, values: Any) -> Any:
    if dataclasses.is_dataclass(values):
        return values
    if not isinstance(values, dict):
        raise BadInput(f"{cls.__name__} must be an object, not {values!r}")
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise BadInput(f"{cls.__name__} has no field {unknown[0]!r}; known: {', '.join(sorted(known))}")
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError as error:
        raise BadInput(f"{cls.__name__}: {error}") from error
