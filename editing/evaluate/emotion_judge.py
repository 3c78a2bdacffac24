"""Which emotion a picture shows, and how strongly: a judge that learns from labelled pictures of the same person.

What it sees of a face are MediaPipe's blendshape scores and the landmarks of brows, lids, lips, cheeks and the bridge of the nose, after
the whole face was turned, shifted and scaled onto a reference by points that move with the skull. Features are standardised.

category   linear discriminant analysis over the labels (a category in one intensity is a class): the label whose mean is nearest by the
           pooled covariance, which is shrunk towards its diagonal
strength   for each category a ridge regression of the strength, 0 (neutral) to 1 (strong), on its own and the neutral pictures
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.landmarks import (
    EYE_CORNERS,
    FOREHEAD,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    NOSE_BASE,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
)
from renderer.emotion import EMOTIONS, Emotion
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

    from editing.dataset import Dataset
    from editing.landmarks import Face, LandmarkDetector

RIGID = (*EYE_CORNERS, NOSE_BASE, FOREHEAD, 168, 6, 127, 356)
"""Move with the skull: corners of the eyes, base and bridge of the nose, forehead, temples."""
CHEEKS, GLABELLA = (50, 280, 205, 425, 101, 330, 117, 346), (8, 9, 193, 417)
SHOWN = (*RIGHT_BROW, *LEFT_BROW, *RIGHT_EYE, *LEFT_EYE, *OUTER_LIPS, *INNER_LIPS, *CHEEKS, *GLABELLA)
SHRINKAGE = 0.1
"""Share of the diagonal in the pooled covariance."""
RIDGE = 0.03
"""Of the strength's regression: share of the number of pictures."""
PICTURES_A_LABEL = 60


@dataclass(frozen=True)
class EmotionJudge:
    """See the module. Labels and their order are those of the pictures that it learned from."""

    reference: Float[np.ndarray, "n_rigid 3"]
    """onto which faces are laid; picture sizes cancel"""
    mean: Float[np.ndarray, " n_features"]
    spread: Float[np.ndarray, " n_features"]
    labels: tuple[Emotion, ...]
    weights: Float[np.ndarray, "n_labels n_features"]
    offsets: Float[np.ndarray, " n_labels"]
    """of the discriminants w·x + b"""
    strength: dict[str, tuple[Float[np.ndarray, " n_features"], float]]
    """w and b of each category but neutral"""

    @staticmethod
    def learn(dataset: Dataset, detector: LandmarkDetector, per_label: int = PICTURES_A_LABEL) -> EmotionJudge:
        """From at most `per_label` pictures of each label, spread over the dataset. Raises BadInput where there is one label only."""
        from tqdm import tqdm

        if not dataset.has_emotions():
            raise BadInput(f"{dataset.path} shows one emotion only; a judge learns from several (synthesize --emotion all)")
        number, usable = dataset.label_index(), dataset.usable()
        faces: list[Face] = []
        emotions: list[Emotion] = []
        for label in tqdm(np.unique(number[usable]), "learning emotions", unit="label", disable=not sys.stderr.isatty()):
            there = np.flatnonzero(usable & (number == label))
            emotion = dataset.emotion(int(there[0]))
            for k in there[np.unique(np.linspace(0, len(there) - 1, per_label).astype(int))]:
                face = detector.detect_face(np.asarray(dataset.frames[k]))
                if face is not None:
                    faces.append(face)
                    emotions.append(emotion)
        return EmotionJudge.of_faces(faces, emotions)

    @staticmethod
    def of_faces(faces: Sequence[Face], emotions: Sequence[Emotion]) -> EmotionJudge:
        """From faces whose emotions are known. Raises BadInput for fewer than two labels, or a category without a neutral face."""
        labels = tuple(sorted(set(emotions), key=lambda e: (EMOTIONS.index(e.category), e.strength)))
        if len(labels) < 2 or labels[0].category != "neutral":
            names = ", ".join(dict.fromkeys(label.category for label in labels)) or "none"
            raise BadInput(f"pictures with a face show {names}: neutral and at least one other emotion are needed")
        reference = _points(faces[0])[list(RIGID)]
        reference = (reference - reference.mean(0)) / np.sqrt(((reference - reference.mean(0)) ** 2).sum(1).mean())
        raw = np.stack([features(face, reference) for face in faces])
        mean, spread = raw.mean(0), raw.std(0) + 1e-6
        x = (raw - mean) / spread
        index = np.array([labels.index(emotion) for emotion in emotions])
        means = np.stack([x[index == k].mean(0) for k in range(len(labels))])
        within = x - means[index]
        covariance = within.T @ within / len(x)
        covariance = (1.0 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
        weights = np.linalg.solve(covariance, means.T).T
        offsets = -0.5 * (weights * means).sum(1)
        strength = {}
        for category in {label.category for label in labels} - {"neutral"}:
            chosen = np.array([emotion.category in ("neutral", category) for emotion in emotions])
            strength[category] = _ridge(x[chosen], np.array([e.strength for e in emotions])[chosen])
        return EmotionJudge(reference, mean, spread, labels, weights, offsets, strength)

    def category(self, face: Face) -> str:
        """The emotion that the face shows."""
        return self.labels[int(np.argmax(self.weights @ self._seen(face) + self.offsets))].category

    def strength_of(self, face: Face, category: str) -> float:
        """How strongly it shows this one: about 0 neutral, 1 strong."""
        weights, offset = self.strength[category]
        return float(weights @ self._seen(face) + offset)

    def _seen(self, face: Face) -> Float[np.ndarray, " n_features"]:
        return (features(face, self.reference) - self.mean) / self.spread


def features(face: Face, reference: Float[np.ndarray, "n_rigid 3"]) -> Float[np.ndarray, " n_features"]:
    """Of one face: places of SHOWN in the reference's plane (in units of its spread), then the blendshapes in order of name."""
    points = _points(face)
    rigid = points[list(RIGID)]
    centred = rigid - rigid.mean(0)
    u, _, vt = np.linalg.svd(centred.T @ reference)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    size = np.sqrt((centred**2).sum(1).mean())
    laid = (points - rigid.mean(0)) @ turn / size
    return np.concatenate([laid[list(SHOWN), :2].reshape(-1), [face.blendshapes[name] for name in sorted(face.blendshapes)]])


def _points(face: Face) -> Float[np.ndarray, "478 3"]:
    return np.column_stack([face.landmarks, face.depth]).astype(np.float64)


def _ridge(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " d"], float]:
    mean = x.mean(0)
    centred = x - mean
    weights = np.linalg.solve(centred.T @ centred + RIDGE * len(x) * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
    return weights, float(y.mean() - weights @ mean)


def confusion(shown: Sequence[str], seen: Sequence[str]) -> Int[np.ndarray, "5 5"]:
    """How often each emotion (row) was taken for each (column)."""
    counts = np.zeros((len(EMOTIONS), len(EMOTIONS)), int)
    for a, b in zip(shown, seen, strict=True):
        counts[EMOTIONS.index(a), EMOTIONS.index(b)] += 1
    return counts
