"""What the presenter's face does in each emotion, and when a take shows which.

A take holds one emotion, or shows all labels of AED-NeRF (section 3.3) in turn: five categories in three intensities, another one with each
sentence, in an order that is drawn anew when all have come. The face changes within TRANSITION_S in the middle of the pause between two
sentences; pictures in between have no label of their own and are marked, so that nothing is trained or measured on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from renderer.emotion import EMOTIONS as CATEGORIES
from renderer.emotion import INTENSITIES
from renderer.errors import BadInput
from renderer.types import FPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float32, Float64, Int16

EMOTIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"smile": 0.55, "cheek": 0.5, "squint": 0.35, "brow_out": 0.15},
    "sad": {"smile": -1.1, "brow_in": 0.9, "brow_out": -0.4, "squint": 0.15},
    "angry": {"smile": -0.9, "furrow": 0.9, "brow_in": -0.7, "squint": 0.45, "nose_wrinkle": 0.4},
    "surprised": {"smile": -0.25, "wide_eyes": 0.9, "brow_in": 0.8, "brow_out": 0.8},
    "fearful": {"smile": -0.6, "wide": 0.2, "wide_eyes": 0.9, "brow_in": 0.9, "brow_out": 0.3, "furrow": 0.2},
    "disgusted": {"smile": -0.8, "nose_wrinkle": 0.9, "upper_raise": 0.25, "squint": 0.35, "brow_in": -0.4},
}
"""Presenter parameters at full strength, added to what speech makes of them."""
EMOTION_NAMES: tuple[str, ...] = tuple(EMOTIONS)
EVERY_EMOTION = "all"
"""In the place of a name: all labels in turn."""
TRANSITION_S = 0.30
LABELS = (("neutral", 0.0), *((name, (level + 1) / len(INTENSITIES)) for name in CATEGORIES[1:] for level in range(len(INTENSITIES))))
"""The fifteen, of which the three neutral ones are one."""


@dataclass(frozen=True)
class EmotionTrack:
    """The emotion of every picture."""

    emotion: Int16[np.ndarray, " n_frames"]
    """index into EMOTION_NAMES; on the way from one to another, the nearer one"""
    intensity: Float32[np.ndarray, " n_frames"]
    """0 ... 1: weak 1/3, medium 2/3, strong 1"""
    steady: Bool[np.ndarray, " n_frames"]
    """False on the way from one label to another"""
    curves: dict[str, Float64[np.ndarray, " n_frames"]]
    """what is added to the presenter's parameters, by name"""


def check_emotion(name: str, strength: float) -> None:
    """Raise BadInput unless a take can show this."""
    if name not in (*EMOTION_NAMES, EVERY_EMOTION):
        raise BadInput(f"unknown emotion {name!r}; known: {', '.join(EMOTION_NAMES)}, or {EVERY_EMOTION}")
    if not 0.0 <= strength <= 1.0:
        raise BadInput(f"emotion strength {strength} is outside 0...1")


def held(name: str, strength: float, n_frames: int) -> EmotionTrack:
    """One emotion throughout."""
    return _track([(name, strength)], [], n_frames)


def in_turn(sentences_s: Sequence[tuple[float, float]], n_frames: int, rng: np.random.Generator) -> EmotionTrack:
    """All labels, another with each sentence; `sentences_s` are their starts and ends in seconds, in order of time."""
    labels: list[tuple[str, float]] = []
    deck: list[tuple[str, float]] = []
    for _ in range(max(1, len(sentences_s))):
        if not deck:
            deck = [LABELS[i] for i in rng.permutation(len(LABELS))]
        labels.append(deck.pop())
    borders_s = [(end + start) / 2.0 for (_, end), (start, _) in pairwise(sentences_s)]
    return _track(labels, borders_s, n_frames)


def _track(labels: Sequence[tuple[str, float]], borders_s: Sequence[float], n_frames: int) -> EmotionTrack:
    """`borders_s[i]` is where label i gives way to the next."""
    times_s = np.arange(n_frames) / FPS
    begun = np.ones((len(labels), n_frames))
    for i, border_s in enumerate(borders_s):
        share = np.clip((times_s - border_s) / TRANSITION_S + 0.5, 0.0, 1.0)
        begun[i + 1] = share * share * (3.0 - 2.0 * share)
    weights = begun - np.append(begun[1:], np.zeros((1, n_frames)), axis=0)
    nearest = weights.argmax(0)
    names = np.array([EMOTION_NAMES.index(name) for name, _ in labels], np.int16)
    strengths = np.array([strength for _, strength in labels], np.float32)
    same = (names[:, None] == names[nearest]) & (strengths[:, None] == strengths[nearest])
    curves = {
        parameter: np.array([strength * EMOTIONS[name].get(parameter, 0.0) for name, strength in labels]) @ weights
        for parameter in dict.fromkeys(parameter for name, _ in labels for parameter in EMOTIONS[name])
    }
    return EmotionTrack(names[nearest], strengths[nearest], (weights * same).sum(0) > 1.0 - 1e-6, curves)
