"""The editor that needs no download: looks asked for in plain English, put on by masks, landmarks and brush strokes.

A diffusion editor that is given a finished sketch and told to make a sketch leaves it about as it is. Filters would draw the lines of the
lines. So this editor draws the looks on the original frame, where it knows it (the guide's `originals`, or the condition), and moves the
frame that it is given towards that; rounds of edits then come closer and closer and stop there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import mix
from editing.image_editors.builtin.grammar import understand
from editing.image_editors.builtin.inconsistency import TEXTURES, Jitter
from editing.image_editors.builtin.looks import LOOK_BY_NAME
from editing.image_editors.builtin.scene import Scene
from editing.image_editors.editor import check_pictures
from editing.image_editors.guide import Guide
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float32, UInt8

    from editing.image_editors.builtin.grammar import Wish
    from editing.image_editors.editor import EditSettings, Progress
    from editing.landmarks import LandmarkDetector

FULL_TEXT_GUIDANCE, USUAL_IMAGE_GUIDANCE, FULL_STEPS = 6.0, 1.5, 20
"""The upper ends of the paper's ramps, and its s_I: with these a look is put on in full."""
MOST_AMOUNT = 1.5
COARSEST = 0.5
"""Fineness of strokes and lines with no steps; it grows to 1 at FULL_STEPS."""


@dataclass(frozen=True)
class BuiltinConfig:
    """Options of the built-in editor."""

    inconsistency: float = 0.0
    """0: the same face gets the same edit in every frame. Above, to 2: frames differ on purpose (`inconsistency`), for ablations"""

    def __post_init__(self) -> None:
        if not 0.0 <= self.inconsistency <= 2.0:
            raise BadInput(f"inconsistency {self.inconsistency:g}: 0 to 2 is possible")


def amount_of(settings: EditSettings, with_condition: bool) -> float:
    """How far a frame is moved to the look: strength · s_T/6, and, where it is its own image condition, · 1.5/s_I. At most 1.5: from 1 on
    the look is there in full, and only wrinkles get deeper."""
    amount = settings.strength * settings.text_guidance / FULL_TEXT_GUIDANCE
    if not with_condition:
        amount *= USUAL_IMAGE_GUIDANCE / settings.image_guidance
    return min(MOST_AMOUNT, amount)


def pull_of(image_guidance: float) -> float:
    """How far an edited frame is drawn back to its condition: 1 - 1/s_I, so not at all at 1, by a third at 1.5."""
    return 1.0 - 1.0 / image_guidance


class BuiltinEditor:
    """An `ImageEditor`. A result depends on frame, guide and settings, and in the inconsistent mode on the frame's index."""

    name = "builtin"

    def __init__(self, config: BuiltinConfig | None = None) -> None:
        self.config = config or BuiltinConfig()

    def check(self, instruction: str) -> None:
        """Raise BadInput, with what is known, if the instruction is not understood."""
        understand(instruction)

    def edit(
        self,
        frames: UInt8[np.ndarray, "n h w 3"],
        condition: UInt8[np.ndarray, "n h w 3"] | None,
        settings: EditSettings,
        *,
        indices: Sequence[int] | None = None,
        guide: Guide | None = None,
        progress: Progress | None = None,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """See `ImageEditor`. Landmarks and labels that the guide lacks are looked for in the original, frame by frame; a guide that was
        completed from the whole clip is faster and has steadier masks."""
        numbers = check_pictures(frames, condition, indices)
        wishes = understand(settings.instruction)
        known = guide or Guide()
        known.check((len(frames), frames.shape[1], frames.shape[2]))
        originals = known.originals if known.originals is not None else frames if condition is None else condition
        result = np.empty_like(frames)
        detector = _open_detector() if known.landmarks is None else None
        try:
            for k, number in enumerate(numbers):
                one = slice(k, k + 1)
                own = known.part(one).completed(originals[one], [number], detector)
                result[k] = self._edited(frames[k], None if condition is None else condition[k], settings, number, own, wishes)
                if progress:
                    progress(k + 1)
        finally:
            if detector:
                detector.close()
        return result

    def _edited(
        self,
        frame: UInt8[np.ndarray, "h w 3"],
        condition: UInt8[np.ndarray, "h w 3"] | None,
        settings: EditSettings,
        index: int,
        guide: Guide,
        wishes: tuple[Wish, ...],
    ) -> UInt8[np.ndarray, "h w 3"]:
        assert guide.landmarks is not None and guide.labels is not None and guide.originals is not None
        amount = amount_of(settings, condition is not None)
        level = self.config.inconsistency
        jitter = Jitter.of(settings.seed, index, level) if level > 0.0 else None
        scene = Scene(
            _floats(guide.originals[0]),
            guide.landmarks[0],
            guide.labels[0],
            None if guide.person is None else guide.person[0],
            settings.seed * TEXTURES + (jitter.texture if jitter else 0),
            min(1.0, COARSEST + (1.0 - COARSEST) * settings.steps / FULL_STEPS),
        )
        goal = _with_looks(scene, wishes, max(1.0, amount))
        now = _floats(frame)
        picture = mix(now, goal, min(1.0, amount * (jitter.strength if jitter else 1.0)))
        if jitter:
            drive = settings.text_guidance / FULL_TEXT_GUIDANCE * settings.steps / FULL_STEPS
            picture = jitter.applied(picture, scene.landmarks, scene.px_per_cm, drive * _way_to_go(now, goal, scene.frame))
        if condition is not None:
            picture = mix(picture, _floats(condition), pull_of(settings.image_guidance))
        return np.asarray((picture.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))


def _with_looks(scene: Scene, wishes: tuple[Wish, ...], depth: float) -> Float32[np.ndarray, "h w 3"]:
    """The original frame with all that is wished for."""
    picture = scene.frame
    for wish in wishes:
        look = LOOK_BY_NAME[wish.look]
        options: dict[str, str | float] = {"colour": wish.colour} if wish.colour else {}
        if look.has_depth:
            options["depth"] = depth * max(1.0, wish.amount)
        picture = mix(picture, look.apply(picture, scene, **options), min(1.0, wish.amount))
    return picture


def _way_to_go(now: Float32[np.ndarray, "h w 3"], goal: Float32[np.ndarray, "h w 3"], original: Float32[np.ndarray, "h w 3"]) -> float:
    """Of the way from the original to the goal, 0…1."""
    whole = float(np.abs(goal - original).mean())
    return min(1.0, float(np.abs(goal - now).mean()) / whole) if whole > 0.0 else 0.0


def _floats(picture: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    return picture.astype(np.float32) / np.float32(255.0)


def _open_detector() -> LandmarkDetector:
    from editing.landmarks import LandmarkDetector

    return LandmarkDetector()
