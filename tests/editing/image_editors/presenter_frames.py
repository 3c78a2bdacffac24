"""The synthetic presenter as a talking head to edit: pictures, labels, and landmarks as MediaPipe saw them in these very pictures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from editing.image_editors.guide import Guide
from editing.synthesize.presenter import Presenter

SIZE_PX = 256
LANDMARKS = Path(__file__).with_name("presenter_landmarks.npy")
"""float32 [4, 478, 2] of FRAMES."""
FRAMES: tuple[dict[str, float], ...] = (
    {},
    {"yaw": 1.0, "shift_x": 0.012},
    {"jaw": 0.55},
    {"jaw": 0.3, "yaw": -14.0, "pitch": 5.0, "roll": 4.0},
)
"""At rest; a frame later; mouth open; turned aside."""
REST, NEXT, OPEN, TURNED = range(4)


@lru_cache(maxsize=1)
def presenter_frames() -> tuple[np.ndarray, Guide]:
    """uint8 [4, 256, 256, 3] and all that is known of them."""
    presenter = Presenter()
    shown = [presenter.render(presenter.articulation(**values), SIZE_PX, 2) for values in FRAMES]
    frames, labels = (np.stack(list(part)) for part in zip(*shown, strict=True))
    return frames, Guide(np.load(LANDMARKS), labels, None, frames)


def one(frames: np.ndarray, guide: Guide, frame: int) -> tuple[np.ndarray, Guide]:
    """One of them, as a clip of its own."""
    chosen = slice(frame, frame + 1)
    return frames[chosen], guide.part(chosen)
