"""What is known of the frames besides their pixels: landmarks, labels, the person's mask.

The built-in editor works by it. Make it once, from the original frames, and use it in every round of edits: landmarks are hard to find in
a picture that is already a pencil sketch, and a sketch of a sketch is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.person_parsing import parse_people
from editing.landmarks import N_LANDMARKS
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float32, Int, UInt8

    from editing.image_editors.editor import Progress
    from editing.landmarks import LandmarkDetector


@dataclass(frozen=True)
class Guide:
    """All of it is optional; what is missing is looked for in the frames."""

    landmarks: Float32[np.ndarray, "n 478 2"] | None = None
    """pixels"""
    labels: UInt8[np.ndarray, "n h w"] | None = None
    """ids of `editing.capture.labels.LABELS`"""
    person: Float32[np.ndarray, "n h w"] | None = None
    """how much of each pixel is the person, torso too, 0…1, such as a renderer's alpha"""
    originals: UInt8[np.ndarray, "n h w 3"] | None = None
    """the frames as they were before any edit, RGB"""

    def check(self, shape: tuple[int, int, int]) -> None:
        """BadInput unless everything fits frames of this n, height, width."""
        wanted = {"landmarks": (shape[0], N_LANDMARKS, 2), "labels": shape, "person": shape, "originals": (*shape, 3)}
        for name, fits in wanted.items():
            value = getattr(self, name)
            if value is not None and value.shape != fits:
                raise BadInput(f"guide: {name} have shape {value.shape}, wanted {fits}")

    def part(self, chosen: slice | Int[np.ndarray, " k"]) -> Guide:
        """Of some of the frames."""
        values = (self.landmarks, self.labels, self.person, self.originals)
        return Guide(*(None if value is None else value[chosen] for value in values))

    def completed(
        self,
        frames: UInt8[np.ndarray, "n h w 3"],
        indices: Sequence[int] | None = None,
        detector: LandmarkDetector | None = None,
        progress: Progress | None = None,
    ) -> Guide:
        """With landmarks and labels of all `frames`, which are the originals where the guide has none.

        Colours of hair, skin and clothes are learned from all of them and then held.

        Raises BadInput where a frame shows no face, or where the landmark model is missing (FACE_LANDMARKER_TASK).
        """
        self.check((len(frames), frames.shape[1], frames.shape[2]))
        landmarks = self.landmarks
        if landmarks is None:
            landmarks = find_landmarks(frames, indices, detector, progress)
        labels = self.labels
        if labels is None:
            labels = parse_people(frames, landmarks, self.person)
        return Guide(landmarks, labels, self.person, frames if self.originals is None else self.originals)


def find_landmarks(
    frames: UInt8[np.ndarray, "n h w 3"],
    indices: Sequence[int] | None = None,
    detector: LandmarkDetector | None = None,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "n 478 2"]:
    """Of the one face in every frame."""
    from editing.landmarks import LandmarkDetector

    ours = detector or LandmarkDetector()
    found = np.zeros((len(frames), N_LANDMARKS, 2), np.float32)
    try:
        for k, frame in enumerate(frames):
            points = ours.detect(frame)
            if points is None:
                number = k if indices is None else indices[k]
                raise BadInput(f"frame {number}: no face is found; the built-in editor needs one, or a guide made from the original frames")
            found[k] = points
            if progress:
                progress(k + 1)
    finally:
        if detector is None:
            ours.close()
    return found
