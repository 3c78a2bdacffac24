"""Lessons for the audio side alone: from the sound around a frame to how the mouth stands in it.

The audio feature extractor has to generalise from the few minutes of a clip to every voice. How a mouth moves can be learned from far
more speech than pictures are needed for: besides the clip itself, other datasets lend their sound and their tracks (for a synthetic
subject: takes of many voices at a tiny picture size). A linear read-out of the audio code must tell the articulation; it is thrown away
after training. An addition to RAD-NeRF, which learns the extractor from the colour loss only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from editing.landmarks import INNER_LIPS, LANDMARK_NAMES, OUTER_LIPS
from editing.train.clip import training_frames
from renderer.audio.streaming import encode_all
from renderer.condition_stream import audio_window_at

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
LIP_SHAPES, LEAST_SHARE = 6, 0.02
"""Principal components of a person's lips that are taught at most, and the least share of the variance that one must have."""


class SpeechLessons:
    """Random frames of all datasets with their audio windows and standardised targets."""

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
        self._frames = list(frames) if frames is not None else [training_frames(d, "none") for d in datasets]
        targets = [mouth_targets(d, f) for d, f in zip(datasets, self._frames, strict=True)]
        if len(datasets) > 1 and any(d.track.articulation is None for d in datasets):
            # Each person's lip shapes are their own.
            targets = [np.asarray(d.track.lip_opening)[:, None] for d in datasets]
        together = np.concatenate([t[f] for t, f in zip(targets, self._frames, strict=True)])
        spread = together.std(0)
        used = spread > 1e-6
        self._targets = [((t - together.mean(0)) / np.maximum(spread, 1e-6))[:, used].astype(np.float32) for t in targets]
        self._lengths = np.array([len(f) for f in self._frames])

    @property
    def n_targets(self) -> int:
        return self._targets[0].shape[1]

    def batch(self, n: int, rng: np.random.Generator) -> tuple[Float[Tensor, "n steps dim"], Float[Tensor, "n targets"]]:
        sources = rng.choice(len(self._lengths), n, p=self._lengths / self._lengths.sum())
        chosen = (rng.random(n) * self._lengths[sources]).astype(int)
        frames = [self._frames[s][k] for s, k in zip(sources, chosen, strict=True)]
        windows = [
            audio_window_at(self._features[s].steps, self._features[s].first_step, int(k), self._shape, self._silence)
            for s, k in zip(sources, frames, strict=True)
        ]
        targets = [self._targets[s][k] for s, k in zip(sources, frames, strict=True)]
        return torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(targets))


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
