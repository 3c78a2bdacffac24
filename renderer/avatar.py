"""An avatar in memory: the trained field and all that is needed to show it live.

Tracks are those of the training clip, one row a frame at `fps`; live they make the idle motion.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.errors import BadAvatar
from renderer.field.parameters import check_parameters

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

    from renderer.field.config import FieldConfig
    from renderer.refiner.config import Refiner
    from renderer.types import Camera

TORSO_MASK_RESOLUTION = 64


@dataclass(frozen=True)
class EncoderIdentity:
    """The audio encoder an avatar was trained with; another one is refused."""

    id: str
    """"bundled", or a hub name."""
    feature_dim: int
    sha256: str
    look_ahead_ms: float


@dataclass(frozen=True)
class Lineage:
    """Where an avatar comes from."""

    program_version: str
    seed: int = 0
    schedule: str = ""
    parent_sha256: str | None = None
    instruction: str | None = None
    editor: str | None = None


@dataclass(frozen=True)
class Avatar:
    """A trained talking radiance field."""

    name: str
    field_config: FieldConfig
    tensors: dict[str, np.ndarray] = field(repr=False)
    """By the names of `renderer.field.parameters`; float32."""
    occupancy: Bool[np.ndarray, "z y x"] = field(repr=False)
    torso_mask: Bool[np.ndarray, "64 64"] = field(repr=False)
    """Cells of the picture (row, column) where the torso may show."""
    background: UInt8[np.ndarray, "height width 3"] = field(repr=False)
    camera: Camera
    fps: int
    pose_track: Float[np.ndarray, "n 4 4"] = field(repr=False)
    """camera_from_head."""
    eye_track: Float[np.ndarray, " n"] = field(repr=False)
    """Eye ratio, 0 closed ... 1."""
    encoder: EncoderIdentity
    subject: dict[str, Any]
    """{"kind": "synthetic", …} or {"kind": "person", "consent": "…"}."""
    lineage: Lineage
    poster: UInt8[np.ndarray, "height width 3"] | None = field(default=None, repr=False)
    """A still to show before the avatar speaks, as large as the camera's picture."""
    audio_track: Float[np.ndarray, "n_steps feature_dim"] | None = field(default=None, repr=False)
    """What the encoder heard in the training clip, from step 0 on: edits are driven by it."""
    refiner: Refiner | None = None
    """Adds detail to what the field renders; None: the field's picture is shown as it is."""

    def __post_init__(self) -> None:
        check_parameters(self.field_config, self.tensors)
        resolution = self.field_config.occupancy_resolution
        expected = {
            "occupancy": (self.occupancy, (resolution,) * 3),
            "torso_mask": (self.torso_mask, (TORSO_MASK_RESOLUTION,) * 2),
            "background": (self.background, (self.camera.height, self.camera.width, 3)),
            "pose_track": (self.pose_track, (len(self.pose_track), 4, 4)),
            "eye_track": (self.eye_track, (len(self.pose_track),)),
        }
        if self.poster is not None:
            expected["poster"] = (self.poster, (self.camera.height, self.camera.width, 3))
        if self.audio_track is not None:
            expected["audio_track"] = (self.audio_track, (len(self.audio_track), self.field_config.feature_dim))
        for name, (array, shape) in expected.items():
            if array.shape != shape:
                raise BadAvatar(f"{name} has shape {array.shape}; {shape} was expected")
        if len(self.pose_track) == 0:
            raise BadAvatar("pose_track is empty; at least one frame is needed")
        if self.encoder.feature_dim != self.field_config.feature_dim:
            raise BadAvatar(f"the encoder gives {self.encoder.feature_dim} features but the field takes {self.field_config.feature_dim}")
        if self.subject.get("kind") not in ("synthetic", "person"):
            raise BadAvatar(f"subject kind {self.subject.get('kind')!r}; 'synthetic' or 'person' was expected")
        tracks = [("pose_track", self.pose_track), ("eye_track", self.eye_track)]
        if self.audio_track is not None:
            tracks.append(("audio_track", self.audio_track))
        for name, array in (*self.tensors.items(), *tracks):
            if not np.isfinite(array).all():
                raise BadAvatar(f"tensor {name!r} holds values that are not finite")

    @property
    def is_emotional(self) -> bool:
        """Whether the field takes an emotion (`FrameCondition.emotion`)."""
        return self.field_config.emotion_dim > 0

    def replace(self, **changes: Any) -> Avatar:
        return dataclasses.replace(self, **changes)
