"""The One Euro filter (Casiez, Roussel, Vogel: "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
Systems", CHI 2012): steady at rest, prompt in motion.

An exponential low-pass whose cutoff grows with the speed of the signal,

    f_c = f_cmin + beta |dx/dt|        alpha = 1 / (1 + tau / T),  tau = 1 / (2 pi f_c)

where dx/dt is itself low-passed at a fixed cutoff. At rest, where jitter is seen and lag is not, f_cmin holds; in motion, where lag is
seen and jitter is not, the cutoff follows the speed. The components of a vector are filtered one by one. Times in seconds, cutoffs in Hz.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

SPEED_CUTOFF_HZ = 1.0
"""d_cutoff, the paper's own choice."""


@dataclass(frozen=True)
class OneEuroSettings:
    """Of one component."""

    min_cutoff_hz: float
    """f_cmin: lower is steadier at rest."""
    beta: float
    """Hz by unit/s: higher lags less in motion."""


class OneEuroFilter:
    """Filters one vector signal; samples may come at uneven times."""

    def __init__(self, settings: tuple[OneEuroSettings, ...]) -> None:
        self._min_cutoff_hz = np.array([component.min_cutoff_hz for component in settings])
        self._beta = np.array([component.beta for component in settings])
        self._value: Float[np.ndarray, " n"] | None = None
        self._speed: Float[np.ndarray, " n"] = np.zeros(len(settings))
        self._time_s = 0.0

    def reset(self) -> None:
        """The next sample is taken as it is."""
        self._value = None

    def push(self, time_s: float, value: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The filtered value at `time_s`, which must be later than the one before (ValueError)."""
        if self._value is None:
            self._value, self._speed = np.array(value, float), np.zeros(len(value))
        else:
            elapsed_s = time_s - self._time_s
            if elapsed_s <= 0.0:
                raise ValueError(f"a sample at {time_s:g} s; later than {self._time_s:g} s was expected")
            speed = (value - self._value) / elapsed_s
            self._speed = self._speed + _share(np.full(len(value), SPEED_CUTOFF_HZ), elapsed_s) * (speed - self._speed)
            cutoff_hz = self._min_cutoff_hz + self._beta * np.abs(self._speed)
            self._value = self._value + _share(cutoff_hz, elapsed_s) * (value - self._value)
        self._time_s = time_s
        return self._value


def _share(cutoff_hz: Float[np.ndarray, " n"], elapsed_s: float) -> Float[np.ndarray, " n"]:
    """alpha: of the way to the new sample."""
    share: Float[np.ndarray, " n"] = 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cutoff_hz * elapsed_s))
    return share
