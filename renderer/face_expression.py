"""A face's expression out of its blendshapes: what moves the emotion where the avatar follows a camera.

The rule
--------
Of the scores that a face tracker gives (ARKit's names, 0...1, left and right averaged), four sums are made:

    happy     mouthSmile
    sad       mouthFrown + mouthShrugLower / 2
    angry     browDown + noseSneer
    fearful   eyeWide + jawOpen / 4 + browInnerUp / 4

Each is taken against the same face at rest (below it is 0), divided by what a full expression of it reaches (`FULL`), and averaged over
`AVERAGE_S`, so that a word's lip movements count little. The largest is the category;

    strength = (largest - second largest - 0.15) / 0.6, held within 0...1

so one category gives way to another only through neutral, and a face that could be either shows nothing.

Its limits
----------
A smile is found well. The scores of the other three are small and differ from person to person, and speech opens the jaw. It moves a
puppet's face; it is no recognition of anybody's feelings.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from renderer.emotion import NEUTRAL, Emotion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float

CATEGORIES = ("happy", "sad", "angry", "fearful")
"""In the order of the scores."""
PARTS: dict[str, dict[str, float]] = {
    "happy": {"mouthSmile": 1.0},
    "sad": {"mouthFrown": 1.0, "mouthShrugLower": 0.5},
    "angry": {"browDown": 1.0, "noseSneer": 1.0},
    "fearful": {"eyeWide": 1.0, "jawOpen": 0.25, "browInnerUp": 0.25},
}
FULL = {"happy": 0.8, "sad": 0.4, "angry": 0.5, "fearful": 0.5}
"""Of the sums, above rest."""
AVERAGE_S = 0.3
DEAD_SHARE, FULL_SHARE = 0.15, 0.75


def expression_scores(blendshapes: Mapping[str, float]) -> Float[np.ndarray, " 4"]:
    """The four sums of the rule, in the order of CATEGORIES; a blendshape that is not there counts as 0."""

    def both(name: str) -> float:
        if name in blendshapes:
            return blendshapes[name]
        return 0.5 * (blendshapes.get(f"{name}Left", 0.0) + blendshapes.get(f"{name}Right", 0.0))

    return np.array([sum(weight * both(name) for name, weight in PARTS[category].items()) for category in CATEGORIES])


class FaceExpression:
    """Follows one face; see the module for the rule. Pure: every call is told the time, in s."""

    def __init__(self) -> None:
        self._average: Float[np.ndarray, " 4"] = np.zeros(len(CATEGORIES))
        self._time_s: float | None = None

    def push(self, time_s: float, scores: Float[np.ndarray, " 4"], rest: Float[np.ndarray, " 4"]) -> Emotion:
        """What the face shows now, given what it shows at rest."""
        full = np.array([FULL[category] for category in CATEGORIES])
        above = np.clip(scores - rest, 0.0, None) / full
        elapsed_s = 0.0 if self._time_s is None else max(0.0, time_s - self._time_s)
        self._time_s = time_s
        self._average = self._average + (1.0 - math.exp(-elapsed_s / AVERAGE_S)) * (above - self._average)
        second, first = np.sort(self._average)[-2:]
        strength = float(np.clip((first - second - DEAD_SHARE) / (FULL_SHARE - DEAD_SHARE), 0.0, 1.0))
        return Emotion(CATEGORIES[int(self._average.argmax())], strength) if strength > 0.0 else NEUTRAL

    def forget(self) -> None:
        """The face is gone: the next one begins neutral."""
        self._average, self._time_s = np.zeros(len(CATEGORIES)), None
