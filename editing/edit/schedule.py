"""When which frames are edited, and how strongly: the paper's progressive dataset update and the two baselines it is held against.

progressive   all frames, `rounds` times; guidance and diffusion steps grow from round to round (equation 3), each round edits what the
              field renders by then, and there is no extra image condition
one-time      all frames once, with the upper ends of both ranges
iterative     a few frames at a time, as in Instruct-NeRF2NeRF, with the original picture as the extra image condition
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from renderer.errors import BadInput

Strategy = Literal["progressive", "one-time", "iterative"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
ITERATIVE_PASSES, ITERATIVE_ROUNDS_A_PASS = 2, 10
"""How often each frame is edited in the iterative baseline, and in how many portions a pass is done."""


@dataclass(frozen=True)
class Round:
    """One update of the dataset and the optimisation that follows it."""

    frames: tuple[int, ...]
    """Which of the edit's frames are edited, 0 … n − 1."""
    text_guidance: float
    steps: int
    """Of the diffusion."""
    original_condition: bool
    """Whether the editor sees the original picture besides the frame."""
    share: float
    """Of the whole optimisation's steps."""


@dataclass(frozen=True)
class EditSchedule:
    """The paper's numbers (supplement, "Implementation Details")."""

    strategy: Strategy = "progressive"
    rounds: int = 3
    """K."""
    frames: int = 200
    """N."""
    text_guidance: tuple[float, float] = (3.0, 6.0)
    """[s_l, s_u]."""
    diffusion_steps: tuple[int, int] = (10, 20)
    """[t_l, t_u]."""

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise BadInput(f"--strategy {self.strategy}: one of {', '.join(STRATEGIES)} is possible")
        if not 1 <= self.rounds <= 20:
            raise BadInput(f"--rounds {self.rounds}: 1 to 20 are possible")
        if not 4 <= self.frames <= 10_000:
            raise BadInput(f"--frames {self.frames}: 4 to 10,000 are possible")
        for name, (low, high) in (("--text-guidance", self.text_guidance), ("--diffusion-steps", self.diffusion_steps)):
            if not 0 < low <= high:
                raise BadInput(f"{name} {low:g} {high:g}: two numbers above 0, the second at least the first, are wanted")

    def guidance(self, index: int) -> tuple[float, int]:
        """s_i and t_i of update `index` = i − 1 (equation 3)."""
        way = index / (self.rounds - 1) if self.rounds > 1 else 1.0
        (s_low, s_high), (t_low, t_high) = self.text_guidance, self.diffusion_steps
        return s_low + way * (s_high - s_low), t_low + math.floor(way * (t_high - t_low))

    def plan(self, n_frames: int) -> list[Round]:
        """All rounds over `n_frames` frames."""
        every = tuple(range(n_frames))
        s_high, t_high = self.text_guidance[1], self.diffusion_steps[1]
        if self.strategy == "one-time":
            return [Round(every, s_high, t_high, False, 1.0)]
        if self.strategy == "progressive":
            return [Round(every, *self.guidance(k), False, 1.0 / self.rounds) for k in range(self.rounds)]
        portions = [tuple(int(k) for k in part) for part in np.array_split(np.arange(n_frames), min(n_frames, ITERATIVE_ROUNDS_A_PASS))]
        n = ITERATIVE_PASSES * len(portions)
        return [Round(portions[k % len(portions)], s_high, t_high, True, 1.0 / n) for k in range(n)]
