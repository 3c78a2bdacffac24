"""Lessons for the audio side alone: from the sound around a frame to how the mouth stands in it.

The audio feature extractor has to generalise from the few minutes of a clip to every voice. How a mouth moves can be learned from far
more speech than pictures are needed for: besides the clip itself, other datasets lend their sound and their tracks (for a synthetic
subject: takes of many voices at a tiny picture size). A linear read-out of the audio code must tell the articulation; it is thrown away
after training. An addition to RAD-NeRF, which learns the extractor from the colour loss only.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from editing.landmarks import INNER_LIPS, LANDMARK_NAMES, OUTER_LIPS
from editing.train.clip import training_frames
from renderer.audio.streaming import encode_all
from renderer.condition_stream import audio_window_from
from renderer.field.config import STEPS_PER_FRAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from editing.dataset import Dataset
    from renderer.audio.encoder import AudioEncoder
    from renderer.field.config import AudioWindowConfig
    from renderer.field.torch_field import TorchField

MOUTH_PARAMETERS = ("jaw", "wide", "pucker", "press", "fv", "upper_raise", "lower_drop", "tongue")
"""Of a synthetic subject's articulation. A person's is the shape of their lips; see `lip_shapes`."""
FARTHEST_FRAMES = 3
"""Between which the lips are taken to move evenly, 0.12 s."""
LIP_SHAPES, LEAST_SHARE = 6, 0.02
"""Principal components of a person's lips that are taught at most, and the least share of the variance that one must have."""


class SpeechLessons:
    """Random moments of all datasets with their audio windows and standardised targets.

    A moment is a step of the audio encoder, of which a frame has two. Between frames, and where a frame or two may not be used, targets are
    interpolated: however short the clip is, the code then moves from frame to frame as smoothly as the lips do.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        encoder: AudioEncoder,
        shape: AudioWindowConfig,
        frames: Sequence[Int[np.ndarray, " n"]] | None = None,
    ) -> None:
        """`frames` are those of each dataset that may be learned from (default: all that can be used)."""
        self._shape, self._silence = shape, encoder.silence_features()
        self._features = [encode_all(encoder, d.audio()) for d in datasets]
        allowed = list(frames) if frames is not None else [training_frames(d, "none") for d in datasets]
        targets = [mouth_targets(d, f) for d, f in zip(datasets, allowed, strict=True)]
        if len(datasets) > 1 and any(d.track.articulation is None for d in datasets):
            # Each person's lip shapes are their own.
            targets = [np.asarray(d.track.lip_opening)[:, None] for d in datasets]
        together = np.concatenate([t[f] for t, f in zip(targets, allowed, strict=True)])
        spread = together.std(0)
        used = spread > 1e-6
        standard = [((t - together.mean(0)) / np.maximum(spread, 1e-6))[:, used] for t in targets]
        moments = [between_frames(f, t) for f, t in zip(allowed, standard, strict=True)]
        self._steps, self._targets = [m[0] for m in moments], [m[1].astype(np.float32) for m in moments]
        self._lengths = np.array([len(steps) for steps in self._steps])

    @property
    def n_targets(self) -> int:
        return self._targets[0].shape[1]

    def batch(self, n: int, rng: np.random.Generator) -> tuple[Float[Tensor, "n steps dim"], Float[Tensor, "n targets"]]:
        sources = rng.choice(len(self._lengths), n, p=self._lengths / self._lengths.sum())
        chosen = (rng.random(n) * self._lengths[sources]).astype(int)
        windows = [self._window(s, int(self._steps[s][k])) for s, k in zip(sources, chosen, strict=True)]
        targets = [self._targets[s][k] for s, k in zip(sources, chosen, strict=True)]
        return torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(targets))

    def _window(self, source: int, step: int) -> Float[np.ndarray, "steps dim"]:
        features = self._features[source]
        return audio_window_from(features.steps, features.first_step, self._shape.first_step(0) + step, self._shape, self._silence)


def between_frames(
    frames: Int[np.ndarray, " n"], targets: Float[np.ndarray, "n_frames n_targets"]
) -> tuple[Int[np.ndarray, " n_moments"], Float[np.ndarray, "n_moments n_targets"]]:
    """All encoder steps from each of `frames` (ascending) to the next, unless that is too far away, and `targets` interpolated there."""
    steps = np.concatenate(
        [
            np.arange(STEPS_PER_FRAME * a, STEPS_PER_FRAME * b) if b - a <= FARTHEST_FRAMES else [STEPS_PER_FRAME * a]
            for a, b in pairwise(frames)
        ]
        + [frames[-1:] * STEPS_PER_FRAME]
    ).astype(int)
    known = targets[frames]
    return steps, np.stack([np.interp(steps / STEPS_PER_FRAME, frames, column) for column in known.T], axis=1)


def mouth_targets(dataset: Dataset, frames: Int[np.ndarray, " used"]) -> Float[np.ndarray, "n targets"]:
    """The mouth's parameters where the dataset has them, else the lips' shape in `frames`' terms; the opening always comes last."""
    track = dataset.track
    opening = np.asarray(track.lip_opening)[:, None]
    if track.articulation is not None:
        columns = [track.articulation_names.index(name) for name in MOUTH_PARAMETERS if name in track.articulation_names]
        return np.concatenate([np.asarray(track.articulation)[:, columns], opening], axis=1)
    if dataset.meta.landmark_names == LANDMARK_NAMES:
        return np.concatenate([lip_shapes(dataset, frames), opening], axis=1)
    return opening


def lip_shapes(dataset: Dataset, frames: Int[np.ndarray, " used"]) -> Float[np.ndarray, "n components"]:
    """How the lips stand in the head, whatever way it is turned: the leading principal components of their landmarks in `frames`.

    Landmarks are taken to where their rays meet the plane through the mouth that is parallel to the face.
    """
    lips = np.asarray(dataset.track.landmarks, np.float64)[:, [*OUTER_LIPS, *INNER_LIPS]]
    camera, pose = dataset.meta.camera, np.asarray(dataset.track.camera_from_head, np.float64)
    rays = np.concatenate([(lips - (camera.cx, camera.cy)) / (camera.fx, camera.fy), np.ones((*lips.shape[:2], 1))], axis=2)
    directions = rays @ pose[:, :3, :3]
    origins = -np.einsum("nji,nj->ni", pose[:, :3, :3], pose[:, :3, 3])[:, None]
    distance = (dataset.meta.audio_region.centre[2] - origins[..., 2]) / directions[..., 2]
    points = (origins + distance[..., None] * directions)[..., :2].reshape(len(lips), -1)
    points -= points[frames].mean(0)
    _, spread, axes = np.linalg.svd(points[frames], full_matrices=False)
    n = min(LIP_SHAPES, int((spread**2 > LEAST_SHARE * max((spread**2).sum(), 1e-12)).sum()))
    return np.asarray(points @ axes[:n].T)


def speech_loss(
    field: TorchField, read_out: torch.nn.Linear, windows: Float[Tensor, "n steps dim"], targets: Float[Tensor, "n targets"]
) -> Float[Tensor, ""]:
    """Mean squared error of the read-out, in units of the targets' variance."""
    return ((read_out(field.audio_codes(windows)) - targets) ** 2).mean()
