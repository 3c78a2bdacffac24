"""The frames that an edit works on: the avatar at moments of its own training clip, saying what was said there."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.capture.labels import LABELS
from editing.image_editors.guide import Guide
from editing.train.clip import windows_of
from renderer.backends.base import RenderOptions, open_backend
from renderer.emotion import EMOTIONS, INTENSITIES, NEUTRAL, Emotion, emotion_code
from renderer.errors import BadInput
from renderer.types import DEFAULT_REFINE_WEIGHT, AudioFeatures, FrameCondition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float32, Int, UInt8

    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

HEAD_LABELS = ("face", "hair", "eye", "lips", "teeth", "mouth", "brow")
BLACK, WHITE = 0, 255


@dataclass(frozen=True)
class Moments:
    """Frames of an avatar's training clip, and all that the avatar needs to show them again."""

    indices: Int[np.ndarray, " n"]
    """In the clip."""
    features: AudioFeatures
    """What the encoder heard in the whole clip."""
    windows: Float32[np.ndarray, "n n_window_steps dim"]
    poses: Float32[np.ndarray, "n 4 4"]
    eye_ratio: Float32[np.ndarray, " n"]
    emotions: tuple[Emotion, ...]
    """What is shown at each."""

    @staticmethod
    def of(avatar: Avatar, encoder: AudioEncoder, n: int) -> Moments:
        """At most `n`, spread evenly over the clip; see `at`."""
        return Moments.at(avatar, encoder, np.unique(np.linspace(0, len(avatar.pose_track) - 1, n).round().astype(int)))

    @staticmethod
    def at(avatar: Avatar, encoder: AudioEncoder, indices: Int[np.ndarray, " n"]) -> Moments:
        """These frames of the clip. BadInput for an avatar that does not hold the sound of its clip.

        An avatar with emotions shows its neutral face at every other moment and all the labels in turn in between, whatever it showed
        there in its clip, so that a style is learned for all of them.
        """
        if avatar.audio_track is None:
            raise BadInput(f"avatar {avatar.name!r} does not hold what was said in its training clip; train it again with this program")
        features = AudioFeatures(avatar.audio_track, 0)
        windows = windows_of(features, encoder, avatar.field_config.audio_window, indices)
        emotions = tuple(moment_emotion(k) if avatar.is_emotional else NEUTRAL for k in range(len(indices)))
        return Moments(indices, features, windows, avatar.pose_track[indices], avatar.eye_track[indices], emotions)

    def condition(self, k: int, background: UInt8[np.ndarray, "h w 3"] | None = None, refine_weight: float = 0.0) -> FrameCondition:
        """Of the k-th of them."""
        eye_ratio = float(self.eye_ratio[k])
        return FrameCondition(
            int(self.indices[k]),
            self.windows[k],
            self.poses[k],
            eye_ratio,
            background=background,
            refine_weight=refine_weight,
            emotion=emotion_code(self.emotions[k]),
        )

    def render(
        self,
        avatar: Avatar,
        frames: Sequence[int],
        threads: int,
        background: UInt8[np.ndarray, "h w 3"] | None = None,
        progress: Callable[[int], None] | None = None,
        refine_weight: float = 0.0,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """These frames of an avatar at the size of its camera; `progress` is called after each.

        `refine_weight` is omega of equation 5, over the whole picture; at 0 the field's own picture is shown.
        """
        pictures = []
        with contextlib.closing(open_backend(avatar, RenderOptions(avatar.camera.height, threads, refine_scope="picture"))) as backend:
            for done, k in enumerate(frames, start=1):
                pictures.append(backend.render([self.condition(k, background, refine_weight)])[0])
                if progress:
                    progress(done)
        return np.stack(pictures)

    def opacity(self, avatar: Avatar, frames: Sequence[int], threads: int) -> Float32[np.ndarray, "n h w"]:
        """How much of each pixel is the avatar: what a black and a white background make of it."""
        shape = (avatar.camera.height, avatar.camera.width, 3)
        dark, light = (
            self.render(avatar, frames, threads, np.full(shape, colour, np.uint8)).astype(np.float32).mean(-1) for colour in (BLACK, WHITE)
        )
        return np.asarray(np.clip(1.0 - (light - dark) / (WHITE - BLACK), 0.0, 1.0), dtype=np.float32)


def moment_emotion(k: int) -> Emotion:
    """Of the k-th moment of an avatar with emotions: neutral, or the next label."""
    if k % 2 == 0:
        return NEUTRAL
    categories, levels = EMOTIONS[1:], len(INTENSITIES)
    category, level = (k // 2) % len(categories), (k // 2 // len(categories)) % levels
    return Emotion(categories[category], (level + 1) / levels)


@dataclass(frozen=True)
class Originals:
    """The unedited avatar at its moments."""

    moments: Moments
    pictures: UInt8[np.ndarray, "n h w 3"]
    guide: Guide
    """Complete."""

    @property
    def labels(self) -> UInt8[np.ndarray, "n h w"]:
        assert self.guide.labels is not None
        return self.guide.labels

    @staticmethod
    def of(avatar: Avatar, encoder: AudioEncoder, n: int, threads: int, progress: Callable[[int, int], None] | None = None) -> Originals:
        """Rendered and looked at. BadInput where a frame shows no face or the landmark model is missing.

        An avatar with a refiner is shown with its detail. `progress` is called with the work that is done and all of it: each frame is
        rendered, and later looked at.
        """
        return Originals.at(avatar, Moments.of(avatar, encoder, n), threads, progress)

    @staticmethod
    def at(avatar: Avatar, moments: Moments, threads: int, progress: Callable[[int, int], None] | None = None) -> Originals:
        """The same at moments that were chosen already."""
        frames = range(len(moments.indices))
        report = progress or (lambda done, total: None)
        pictures = moments.render(
            avatar, frames, threads, progress=lambda done: report(done, 2 * len(frames)), refine_weight=DEFAULT_REFINE_WEIGHT
        )
        person = moments.opacity(avatar, frames, threads)
        head = moments.opacity(avatar.replace(torso_mask=np.zeros_like(avatar.torso_mask)), frames, threads)
        found = Guide(person=person).completed(
            pictures, [int(k) for k in moments.indices], progress=lambda done: report(len(frames) + done, 2 * len(frames))
        )
        assert found.labels is not None
        labels = np.stack([by_layers(*frame) for frame in zip(found.labels, head > 0.5, person > 0.5, strict=True)])
        return Originals(moments, pictures, dataclasses.replace(found, labels=labels))


def by_layers(labels: UInt8[np.ndarray, "h w"], head: Bool[np.ndarray, "h w"], person: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Labels that agree with the avatar's own layers: what its head shows is head, what its torso shows is torso."""
    result = labels.copy()
    headlike = np.isin(labels, [LABELS[name] for name in HEAD_LABELS])
    result[head & ~headlike] = LABELS["hair"]
    result[head & (labels == LABELS["neck"])] = LABELS["face"]
    result[person & ~head & headlike] = LABELS["neck"]
    result[person & ~head & (labels == LABELS["background"])] = LABELS["cloth"]
    result[~person] = LABELS["background"]
    return result
