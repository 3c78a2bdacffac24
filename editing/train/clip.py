"""A dataset prepared for training: regions of every frame, what lies behind the head, and the audio windows.

Masks are boolean [n, height, width]. The picture behind the head is the torso with its neck continued upwards (RAD-NeRF, appendix
A.1, "neck in-painting") over the clean background plate, so head and torso overlap instead of meeting at a seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from editing.dataset import held_out_frames
from renderer.audio.streaming import encode_all
from renderer.condition_stream import audio_window_at
from renderer.errors import BadInput
from renderer.field.frame_codes import pose_code, spherical_harmonics, view_direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int, UInt8

    from editing.dataset import Dataset
    from renderer.audio.encoder import AudioEncoder
    from renderer.field.config import AudioWindowConfig, FieldConfig
    from renderer.types import AudioFeatures

NECK_CONTINUATION = 48 / 512
"""How far the neck is continued upwards, as a share of the picture's height (paper's code: 48 pixels of 512)."""
CLOTH_CONTINUATION = 12 / 512
"""The same for clothes under hair: there is no knowing what they look like higher up."""
NECK_DARKENING = 0.98
"""Factor a row at 512 pixels height, "to simulate the shadow"."""
BAND_PX = 2
"""Half width at 256 pixels of the band around the head's edge where masks are not trusted."""
TORSO_LABELS = ("cloth", "neck")
LIP_LABELS = ("lips", "teeth", "mouth")
FACE_LABELS = ("face", "eye", "lips", "teeth", "mouth", "brow")


KEPT_BYTES = 1 << 30
"""Of pictures without their heads, and of region maps: beyond it they are made again whenever they are needed."""
NEAR, INSIDE, OUTSIDE, FACE, EYES = 1, 2, 4, 8, 16
"""Bits of a frame's region map: near the head; certainly head; certainly not head; face; eyes."""


@dataclass(frozen=True)
class Regions:
    """Where things are in one frame."""

    bits: UInt8[np.ndarray, " n_pixels"]
    lip_box: tuple[int, int, int, int]
    """x0, y0, x1, y1 around lips, teeth and mouth."""

    def pixels(self, bit: int) -> Int[np.ndarray, " n"]:
        return np.flatnonzero(self.bits & bit)


class TrainingClip:
    """All frames of a dataset with what the stages need of them; pictures stay memory-mapped."""

    def __init__(
        self,
        dataset: Dataset,
        encoder: AudioEncoder,
        config: FieldConfig,
        held_out: str = "none",
        features: AudioFeatures | None = None,
    ) -> None:
        """`features` of the dataset's sound, where there is none to be encoded."""
        self.dataset = dataset
        self.width, self.height = dataset.meta.camera.width, dataset.meta.camera.height
        self.n_frames = dataset.meta.n_frames
        self.frames = training_frames(dataset, held_out)
        """Indices of the frames that are trained on."""
        size = f"{self.width}x{self.height}"
        self.identity = f"{dataset.meta.generator} seed {dataset.meta.seed} {self.n_frames} frames {size}, held out {held_out}"
        self._label_ids = dataset.meta.labels
        self._band = max(1, round(BAND_PX * self.height / 256))
        self.features = features or encode_all(encoder, dataset.audio())
        self.fingerprint = dataset.fingerprint() if features is None else ""
        """Of a dataset on disk."""
        self.windows = windows_of(self.features, encoder, config.audio_window, np.arange(self.n_frames))
        self.eye_ratio = dataset.track.eye_ratio.astype(np.float32)
        self.emotions = dataset.emotion_codes() if config.emotion_dim else None
        """Of every frame, where the field takes an emotion: [n_frames, 8]."""
        self._chances = label_chances(dataset.label_index()[self.frames])
        self._config = config
        self.use_poses(dataset.track.camera_from_head)
        self._regions: dict[int, Regions] = {}
        self._behind: dict[int, UInt8[np.ndarray, "n_pixels 3"]] = {}

    def use_poses(self, poses: Float[np.ndarray, "n_frames 4 4"]) -> None:
        """Take these head poses, camera from head, from now on: the dataset's, or refined ones."""
        self.poses = poses
        self.harmonics = view_harmonics(poses, self._config)
        self.pose_codes = np.stack([pose_code(p, self._config) for p in poses])

    def spread(self, n: int) -> Int[np.ndarray, " at_most_n"]:
        """About `n` frames that are trained on, spread evenly over the clip."""
        return self.frames[np.unique(np.linspace(0, len(self.frames) - 1, n).astype(int))]

    def draw(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, " at_most_n"]:
        """`n` different frames that are trained on, or all of them where there are fewer."""
        return rng.choice(self.frames, min(n, len(self.frames)), replace=False, p=self._chances)

    def picture(self, frame: int) -> UInt8[np.ndarray, "n_pixels 3"]:
        return self.dataset.frames[frame].reshape(-1, 3)

    def mask(self, frame: int, names: Sequence[str]) -> Bool[np.ndarray, "height width"]:
        ids = [self._label_ids[name] for name in names if name in self._label_ids]
        return np.isin(self.dataset.labels[frame], ids)

    def head_mask(self, frame: int) -> Bool[np.ndarray, "height width"]:
        """Everything that moves with the skull: all but background, cloth and neck."""
        return ~self.mask(frame, ("background", *TORSO_LABELS))

    def regions(self, frame: int) -> Regions:
        found = self._regions.get(frame)
        if found is None:
            found = self._find_regions(frame)
            if (len(self._regions) + 1) * found.bits.nbytes <= KEPT_BYTES:
                self._regions[frame] = found
        return found

    def _find_regions(self, frame: int) -> Regions:
        head = self.head_mask(frame)
        lips = self.mask(frame, LIP_LABELS)
        bits = np.zeros((self.height, self.width), np.uint8)
        bits[ndimage.binary_dilation(head, iterations=3 * self._band)] |= NEAR
        bits[ndimage.binary_erosion(head, iterations=self._band)] |= INSIDE
        bits[~ndimage.binary_dilation(head, iterations=self._band)] |= OUTSIDE
        bits[ndimage.binary_dilation(self.mask(frame, FACE_LABELS), iterations=self._band)] |= FACE
        bits[ndimage.binary_dilation(self.mask(frame, ("eye",)), iterations=2 * self._band)] |= EYES
        return Regions(bits.reshape(-1), _box(lips, margin=2 * self._band))

    def behind_head(self, frame: int) -> UInt8[np.ndarray, "n_pixels 3"]:
        """The picture with the head taken away: torso, continued neck, background."""
        found = self._behind.get(frame)
        if found is None:
            found = self.torso_target(frame)[0].reshape(-1, 3)
            # Frames come up at random, so those that were first stay: a full memory is as good as any other choice.
            if (len(self._behind) + 1) * found.nbytes <= KEPT_BYTES:
                self._behind[frame] = found
        return found

    def torso_target(self, frame: int) -> tuple[UInt8[np.ndarray, "height width 3"], Bool[np.ndarray, "height width"]]:
        """The picture without the head, and where it shows torso."""
        masks = self.mask(frame, ("cloth",)), self.mask(frame, ("neck",)), self.head_mask(frame)
        return continue_torso(self.dataset.frames[frame], *masks, self.dataset.background)


