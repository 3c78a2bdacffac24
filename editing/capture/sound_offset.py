"""By how much a clip's sound is ahead of or behind its lips, and whether the two belong together at all.

The bundled encoder tells from the sound how open a mouth should be; the landmarks tell how open it is. Both curves lose what is slower
than speech and are compared at every shift. How well two curves fit that have nothing to do with each other is learned from the clip
itself: from shifts far beyond any error of recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.phones import VISEME_OF_PHONE_INDEX, VISEMES
from renderer.audio.framing import CENTRE_SAMPLES, STEP_SAMPLES
from renderer.types import FPS, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32


OPENNESS = {
    "silence": 0.0, "closed": 0.0, "labiodental": 0.12, "dental": 0.35, "alveolar": 0.35,
    "postalveolar": 0.4, "velar": 0.45, "round": 0.4, "spread": 0.5, "open": 1.0,
}  # fmt: skip
"""How far a mouth is open in each viseme, as a share of its widest."""
LARGEST_OFFSET_S = 0.4
STEP_S = 0.01
FAR_S = 1.0
"""Shifts beyond this tell how well unrelated curves fit."""
SLOW_S = 0.48
"""Standard deviation of the smoothing whose result is taken off: what is slower is not speech."""
MIN_CORRELATION = 0.2
MIN_SIGNIFICANCE = 3.0
"""Standard deviations above what unrelated curves reach."""


@dataclass(frozen=True)
class SoundOffset:
    """What the comparison found."""

    offset_s: float
    """positive: the sound is behind the lips and has to be moved earlier"""
    correlation: float
    """at that offset, -1…1"""
    significance: float
    """standard deviations above the correlation at far shifts"""
    curve: tuple[tuple[float, float], ...]
    """offset in s and correlation, over ±LARGEST_OFFSET_S"""

    @property
    def belongs_together(self) -> bool:
        """Whether the lips say what is heard."""
        return self.correlation >= MIN_CORRELATION and self.significance >= MIN_SIGNIFICANCE


def step_times(n_steps: int) -> Float[np.ndarray, " n_steps"]:
    """Middles of the encoder's steps, in s."""
    return (np.arange(n_steps) * STEP_SAMPLES + CENTRE_SAMPLES) / SAMPLE_RATE_HZ


def expected_opening(heard: Float[np.ndarray, "n_steps n_phones"]) -> Float[np.ndarray, " n_steps"]:
    """How open a mouth should be, 0…1, where an encoder whose classes are the project's phones heard this (log-probabilities)."""
    weights = np.array([OPENNESS[VISEMES[viseme]] for viseme in VISEME_OF_PHONE_INDEX])
    return np.asarray(np.exp(heard) @ weights)


def _quick(curve: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Without what is slower than speech."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(curve - gaussian_filter1d(curve, SLOW_S * FPS, mode="nearest"))


def find_offset(
    heard: Float[np.ndarray, "n_steps n_phones"],
    opening: Float[np.ndarray, " n_frames"],
    usable: Bool[np.ndarray, " n_frames"],
) -> SoundOffset:
    """Compare what the encoder heard with a clip's lips; frames that are not usable do not count."""
    from scipy.ndimage import gaussian_filter1d

    times, expected = step_times(len(heard)), gaussian_filter1d(expected_opening(heard), 2.0)
    frames = np.arange(len(opening))
    lips = _quick(np.interp(frames, frames[usable], opening[usable]))
    # A lip's picture is an exposure around the middle of its frame.
    centres = (frames + 0.5) / FPS

    def fit(offset_s: float) -> float:
        seen = usable & (centres + offset_s >= times[0]) & (centres + offset_s <= times[-1])
        if seen.sum() < FPS:
            return float("nan")
        said = _quick(np.interp(centres + offset_s, times, expected))
        a, b = lips[seen], said[seen]
        return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-9 and b.std() > 1e-9 else 0.0

    near = np.arange(-LARGEST_OFFSET_S, LARGEST_OFFSET_S + STEP_S / 2, STEP_S)
    curve = np.nan_to_num(np.array([fit(offset) for offset in near]))
    longest = len(opening) / FPS * 0.6
    far = np.array([fit(sign * offset) for offset in np.arange(FAR_S, max(FAR_S + 0.5, longest), 0.08) for sign in (-1.0, 1.0)])
    far = far[np.isfinite(far)]
    best = int(curve.argmax())
    spread = float(far.std()) if len(far) > 4 else 1.0
    return SoundOffset(
        offset_s=round(float(near[best]), 3),
        correlation=float(curve[best]),
        significance=float((curve[best] - (far.mean() if len(far) else 0.0)) / max(spread, 1e-6)),
        curve=tuple((round(float(o), 3), round(float(c), 4)) for o, c in zip(near, curve, strict=True)),
    )


def shifted(sound: Float32[np.ndarray, " n"], earlier_s: float) -> Float32[np.ndarray, " n"]:
    """The sound moved earlier by `earlier_s` (later if negative), silence where nothing is left."""
    samples = round(earlier_s * SAMPLE_RATE_HZ)
    moved = np.zeros_like(sound)
    if samples >= 0:
        moved[: len(sound) - samples] = sound[samples:]
    else:
        moved[-samples:] = sound[:samples]
    return moved
