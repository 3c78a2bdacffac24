"""The pictures that the diffusion model learns: views × time stamps (AvatarStudio, section 3.2.2).

views         the first frame of the clip, with the camera turned around the head over the range in which the field is defined
              (`renderer.view`); the paper has 24 real cameras around the head
time stamps   frames of the clip, seen as it was filmed, whose condition codes differ most from the mean of all; of neighbours in time and
              of frames that are nearly alike only the first is taken

The condition code e of a frame is what moves this field: the audio code, the eye feature and the emotion (the paper: HQ3DAvatar's
embedding). An avatar with emotions shows them in turn (`edit.originals`), so time stamps are of several.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.edit.originals import Moments
from renderer.emotion import emotion_codes
from renderer.errors import BadInput
from renderer.field.frame_codes import audio_code
from renderer.view import MAX_PITCH_DEG, MAX_YAW_DEG, View, Viewpoint, facing_deg

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from editing.score_distillation.config import KeyframeConfig
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar
    from renderer.types import FrameCondition

MOST_FRAMES = 1500
"""Of the clip that are looked at for time stamps, spread evenly."""
NEIGHBOURS_S = 0.4
"""Frames closer in time are neighbours: about two syllables."""
ALIKE = 0.25
"""Frames are alike whose codes differ by less than this share of their own difference from the mean."""


@dataclass(frozen=True)
class Keyframe:
    """One picture of the avatar."""

    frame: int
    """In the clip."""
    view: View
    """How the camera is turned against the clip's."""
    condition: FrameCondition


def choose_keyframes(avatar: Avatar, encoder: AudioEncoder, config: KeyframeConfig) -> list[Keyframe]:
    """Views first, then time stamps.

    BadInput for an avatar that does not hold the sound of its clip, or whose clip has too few frames that differ.
    """
    moments = Moments.of(avatar, encoder, MOST_FRAMES)
    first = moments.condition(0)
    viewpoint = Viewpoint(avatar)
    keyframes = []
    for view in turns(viewpoint, first.camera_from_head, config.yaws, config.pitches):
        pose = viewpoint.turned(first.camera_from_head, view)
        keyframes.append(Keyframe(int(moments.indices[0]), view, _posed(first, pose)))
    if config.time_stamps:
        codes = condition_codes(avatar, moments)
        neighbours = max(1, round(NEIGHBOURS_S * avatar.fps * len(moments.indices) / len(avatar.pose_track)))
        chosen = most_different(codes[1:], config.time_stamps, neighbours) + 1  # the views show frame 0 already
        if len(chosen) < config.time_stamps:
            raise BadInput(
                f"--time-stamps {config.time_stamps}: the clip of avatar {avatar.name!r} has {len(chosen)} frames that differ; "
                "ask for fewer, or train it from a longer clip"
            )
        keyframes += [Keyframe(int(moments.indices[k]), View(), moments.condition(int(k))) for k in chosen]
    return keyframes


def turns(viewpoint: Viewpoint, camera_from_head: Float[np.ndarray, "4 4"], yaws: int, pitches: int) -> list[View]:
    """Turns of the camera that show the face from everywhere in the range, evenly; a single one stays in the middle of it."""
    facing = facing_deg(np.asarray(camera_from_head, np.float64))
    ranges, limits = viewpoint.facing_range_deg, (MAX_YAW_DEG, MAX_PITCH_DEG)
    yaw, pitch = (np.clip(_spread(*ranges[axis], n) - facing[axis], -limits[axis], limits[axis]) for axis, n in enumerate((yaws, pitches)))
    return [View(float(a), float(b)) for b in pitch for a in yaw]


def _spread(least: float, most: float, n: int) -> Float[np.ndarray, " n"]:
    return np.linspace(least, most, n) if n > 1 else np.array([0.5 * (least + most)])


def condition_codes(avatar: Avatar, moments: Moments) -> Float[np.ndarray, "n dim"]:
    """e of each moment."""
    tensors = {name: np.asarray(tensor, np.float32) for name, tensor in avatar.tensors.items() if name.startswith(("audio", "attention"))}
    audio = np.stack([audio_code(avatar.field_config, tensors, window) for window in moments.windows])
    eyes = 2.0 * np.clip(moments.eye_ratio, 0.0, 1.0) - 1.0
    return np.concatenate([audio, eyes[:, None], emotion_codes(list(moments.emotions))], 1)


def most_different(codes: Float[np.ndarray, "n dim"], n: int, neighbours: int) -> Int[np.ndarray, " at_most_n"]:
    """Of frames in their order, the `n` whose codes are farthest from the mean by absolute difference, farthest first.

    A frame within `neighbours` frames of one that is chosen, or nearly like it, is left out.
    """
    apart = np.abs(codes - codes.mean(0)).sum(1)
    chosen: list[int] = []
    for k in np.argsort(-apart, kind="stable"):
        near = any(abs(int(k) - other) < neighbours for other in chosen)
        alike = any(np.abs(codes[k] - codes[other]).sum() <= ALIKE * apart[k] for other in chosen)
        if not near and not alike:
            chosen.append(int(k))
        if len(chosen) == n:
            break
    return np.array(chosen, np.int64)


def _posed(condition: FrameCondition, camera_from_head: Float[np.ndarray, "4 4"]) -> FrameCondition:
    return dataclasses.replace(condition, camera_from_head=camera_from_head)
