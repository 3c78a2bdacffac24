"""Another head's movement, frame by frame: what an avatar follows in place of its clip's own.

Sightings of a head come in at their own times, as often as somebody sees it and late; frames go out at 25 a second. A sighting belongs to
the sound of its moment: frame k shows the movement at k / 25 s as far as it is known by then, and the newest otherwise. So the head moves
in step with a voice that is delayed as the pictures are, and what comes too late for its frame is used for the next.

Rest       movement is measured against the head's own rest: the median of the first second in which it is seen, and again after
           `straighten`. The old rest goes over into the new one with a time constant of `REST_EASE_S`
Jitter     a One Euro filter (`renderer.one_euro`) in the time of the sightings; blinks pass nearly unfiltered
Steps      no angle moves by more than `MAX_TURN_STEP_DEG` a frame, no position by more than `MAX_SHIFT_STEP`, whatever is seen
Loss       after `LOST_S` of sightings without a face, or `SILENT_S` without a sighting, the share of the movement goes from 1 to 0 within
           `GLIDE_S`, and back when the face is there again. The same at the beginning and the end of following

Where the movement is put on an avatar is `renderer.head_range`'s matter. Pure: no clock, no threads. Times are the sound's, in s.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.emotion import NEUTRAL, Emotion
from renderer.face_expression import FaceExpression
from renderer.head_angles import head_angles_deg
from renderer.one_euro import OneEuroFilter, OneEuroSettings
from renderer.types import FPS

if TYPE_CHECKING:
    from jaxtyping import Float

REST_S = 1.0
"""Of sightings with a face."""
MIN_REST_SIGHTINGS = 3
REST_EASE_S = 0.15
LOST_S, SILENT_S = 0.5, 1.0
GLIDE_S = 1.0
MAX_TURN_STEP_DEG = 5.0
"""A frame, before the avatar's own damping: 125 degrees a second, faster than people turn while they speak."""
MAX_SHIFT_STEP = 0.06
"""Head units (`renderer.types`) a frame."""
MAX_EYE_STEP = 0.5
"""A frame: an eye closes within two."""
CLOSED_BLINK = 0.65
"""Blink score of a closed eye; trackers give 0.05...0.2 for an open one and 0.6...0.8 for a closed one."""
BLINK_MARGIN = 0.1
"""Above rest, that closes nothing: a face that turns or looks down scores so much with its eyes open."""
MAX_REST_BLINK = 0.4
KEPT_SIGHTINGS = 64
N_TURNS, N_SHIFTS = 3, 3
TURN_FILTER = OneEuroSettings(min_cutoff_hz=1.2, beta=0.3)
SHIFT_FILTER = OneEuroSettings(min_cutoff_hz=1.2, beta=10.0)
BLINK_FILTER = OneEuroSettings(min_cutoff_hz=5.0, beta=5.0)


@dataclass(frozen=True)
class HeadSighting:
    """What was seen of a head at one moment."""

    time_s: float
    """Of the sound that was made at that moment; frame k begins at k / FPS."""
    face: SeenFace | None
    """None: there was a picture, and no face in it."""


@dataclass(frozen=True)
class SeenFace:
    """One face, by any tracker."""

    camera_from_head: Float[np.ndarray, "4 4"]
    """As `renderer.types` has it, of whatever camera; its translation in head units."""
    blink: float
    """0 open ... 1 closed."""
    expression: Float[np.ndarray, " 4"]
    """`face_expression.expression_scores`."""


@dataclass(frozen=True)
class HeadMovement:
    """Against the head's rest."""

    turn_deg: Float[np.ndarray, " 3"]
    """Yaw, pitch, roll (`renderer.head_angles`)."""
    shift: Float[np.ndarray, " 3"]
    """In the camera's frame, head units."""
    eye_openness: float
    """0 closed ... 1 as open as at rest."""
    share: float = 0.0
    """0: nothing of it is shown ... 1: it is shown in place of the clip's own movement."""
    frame: int = -1
    """That it was shown in."""

    @property
    def eased_share(self) -> float:
        """`share` with a gentle beginning and end."""
        return self.share * self.share * (3.0 - 2.0 * self.share)


STILL = HeadMovement(np.zeros(N_TURNS), np.zeros(N_SHIFTS), 1.0)


