"""What moves the avatar while it is judged: a sound, with the poses, blinks and emotions of a dataset.

Self-driven: the dataset's own sound, so every picture has its truth. Cross-driven: another sound; the dataset still moves the head, to and
fro where the sound is longer. Frames are counted from the beginning of the sound.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from editing.dataset import SAMPLES_PER_FRAME
from editing.train.clip import clip_windows
from renderer.backends.base import RenderOptions, open_backend
from renderer.emotion import emotion_code
from renderer.errors import BadInput
from renderer.types import FrameCondition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from jaxtyping import Float, UInt8

    from editing.dataset import Dataset
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar


@dataclass(frozen=True)
class Drive:
    """An avatar that speaks a sound with a dataset's head."""

    avatar: Avatar
    dataset: Dataset
    encoder: AudioEncoder
    """The avatar's own."""
    samples: Float[np.ndarray, " n_samples"]
    """The sound, -1…1 at 16 kHz."""
    windows: Float[np.ndarray, "n_frames n_window_steps dim"]
    """Of each frame, built as the live stream builds them."""
    poses: Float[np.ndarray, "n_dataset_frames 4 4"]
    """camera_from_head: the avatar's own, as they were refined, where it was trained from this dataset; else the dataset's."""
    poses_from: str = "of the dataset"
    """How they came about."""
    backend: str = "auto"
    threads: int = 1
    """For rendering."""

    @staticmethod
    def prepare(
        avatar: Avatar,
        dataset: Dataset,
        encoder: AudioEncoder,
        speech: Float[np.ndarray, " n_samples"] | None = None,
        backend: str = "auto",
        threads: int = 1,
    ) -> Drive:
        """Self-driven, or cross-driven by `speech`. BadInput where picture sizes differ or the speech is shorter than a frame."""
        theirs, own = dataset.meta.camera, avatar.camera
        if (theirs.width, theirs.height) != (own.width, own.height):
            raise BadInput(
                f"dataset of {theirs.width}x{theirs.height} pixels, avatar of {own.width}x{own.height}; they must be of one size"
            )
        samples = dataset.audio() if speech is None else speech
        n_frames = len(samples) // SAMPLES_PER_FRAME
        if n_frames < 1:
            raise BadInput(f"speech of {len(samples)} samples at 16 kHz: one frame, {SAMPLES_PER_FRAME} samples, is the least")
        windows = clip_windows(samples, encoder, avatar.field_config.audio_window, n_frames)
        refined = trained_from(avatar, dataset)
        poses = avatar.pose_track if refined else dataset.track.camera_from_head
        poses_from = "of the avatar" if refined else "of the dataset"
        return Drive(avatar, dataset, encoder, samples, windows, poses, poses_from, backend, threads)

    @property
    def n_frames(self) -> int:
        """Of the sound."""
        return len(self.windows)

    def pose_frame(self, k: int) -> int:
        """The dataset's frame that gives frame `k` its pose: forwards, then backwards, and so on."""
        return to_and_fro(k, self.dataset.meta.n_frames)

    def condition(self, k: int) -> FrameCondition:
        """Everything that frame `k` depends on."""
        there = self.pose_frame(k)
        return FrameCondition(
            index=k,
            audio_window=self.windows[k],
            camera_from_head=self.poses[there],
            eye_ratio=float(self.dataset.track.eye_ratio[there]),
            background=self.dataset.background,
            emotion=emotion_code(self.dataset.emotion(there)) if self.avatar.is_emotional else None,
        )

    def sound(self, frames: range) -> Float[np.ndarray, " n_samples"]:
        """The sound of consecutive frames."""
        return self.samples[frames.start * SAMPLES_PER_FRAME : frames.stop * SAMPLES_PER_FRAME]

    def pictures(self, frames: Sequence[int], doing: str = "rendering") -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Rendered frames, with a progress bar that says what is being done."""
        from tqdm import tqdm

        options = RenderOptions(size=self.avatar.camera.height, threads=self.threads)
        with contextlib.closing(open_backend(self.avatar, options, self.backend)) as runner:
            for k in tqdm(frames, doing, unit="frame", disable=not sys.stderr.isatty()):
                yield runner.render([self.condition(k)])[0]


def to_and_fro(k: int, n: int) -> int:
    """Which of `n` frames is shown at `k`: forwards, then backwards, and so on."""
    place = k % max(1, 2 * n - 2)
    return place if place < n else 2 * n - 2 - place


def trained_from(avatar: Avatar, dataset: Dataset) -> bool:
    """Whether the avatar's lineage names this very dataset."""
    try:
        schedule = json.loads(avatar.lineage.schedule)
    except ValueError:
        return False  # no training of ours wrote it
    return isinstance(schedule, dict) and schedule.get("dataset") == dataset.fingerprint()
