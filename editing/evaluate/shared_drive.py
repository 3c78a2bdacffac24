"""What an avatar and its edits are all moved by when they are compared: the same sound, poses, eyes and background, frame by frame."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.dataset import SAMPLES_PER_FRAME
from editing.evaluate.driving import Drive, to_and_fro
from editing.train.clip import clip_windows, windows_of
from renderer.backends.base import RenderOptions, open_backend
from renderer.errors import BadInput
from renderer.types import AudioFeatures, FrameCondition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, UInt8

    from editing.dataset import Dataset
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar


@dataclass(frozen=True)
class SharedDrive:
    """Frames of one performance, for any avatar of the same camera and encoder."""

    encoder: AudioEncoder
    said: str
    """What is spoken, in words for the table."""
    windows: Float[np.ndarray, "n n_window_steps dim"]
    poses: Float[np.ndarray, "n 4 4"]
    """camera_from_head"""
    eye_ratio: Float[np.ndarray, " n"]
    background: UInt8[np.ndarray, "h w 3"] | None
    """None: each avatar stands before its own."""
    samples: Float[np.ndarray, " n_samples"] | None = None
    """The sound of exactly these frames, -1…1 at 16 kHz; None where only what the encoder heard is known."""
    speech: Float[np.ndarray, " n_speech_samples"] | None = None
    """The whole sound that the frames were taken from."""
    backend: str = "auto"
    threads: int = 1
    """For rendering."""

    @staticmethod
    def of_training_clip(original: Avatar, encoder: AudioEncoder) -> SharedDrive:
        """The original's own training clip, which it holds as what the encoder heard. BadInput for an avatar that does not."""
        if original.audio_track is None:
            raise BadInput(f"avatar {original.name!r} does not hold what was said in its training clip; give --speech or --dataset")
        n_frames = len(original.pose_track)
        features = AudioFeatures(original.audio_track, 0)
        windows = windows_of(features, encoder, original.field_config.audio_window, np.arange(n_frames))
        return SharedDrive(encoder, "its training clip", windows, original.pose_track, original.eye_track, original.background)

    @staticmethod
    def of_speech(original: Avatar, encoder: AudioEncoder, samples: Float[np.ndarray, " n_samples"]) -> SharedDrive:
        """A sound, with the head and the eyes of the original's training clip, to and fro. BadInput for less than a frame of sound."""
        n_frames = len(samples) // SAMPLES_PER_FRAME
        if n_frames < 1:
            raise BadInput(f"speech of {len(samples)} samples at 16 kHz: one frame, {SAMPLES_PER_FRAME} samples, is the least")
        windows = clip_windows(samples, encoder, original.field_config.audio_window, n_frames)
        there = [to_and_fro(k, len(original.pose_track)) for k in range(n_frames)]
        track = original.pose_track[there], original.eye_track[there]
        return SharedDrive(encoder, "a sound", windows, *track, original.background, samples, samples)

    @staticmethod
    def of_dataset(
        original: Avatar, encoder: AudioEncoder, dataset: Dataset, samples: Float[np.ndarray, " n_samples"] | None = None
    ) -> SharedDrive:
        """A dataset's poses, blinks and background with its own sound, or with `samples`. BadInput as `Drive.prepare`."""
        drive = Drive.prepare(original, dataset, encoder, samples)
        there = [drive.pose_frame(k) for k in range(drive.n_frames)]
        said = "a dataset" if samples is None else "a sound, with a dataset's head"
        track = np.asarray(drive.poses)[there], np.asarray(dataset.track.eye_ratio)[there]
        return SharedDrive(encoder, said, drive.windows, *track, dataset.background, drive.samples, drive.samples)

    @property
    def n_frames(self) -> int:
        return len(self.windows)

    def cut(self, frames: range) -> SharedDrive:
        """Only these consecutive frames."""
        chosen = slice(frames.start, frames.stop)
        samples = self.samples
        if samples is not None:
            samples = samples[frames.start * SAMPLES_PER_FRAME : frames.stop * SAMPLES_PER_FRAME]
        return dataclasses.replace(
            self, windows=self.windows[chosen], poses=self.poses[chosen], eye_ratio=self.eye_ratio[chosen], samples=samples
        )

    def held(self) -> SharedDrive:
        """The same sound with the head held in the middle of its motion and the eyes open: only the sound moves anything."""
        middle = np.repeat(self.poses[self.n_frames // 2][None], self.n_frames, axis=0)
        return dataclasses.replace(self, poses=middle, eye_ratio=np.ones(self.n_frames, np.float32))

    def silent(self) -> SharedDrive:
        """One frame of silence, at the first frame's pose."""
        silence = np.tile(self.encoder.silence_features().astype(np.float32), (1, self.windows.shape[1], 1))
        return dataclasses.replace(self.cut(range(1)), windows=silence, samples=None)

    def sound(self, frames: range) -> Float[np.ndarray, " n_samples"]:
        """The sound of consecutive frames. ValueError where there is none."""
        if self.samples is None:
            raise ValueError("only what the encoder heard is known, not the sound")
        return self.samples[frames.start * SAMPLES_PER_FRAME : frames.stop * SAMPLES_PER_FRAME]

    def condition(self, k: int) -> FrameCondition:
        """Everything that frame `k` depends on, beside the avatar."""
        return FrameCondition(k, self.windows[k], self.poses[k], float(self.eye_ratio[k]), background=self.background)

    def pictures(self, avatar: Avatar, doing: str) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """All frames of an avatar at its camera's size, with a progress bar that says what is being done."""
        from tqdm import tqdm

        options = RenderOptions(size=avatar.camera.height, threads=self.threads)
        with contextlib.closing(open_backend(avatar, options, self.backend)) as runner:
            for k in tqdm(range(self.n_frames), doing, unit="frame", disable=not sys.stderr.isatty()):
                yield runner.render([self.condition(k)])[0]
