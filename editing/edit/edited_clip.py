"""The edited frames as a clip that the field can be trained on: in memory, with the original's poses, sound and labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from editing.capture.clean_plate import clean_plate
from editing.capture.labels import LABELS
from editing.dataset import Dataset, DatasetMeta, HeadBox, Region, Track
from editing.landmarks import LANDMARK_NAMES
from editing.train.clip import TrainingClip, windows_of
from renderer import __version__
from renderer.emotion import EMOTIONS

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from editing.edit.originals import Originals
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar
    from renderer.field.config import RegionConfig

PLATE_FRAMES = 60
PLATE_MARGIN = 0.02
"""The person's mask is grown by this share of the picture before the edited background is taken."""
UNCHANGED = 2.0
"""Mean difference, of 255, up to which the background counts as untouched."""


def edited_clip(
    avatar: Avatar, originals: Originals, edited: UInt8[np.ndarray, "n h w 3"], encoder: AudioEncoder, name: str
) -> TrainingClip:
    """`edited` in the place of the avatar's own pictures. `name` tells this clip from others, for checkpoints."""
    moments, config = originals.moments, avatar.field_config
    n = len(edited)
    still = np.zeros(n, np.int16)
    track = Track(
        camera_from_head=np.asarray(moments.poses, np.float32),
        landmarks=np.asarray(originals.guide.landmarks, np.float32),
        eye_ratio=np.asarray(moments.eye_ratio, np.float32),
        lip_opening=np.zeros(n, np.float32),
        viseme=still,
        emotion=np.array([EMOTIONS.index(emotion.category) for emotion in moments.emotions], np.int16),
        emotion_intensity=np.array([emotion.strength for emotion in moments.emotions], np.float32),
    )
    meta = DatasetMeta(
        fps=avatar.fps,
        n_frames=n,
        camera=avatar.camera,
        subject={key: str(value) for key, value in avatar.subject.items()},
        seed=0,
        voices=(),
        head_box=HeadBox(config.head_centre, config.head_half_extent),
        audio_region=_region(config.audio_region),
        eye_region=_region(config.eye_region),
        labels=LABELS,
        landmark_names=LANDMARK_NAMES,
        generator=f"visavis {__version__} edit {name}",
    )
    background = edited_background(avatar.background, originals, edited)
    dataset = Dataset(Path(name), meta, edited, originals.labels, background, track, {"emotions": list(EMOTIONS)})
    clip = TrainingClip(dataset, encoder, config, features=moments.features)
    clip.windows = windows_of(moments.features, encoder, config.audio_window, moments.indices)
    return clip


def edited_background(
    background: UInt8[np.ndarray, "h w 3"], originals: Originals, edited: UInt8[np.ndarray, "n h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """What the editor made of the background, from wherever the person is not; untouched if it was left alone."""
    import cv2

    chosen = np.unique(np.linspace(0, len(edited) - 1, PLATE_FRAMES).astype(int))
    side = 2 * max(1, round(PLATE_MARGIN * edited.shape[1])) + 1
    kernel = np.ones((side, side), np.uint8)
    person = np.stack([cv2.dilate((originals.labels[k] != LABELS["background"]).astype(np.uint8), kernel) for k in chosen]).astype(bool)
    apart = np.abs(edited[chosen].astype(np.int16) - originals.pictures[chosen])[~person]
    if not len(apart) or float(apart.mean()) <= UNCHANGED:
        return np.asarray(background)
    return clean_plate(edited[chosen], person).picture


def _region(region: RegionConfig) -> Region:
    return Region(region.centre, region.radii)
