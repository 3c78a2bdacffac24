"""The way from the emotion that is shown to the one that is wished, frame by frame.

A face does not change its expression from one picture to the next: the code of `renderer.emotion` moves in a straight line, and no
component by more than `MAX_STEP` a frame, so that from one strong emotion to another the face takes 1 / MAX_STEP frames. The first step
is a whole one: a dial that begins gently would be seen late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

MAX_STEP = 0.2
"""Of any component of the code, a frame: the longest way takes five frames, 200 ms, and no step is near that of a blink."""


class EmotionGlide:
    """Emotion codes as a function of the frame's index alone, so that frames may be left out, or asked for again."""

    def __init__(self, code: Float[np.ndarray, " 8"], goal: Float[np.ndarray, " 8"], frame: int) -> None:
        """`code` is shown up to `frame`; from the next one on it goes to `goal`."""
        self._code, self._goal, self._frame = code, goal, frame
        self._n_frames = float(np.abs(goal - code).max()) / MAX_STEP

    def at(self, frame: int) -> Float[np.ndarray, " 8"]:
        """The code of a frame, float32."""
        passed = max(0, frame - self._frame)
        if passed >= self._n_frames:
            return self._goal
        return self._code + np.float32(passed / self._n_frames) * (self._goal - self._code) if passed else self._code

    def turned(self, goal: Float[np.ndarray, " 8"], frame: int) -> EmotionGlide:
        """The same way up to `frame`, and from there to another goal."""
        return self if np.array_equal(goal, self._goal) else EmotionGlide(self.at(frame), goal, frame)