def training_frames(dataset: Dataset, held_out: str) -> Int[np.ndarray, " n"]:
    """The frames that can be used and are not held out (see `editing.dataset.held_out_frames`)."""
    usable = np.ones(dataset.meta.n_frames, bool) if dataset.track.usable is None else dataset.track.usable.copy()
    usable[held_out_frames(held_out, dataset.meta.n_frames)] = False
    if not usable.any():
        raise BadInput(f"--hold-out {held_out}: no frame of {dataset.path} is left to train on")
    return np.flatnonzero(usable)


def label_chances(labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"] | None:
    """Chance of each frame to be drawn, by its emotion label: a label with four times the frames is drawn twice as often, so that neither
    a rare emotion nor the usual face comes short. None where there is one label only."""
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return None
    chances = counts[number] ** -0.5
    return np.asarray(chances / chances.sum())


def view_harmonics(poses: Float[np.ndarray, "n 4 4"], config: FieldConfig) -> Float[np.ndarray, "n 16"]:
    """What the head's colour sees of each pose: the harmonics of its view direction."""
    return np.stack([spherical_harmonics(view_direction(p, config.head_centre)) for p in poses])


def clip_windows(
    audio: Float[np.ndarray, " n_samples"], encoder: AudioEncoder, shape: AudioWindowConfig, n_frames: int
) -> Float[np.ndarray, "n_frames n_window_steps dim"]:
    """Audio windows of all frames of a recording, built as the live stream builds them."""
    return windows_of(encode_all(encoder, audio), encoder, shape, np.arange(n_frames))


def windows_of(
    features: AudioFeatures, encoder: AudioEncoder, shape: AudioWindowConfig, frames: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n n_window_steps dim"]:
    """The same of some frames, from what the encoder heard."""
    silence = encoder.silence_features()
    return np.stack([audio_window_at(features.steps, features.first_step, int(k), shape, silence) for k in frames])


def continue_torso(
    picture: UInt8[np.ndarray, "h w 3"],
    cloth: Bool[np.ndarray, "h w"],
    neck: Bool[np.ndarray, "h w"],
    head: Bool[np.ndarray, "h w"],
    background: UInt8[np.ndarray, "h w 3"],
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Head removed; under it each column's topmost torso pixel is continued upwards, darkening, the plate above; and where torso is."""
    torso = cloth | neck
    height = torso.shape[0]
    edge = max(1, round(2 * height / 256))
    result = np.where((torso | head)[..., None], background, picture)
    result[torso] = picture[torso]
    filled = torso.copy()
    darkening = NECK_DARKENING ** (512 / height)
    has_torso = torso.any(0)
    top = torso.argmax(0)
    for x in np.flatnonzero(has_torso):
        y = int(top[x])
        if y == 0 or not head[max(0, y - edge - 1) : y, x].any():
            continue
        source = min(height - 1, y + edge)
        if not torso[source, x]:
            continue
        reach = round((NECK_CONTINUATION if neck[y, x] else CLOTH_CONTINUATION) * height)
        rows = np.arange(max(0, y - reach), source)
        colour = picture[source, x].astype(np.float32)
        result[rows, x] = (colour * darkening ** (source - rows)[:, None]).astype(np.uint8)
        filled[rows, x] = True
    return result, filled


def _box(mask: Bool[np.ndarray, "h w"], margin: int) -> tuple[int, int, int, int]:
    height, width = mask.shape
    ys, xs = np.nonzero(mask)
    if not len(xs):
        return width // 3, height // 2, 2 * width // 3, 3 * height // 4
    return (
        max(0, int(xs.min()) - margin), max(0, int(ys.min()) - margin),
        min(width, int(xs.max()) + margin + 1), min(height, int(ys.max()) + margin + 1),
    )  # fmt: skip