class HeadGuide:
    """Follows one head while `is_on`; see the module."""

    def __init__(self) -> None:
        self.is_on = False
        self.emotion: Emotion = NEUTRAL
        """By the newest sighting (`renderer.face_expression`); neutral while there is no face, or no rest yet."""
        self._forget()

    def _forget(self) -> None:
        self._filter = OneEuroFilter((TURN_FILTER,) * N_TURNS + (SHIFT_FILTER,) * N_SHIFTS + (BLINK_FILTER,))
        self._expression = FaceExpression()
        self._seen: deque[tuple[float, Float[np.ndarray, " 7"]]] = deque(maxlen=KEPT_SIGHTINGS)
        """Movement at each moment, filtered: turn, shift, openness of the eyes."""
        self._resting: list[tuple[float, Float[np.ndarray, " 7"], Float[np.ndarray, " 4"]]] | None = []
        """What the next rest is made of; None: it stands."""
        self._rest: tuple[Float[np.ndarray, " 7"], Float[np.ndarray, " 4"]] | None = None
        self._eased_rest: Float[np.ndarray, " 7"] = np.zeros(N_TURNS + N_SHIFTS + 1)
        self._last_s = self._last_face_s = -np.inf
        self.emotion = NEUTRAL

    def turn_on(self) -> None:
        """Begin with a rest of its own, whatever was seen before."""
        if not self.is_on:
            self._forget()
            self.is_on = True

    def turn_off(self) -> None:
        """The movement shown ends within `GLIDE_S`."""
        self.is_on = False
        self.emotion = NEUTRAL

    def straighten(self) -> None:
        """The next second's mean is the new rest. Until then the old one holds."""
        self._resting = []

    @property
    def is_resting(self) -> bool:
        """Whether the rest is being learned."""
        return self._resting is not None

    def push(self, sighting: HeadSighting) -> None:
        """Take a sighting; one that is not later than the last is left out."""
        time_s = sighting.time_s
        if not self.is_on or time_s <= self._last_s:
            return
        elapsed_s, self._last_s = time_s - self._last_s, time_s
        if sighting.face is None:
            if time_s - self._last_face_s > LOST_S:
                self._expression.forget()
                self.emotion = NEUTRAL
            return
        face, pose = sighting.face, np.asarray(sighting.face.camera_from_head, np.float64)
        if time_s - self._last_face_s > LOST_S:
            self._filter.reset()
        self._last_face_s = time_s
        place = np.concatenate([head_angles_deg(pose[:3, :3]), pose[:3, 3], [face.blink]])
        self._learn_rest(time_s, place, face.expression)
        if self._rest is None:
            return
        wanted, expression_at_rest = self._rest
        self._eased_rest = wanted + np.exp(-elapsed_s / REST_EASE_S) * (self._eased_rest - wanted)
        filtered = self._filter.push(time_s, place)
        movement = filtered - self._eased_rest
        movement[:N_TURNS] = (movement[:N_TURNS] + 180.0) % 360.0 - 180.0
        open_blink = min(float(self._eased_rest[-1]), MAX_REST_BLINK) + BLINK_MARGIN
        movement[-1] = 1.0 - np.clip((filtered[-1] - open_blink) / (CLOSED_BLINK - open_blink), 0.0, 1.0)
        self._seen.append((time_s, movement))
        self.emotion = self._expression.push(time_s, face.expression, expression_at_rest)

    def _learn_rest(self, time_s: float, place: Float[np.ndarray, " 7"], expression: Float[np.ndarray, " 4"]) -> None:
        if self._resting is None:
            return
        self._resting.append((time_s, place, expression))
        if time_s - self._resting[0][0] < REST_S or len(self._resting) < MIN_REST_SIGHTINGS:
            return
        _, places, expressions = zip(*self._resting, strict=True)
        is_first = self._rest is None
        # The median, so that a blink or a wrong pose does not count.
        self._rest = np.median(places, 0), np.median(expressions, 0)
        self._resting = None
        if is_first:
            self._eased_rest = self._rest[0]

    def after(self, shown: HeadMovement, frame: int) -> HeadMovement:
        """The movement to show in `frame`, after `shown` in an earlier one. The same arguments give the same answer until more is seen."""
        frames = max(1, frame - shown.frame)
        time_s = frame / FPS
        is_lost = self._last_s - self._last_face_s > LOST_S or time_s - self._last_s > SILENT_S
        follows = self.is_on and bool(self._seen) and not is_lost
        step = frames / (GLIDE_S * FPS)
        share = min(1.0, shown.share + step) if follows else max(0.0, shown.share - step)
        if not self._seen:
            return dataclasses.replace(shown, share=share, frame=frame)
        goal = self._at(time_s)
        # Of what nobody has seen yet every step is possible.
        limit = np.inf if shown.share == 0.0 else float(frames)
        return HeadMovement(
            turn_deg=_towards(shown.turn_deg, goal[:N_TURNS], MAX_TURN_STEP_DEG * limit),
            shift=_towards(shown.shift, goal[N_TURNS : N_TURNS + N_SHIFTS], MAX_SHIFT_STEP * limit),
            eye_openness=float(_towards(np.array([shown.eye_openness]), goal[-1:], MAX_EYE_STEP * limit)[0]),
            share=share,
            frame=frame,
        )

    def _at(self, time_s: float) -> Float[np.ndarray, " 7"]:
        """Between two sightings the way is straight; before the first and after the last it stands still."""
        later_s, later = self._seen[-1]
        if time_s >= later_s:
            return later
        for earlier_s, earlier in list(self._seen)[-2::-1]:
            if earlier_s <= time_s:
                return earlier + (time_s - earlier_s) / (later_s - earlier_s) * (later - earlier)
            later_s, later = earlier_s, earlier
        return later


def _towards(here: Float[np.ndarray, " n"], there: Float[np.ndarray, " n"], most: float) -> Float[np.ndarray, " n"]:
    """At most so far."""
    return here + np.clip(there - here, -most, most)
