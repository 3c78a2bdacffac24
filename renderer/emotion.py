"""Emotion as the field sees it (AED-NeRF, section 3.3): e = (e_c, e_i), a one-hot category beside a one-hot intensity.

The paper has fifteen labels, five categories in three intensities. A dial moves between them, which is an assumption beyond the paper:
strength runs from 0 to 1, where weak, medium and strong lie at 1/3, 2/3 and 1; between two of them the code is interpolated, and below weak
it is interpolated towards neutral. Neutral has one code whatever its strength, (1, 0, 0, 0, 0, 0, 0, 0): there is no strong neutral.
Codes between two emotions are possible, too; an avatar shows a face in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float

EMOTIONS = ("neutral", "angry", "fearful", "happy", "sad")
"""Categories, in the order of e_c."""
INTENSITIES = ("weak", "medium", "strong")
"""In the order of e_i."""
EMOTION_DIM = len(EMOTIONS) + len(INTENSITIES)


@dataclass(frozen=True)
class Emotion:
    """What a face is to show. Raises BadInput for a category that is not in EMOTIONS, or a strength outside 0...1."""

    category: str = "neutral"
    """One of EMOTIONS."""
    strength: float = 0.0
    """0 (neutral) ... 1 (strong); weak is 1/3, medium 2/3."""

    def __post_init__(self) -> None:
        if self.category not in EMOTIONS:
            raise BadInput(f"emotion {self.category!r} is unknown; {', '.join(EMOTIONS)} are possible")
        if not (math.isfinite(self.strength) and 0.0 <= self.strength <= 1.0):
            raise BadInput(f"emotion strength {self.strength:g} is outside 0...1")

    @staticmethod
    def parse(text: str) -> Emotion:
        """`NAME:STRENGTH`, e.g. happy:0.6; without a strength the emotion is strong. Raises BadInput."""
        name, colon, strength = text.partition(":")
        try:
            return Emotion(name, float(strength) if colon else 1.0)
        except ValueError as error:
            raise BadInput(f"emotion {text!r} is not NAME:STRENGTH, e.g. happy:0.6") from error


NEUTRAL = Emotion()


def emotion_code(emotion: Emotion) -> Float[np.ndarray, " 8"]:
    """e = (e_c, e_i) of AED-NeRF, float32, interpolated between the fifteen labels as the module says."""
    position = len(INTENSITIES) * (0.0 if emotion.category == "neutral" else emotion.strength)
    below = min(int(position), len(INTENSITIES) - 1)
    share = position - below
    code = (1.0 - share) * _label_code(emotion.category, below) + share * _label_code(emotion.category, below + 1)
    return np.asarray(code, dtype=np.float32)


def emotion_codes(emotions: list[Emotion]) -> Float[np.ndarray, "n 8"]:
    """The same of several."""
    return np.stack([emotion_code(emotion) for emotion in emotions]) if emotions else np.zeros((0, EMOTION_DIM), np.float32)


def _label_code(category: str, level: int) -> Float[np.ndarray, " 8"]:
    """Of one label: level 0 is neutral, 1...3 are the intensities."""
    code = np.zeros(EMOTION_DIM)
    code[EMOTIONS.index(category if level else "neutral")] = 1.0
    if level:
        code[len(EMOTIONS) + level - 1] = 1.0
    return code
