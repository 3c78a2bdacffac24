"""Phones held longer than a synthesiser ever holds them: the hummed "m" at the end of what a person says.

A stretch of one phone is prolonged by repeating its last few pitch periods, fading by a few decibels. Labels are one to
`LABEL_SAMPLES` samples and grow with the sound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.audio_encoder.voices import LABEL_SAMPLES
from editing.phones import PHONE_INDEX, SILENCE

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

# How readily each phone is held, relative to the others; the closed lips of M matter most.
_READINESS = {"M": 6.0, "N": 2.5, "L": 2.0, "V": 2.0, "F": 2.0, "NG": 1.0, "R": 1.0, "S": 1.0, "UW": 1.0, "AA": 1.0}
_READINESS |= {"OW": 1.0, "IY": 1.0, "EY": 1.0, "ER": 1.0, "AO": 1.0, "Z": 1.0, "AY": 1.0}
BEFORE_PAUSE = 4.0
"""How much more readily a phone is held before a pause."""
MIN_RUN_LABELS = 5
MIN_LOOP_SAMPLES, MAX_LOOP_SAMPLES = 240, 400  # 15...25 ms: whole periods of voices from 67 Hz
MIN_HELD_LABELS, MAX_HELD_LABELS = 4, 26
FADE_SAMPLES = 64
DEEPEST_FADE_DB = 18.0

_WEIGHTS = np.zeros(256)
_WEIGHTS[[PHONE_INDEX[phone] for phone in _READINESS]] = list(_READINESS.values())


def with_held_phone(
    samples: Float32[np.ndarray, " n_samples"], labels: UInt8[np.ndarray, " n_labels"], generator: np.random.Generator
) -> tuple[Float32[np.ndarray, " n_longer"], UInt8[np.ndarray, " n_longer_labels"]]:
    """The sound with one of its phones held, or unchanged where none can be."""
    borders = np.flatnonzero(np.diff(labels)) + 1
    starts, ends = np.concatenate([[0], borders]), np.concatenate([borders, [len(labels)]])
    weights = _WEIGHTS[labels[starts]] * (ends - starts >= MIN_RUN_LABELS) * (starts > 0) * (ends < len(labels))
    following = labels[np.minimum(ends, len(labels) - 1)]
    weights = weights * np.where(following == PHONE_INDEX[SILENCE], BEFORE_PAUSE, 1.0)
    if not weights.any():
        return samples, labels
    run = generator.choice(len(starts), p=weights / weights.sum())
    first, end = int(starts[run]), int(ends[run])
    label_at = first + max(3, (end - first) * 2 // 3)
    at = label_at * LABEL_SAMPLES
    held_labels = int(generator.integers(MIN_HELD_LABELS, MAX_HELD_LABELS + 1))
    length = held_labels * LABEL_SAMPLES
    period = _period(samples, at)
    ramp = np.linspace(0.0, 1.0, FADE_SAMPLES, dtype=np.float32)
    loop = samples[at - period : at].copy()
    # The loop's end flows into its beginning, and so must the original into the first repetition.
    earlier = samples[at - period - FADE_SAMPLES : at - period]
    loop[-FADE_SAMPLES:] = loop[-FADE_SAMPLES:] * (1.0 - ramp) + earlier * ramp
    held = np.resize(loop, length + FADE_SAMPLES)
    # The last repetition flows into what followed, and the sound goes on at the level that the hold has faded to.
    fall_db = generator.uniform(0.0, DEEPEST_FADE_DB)
    gain = 10 ** (-fall_db * np.arange(length + FADE_SAMPLES) / length / 20.0)
    held = held * gain.astype(np.float32)
    rest = samples[at:].copy()
    in_run = min(end * LABEL_SAMPLES - at, len(rest))
    rest[:in_run] *= np.float32(gain[-1])
    rest[:FADE_SAMPLES] = rest[:FADE_SAMPLES] * ramp + held[length:] * (1.0 - ramp)
    longer = np.concatenate([samples[: at - period], loop, held[:length], rest])
    return longer, np.insert(labels, label_at, np.full(held_labels, labels[first]))


def _period(samples: Float32[np.ndarray, " n_samples"], at: int) -> int:
    """Length of the loop before sample `at` that repeats most smoothly."""
    span = min(at, 2 * MAX_LOOP_SAMPLES)
    before = samples[at - span : at].astype(np.float64)
    tail = before[-MIN_LOOP_SAMPLES // 2 :]
    best, best_match = MIN_LOOP_SAMPLES, -np.inf
    for lag in range(MIN_LOOP_SAMPLES, min(MAX_LOOP_SAMPLES, span - len(tail)) + 1, 2):
        earlier = before[span - lag - len(tail) : span - lag]
        match = float(tail @ earlier) / (float(np.sqrt(earlier @ earlier)) + 1e-9)
        if match > best_match:
            best, best_match = lag, match
    return best
