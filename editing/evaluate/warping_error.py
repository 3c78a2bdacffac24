"""The warping error E_w of Instruct-NeuralTalker (equation 11, after Lei et al. 2023): does a picture flicker from frame to frame?

    E_pair(O_t, O_s) = ||M_{t,s} ⊙ (O_t − Ô_s)||_1,    E_warp^t = E_pair(O_t, O_{t−1}) + E_pair(O_t, O_1)

Ô_s is O_s warped by the optical flow from t to s, M the pixels of t that s shows. E_w is the mean over the frames t = 2 … n. Colours are
0…1. The paper does not say what the norm is divided by; here it is the mean over the visible pixels and the channels, as in the public
programs for Lai et al.'s error, so that hidden pixels do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.evaluate.optical_flow import visible, warp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jaxtyping import Bool, Float32, UInt8

    Flow = Callable[[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]], Float32[np.ndarray, "h w 2"]]

LEAST_FRAMES = 2
LEVELS = 255.0


@dataclass(frozen=True)
class WarpingError:
    """Of a clip."""

    short_term: float
    """mean E_pair(O_t, O_{t−1})"""
    long_term: float
    """mean E_pair(O_t, O_1)"""
    visible_short_term: float
    """mean share of the pixels that count"""
    visible_long_term: float

    @property
    def total(self) -> float:
        """E_w."""
        return self.short_term + self.long_term


def pair_error(
    t: UInt8[np.ndarray, "h w 3"], s: UInt8[np.ndarray, "h w 3"], there: Float32[np.ndarray, "h w 2"], shown: Bool[np.ndarray, "h w"]
) -> float:
    """E_pair of two pictures by the flow from t to s; 0 where no pixel is visible in both."""
    if not shown.any():
        return 0.0
    apart = np.abs(t / np.float32(LEVELS) - warp(s / np.float32(LEVELS), there))
    return float(apart[shown].mean(dtype=np.float64))


def warping_errors(
    moving: Iterable[UInt8[np.ndarray, "h w 3"]], judged: Iterable[UInt8[np.ndarray, "h w 3"]], flow: Flow
) -> list[WarpingError]:
    """E_w of the clip `moving` by its own flow, and of `judged` by the flow and the masks of `moving`: two clips of the same motion.

    ValueError for fewer than two frames. Holds no more than the first and the previous frame of each.
    """
    errors: list[list[tuple[float, float]]] = []
    shares: list[tuple[float, float]] = []
    first: tuple[np.ndarray, np.ndarray] | None = None
    previous: tuple[np.ndarray, np.ndarray] | None = None
    for pair in zip(moving, judged, strict=True):
        if first is None or previous is None:
            first = previous = pair
            continue
        found, counted = [], []
        for earlier in (previous, first):
            there, back = flow(pair[0], earlier[0]), flow(earlier[0], pair[0])
            shown = visible(there, back)
            found.append((pair_error(pair[0], earlier[0], there, shown), pair_error(pair[1], earlier[1], there, shown)))
            counted.append(float(shown.mean()))
        errors.append(found)
        shares.append((counted[0], counted[1]))
        previous = pair
    if not errors:
        raise ValueError("a warping error needs two frames or more")
    short, long = np.array(errors).mean(0)
    seen = np.array(shares).mean(0)
    return [WarpingError(float(short[clip]), float(long[clip]), float(seen[0]), float(seen[1])) for clip in (0, 1)]
