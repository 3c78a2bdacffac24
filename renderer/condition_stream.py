"""What one session remembers between frames: recent audio features, idle motion, blinks, where view and emotion are on their way.

Pure: no clock, no threads; the caller pushes features as they are heard and takes conditions in frame order. Training replays the
same audio windows through `audio_window_at`, so live and training frames are built by the same code.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from renderer.emotion import NEUTRAL, Emotion, emotion_code
from renderer.emotion_glide import EmotionGlide
from renderer.errors import BadInput
from renderer.field.config import STEPS_PER_FRAME
from renderer.head_guide import STILL, HeadGuide
from renderer.head_range import HeadRange
from renderer.types import DEFAULT_REFINE_WEIGHT, FrameCondition
from renderer.view import FRONT, Viewpoint

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from renderer.avatar import Avatar
    from renderer.field.config import AudioWindowConfig
    from renderer.head_guide import HeadMovement
    from renderer.types import AudioFeatures
    from renderer.view import View


TRAIL_FRAMES = 8
"""How far `ConditionStream.back_to` can go."""


def audio_window_at(
    features: Float[np.ndarray, "n_steps dim"], first_step: int, frame: int, shape: AudioWindowConfig, silence: Float[np.ndarray, " dim"]
) -> Float[np.ndarray, "n_window_steps dim"]:
    """The audio window of `frame` from features that begin at step `first_step`; what lies outside them is silence."""
    return audio_window_from(features, first_step, shape.first_step(frame), shape, silence)


def audio_window_from(
    features: Float[np.ndarray, "n_steps dim"], first_step: int, begin: int, shape: AudioWindowConfig, silence: Float[np.ndarray, " dim"]
) -> Float[np.ndarray, "n_window_steps dim"]:
    """The same, of the window that begins at step `begin`: between frames, too."""
    wanted = np.arange(shape.n_steps) + begin - first_step
    inside = (wanted >= 0) & (wanted < len(features))
    window = np.tile(silence.astype(np.float32), (shape.n_steps, 1))
    window[inside] = features[wanted[inside]]
    return window


class ConditionStream:
    """Turns one session's audio features into frame conditions.

    Head pose and eyes follow the training clip forth and back, so that speech meets poses the field has seen. The pose is what the
    clip's sitter did, blinks included, or follow another head (`guide`). Memory is bounded by the audio window's length.
    """

    def __init__(
        self,
        avatar: Avatar,
        silence: Float[np.ndarray, " dim"],
        seed: int = 0,
        smoothing: float = 0.0,
        background: UInt8[np.ndarray, "h w 3"] | None = None,
        refine_weight: float = DEFAULT_REFINE_WEIGHT,
        emotion: Emotion = NEUTRAL,
    ) -> None:
        """`silence` is what the encoder says of digital silence; `seed` picks where in the clip the idle motion begins.

        `emotion` is shown from the first frame on.
        """
        self._silence = silence
        self._features = np.zeros((0, len(silence)), np.float32)
        self._first_step = 0
        self._frame = 0
        self._phase = int(np.random.default_rng(seed).integers(len(avatar.pose_track))) if seed else 0
        self.smoothing = smoothing
        self.background = background
        self.refine_weight = refine_weight
        self.view = FRONT
        """Where the picture is to be taken from; the frames go there within a few (`renderer.view`)."""
        self._shown_view = FRONT
        self._emotion = emotion
        self._glide = EmotionGlide(emotion_code(emotion), emotion_code(emotion), 0)
        self.guide = HeadGuide()
        """Another head's movement to follow, off at first."""
        self._shown_head = STILL
        self._trail: deque[tuple[int, View, EmotionGlide, HeadMovement]] = deque(maxlen=TRAIL_FRAMES)
        """Frames given and what they were shown with, for `back_to`."""
        self.avatar = avatar
        self._check(avatar)
        self._viewpoint, self._head_range = Viewpoint(avatar), HeadRange(avatar)

    def _check(self, avatar: Avatar) -> None:
        if avatar.field_config.feature_dim != len(self._silence):
            raise BadInput(
                f"avatar {avatar.name!r} takes {avatar.field_config.feature_dim} audio features a step, "
                f"the encoder gives {len(self._silence)}"
            )

    def swap(self, avatar: Avatar) -> None:
        """Go on with another avatar from the next frame; the audio heard so far is kept."""
        self._check(avatar)
        self.avatar = avatar
        self._viewpoint, self._head_range = Viewpoint(avatar), HeadRange(avatar)

    @property
    def emotion(self) -> Emotion:
        """What the face is to show. Set, the frames from the next one on go there (`renderer.emotion_glide`).

        An avatar without emotion takes no notice; the next one that has some shows it.
        """
        return self._emotion

    @emotion.setter
    def emotion(self, emotion: Emotion) -> None:
        if emotion != self._emotion:
            self._emotion = emotion
            self._glide = self._glide.turned(emotion_code(emotion), self._frame - 1)

    def push(self, features: AudioFeatures) -> None:
        """Append features. Steps must follow on; a step heard twice is an error of the caller."""
        if features.first_step != self.next_step:
            raise ValueError(f"features begin at step {features.first_step}; {self.next_step} was expected")
        self._features = np.concatenate([self._features, features.steps])

    @property
    def next_step(self) -> int:
        """The step that the next features must begin with."""
        return self._first_step + len(self._features)

    @property
    def next_frame(self) -> int:
        """Index of the frame that `next` will give."""
        return self._frame

    def next(self) -> FrameCondition | None:
        """The next frame's condition, or None while its audio is not complete."""
        shape = self.avatar.field_config.audio_window
        end = shape.first_step(self._frame) + shape.n_steps
        if self._first_step + len(self._features) < end:
            return None
        head = self.guide.after(self._shown_head, self._frame)
        condition = self._condition(self._frame, head)
        self._advance(self._frame + 1)
        self._shown_head = head
        return condition

    def back_to(self, frame: int) -> int:
        """Give `frame` again, and all after it, as far as it is remembered; returns the frame that comes next.

        For frames that nobody has seen yet when something changes: they can be made anew with what is wished now.
        """
        while self._trail and self._trail[-1][0] >= frame:
            self._frame, self._shown_view, self._glide, self._shown_head = self._trail.pop()
        self._glide = self._glide.turned(emotion_code(self._emotion), self._frame - 1)
        return self._frame

    def skip_to(self, frame: int) -> None:
        """Give up frames before `frame` (they are late)."""
        if frame > self._frame:
            self._advance(frame)

    def _condition(self, frame: int, head: HeadMovement) -> FrameCondition:
        shape = self.avatar.field_config.audio_window
        row = ping_pong(frame + self._phase, len(self.avatar.pose_track))
        return FrameCondition(
            index=frame,
            audio_window=audio_window_at(self._features, self._first_step, frame, shape, self._silence),
            camera_from_head=self._viewpoint.turned(self._head_range.pose(self.avatar.pose_track[row], head), self._shown_view),
            eye_ratio=self._head_range.eye_ratio(float(self.avatar.eye_track[row]), head),
            smoothing=self.smoothing,
            background=self.background,
            emotion=self._glide.at(frame) if self.avatar.is_emotional else None,
            window=self._viewpoint.window(self._shown_view),
            refine_weight=self.refine_weight,
        )

    def _advance(self, frame: int) -> None:
        self._trail.append((self._frame, self._shown_view, self._glide, self._shown_head))
        self._shown_view = self._shown_view.towards(self.view, frame - self._frame)
        self._frame = frame
        # Another avatar may look further back than the present one; keep one window more than any needs.
        keep_from = STEPS_PER_FRAME * frame - 2 * self.avatar.field_config.audio_window.n_steps
        drop = min(len(self._features), max(0, keep_from - self._first_step))
        if drop:
            self._features = self._features[drop:]
            self._first_step += drop


def ping_pong(index: int, length: int) -> int:
    """0, 1, …, length-1, length-2, …, 1, 0, 1, …"""
    if length == 1:
        return 0
    period = 2 * (length - 1)
    place = index % period
    return place if place < length else period - place
