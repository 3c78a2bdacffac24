"""Pictures to learn from: the avatar at moments of its clip, half of them seen from another side, each in every style.

Frames to learn from come from the first part of the training clip, frames to be judged by from its last part, so no judged frame has a
neighbour among the others. Pictures are made and kept in portions, so that little is lost when the work is stopped.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from editing.edit.originals import Moments, Originals
from editing.evaluate.metrics import mouth_opening
from editing.image_editors.builtin.builtin_editor import BuiltinEditor
from editing.image_editors.editor import EditSettings
from editing.style_diffusion.styles import STYLES
from editing.whole_files import write_array
from renderer.images import quantise, resize_picture
from renderer.view import MAX_PITCH_DEG, MAX_YAW_DEG, View, Viewpoint, facing_deg

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Bool, Float32, UInt8

    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

RENDER_PX = 128
"""Twice what the networks see: room for windows, at a quarter of the time that 256 would take."""
PORTION = 40
"""Frames that are rendered, looked at and put into every style before they are kept."""
HELD_OUT_FROM = 0.88
"""Share of the clip after which frames are only judged by."""
TURNED_SHARE = 0.5
"""Of the frames: seen from another side. The rest has the clip's own poses."""


@dataclass(frozen=True)
class StyledRenders:
    """n frames in every style; the order of the styles is `STYLES`."""

    pictures: UInt8[np.ndarray, "n_styles n h w 3"]
    yaw_deg: Float32[np.ndarray, " n"]
    """Of the face in the picture; positive: to the picture's right."""
    mouth_opening: Float32[np.ndarray, " n"]
    """`editing.landmarks.mouth_opening`."""

    def __len__(self) -> int:
        return len(self.yaw_deg)

    def mouth_is_open(self, threshold: float) -> Bool[np.ndarray, " n"]:
        return np.asarray(self.mouth_opening > threshold)


def drawn_moments(avatar: Avatar, encoder: AudioEncoder, n: int, span: tuple[float, float], seed: tuple[int, ...]) -> Moments:
    """`n` moments of this span of the clip (shares of it), a share of them turned. BadInput for an avatar without its clip's sound."""
    generator = np.random.default_rng(seed)
    n_track = len(avatar.pose_track)
    first, last = int(span[0] * n_track), max(int(span[0] * n_track) + 1, int(span[1] * n_track))
    moments = Moments.at(avatar, encoder, np.sort(generator.integers(first, last, n)))
    viewpoint = Viewpoint(avatar)
    poses = moments.poses.copy()
    for k in np.flatnonzero(generator.random(n) < TURNED_SHARE):
        yaw, pitch = generator.uniform(-1.0, 1.0, 2) * (MAX_YAW_DEG, MAX_PITCH_DEG)
        poses[k] = viewpoint.turned(poses[k], View(yaw, pitch))
    return dataclasses.replace(moments, poses=poses)


def resized(avatar: Avatar, size_px: int) -> Avatar:
    """The same avatar before a smaller camera."""
    background = quantise(resize_picture(avatar.background, size_px, size_px))
    return avatar.replace(camera=avatar.camera.resized(size_px, size_px), background=background, poster=None)


def styled(avatar: Avatar, moments: Moments, threads: int, seed: int) -> StyledRenders:
    """These moments in every style. BadInput where a frame shows no face or the landmark model is missing."""
    originals = Originals.at(avatar, moments, threads)
    editor = BuiltinEditor()
    numbers = [int(k) for k in moments.indices]
    pictures = []
    for style in STYLES:
        shown = originals.pictures
        if style.instruction is not None:
            settings = EditSettings(style.instruction, seed=seed)
            shown = editor.edit(shown, None, settings, indices=numbers, guide=originals.guide)
        pictures.append(shown)
    landmarks = originals.guide.landmarks
    assert landmarks is not None
    yaw_deg = facing_deg(np.asarray(moments.poses, np.float64))[0].astype(np.float32)
    return StyledRenders(np.stack(pictures), yaw_deg, np.array([mouth_opening(points) for points in landmarks], np.float32))


def make_renders(
    avatar: Avatar,
    encoder: AudioEncoder,
    n: int,
    n_held_out: int,
    folder: Path,
    threads: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[StyledRenders, StyledRenders]:
    """`n` frames to learn from and `n_held_out` to be judged by; portions that lie in `folder` already are not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    avatar = resized(avatar, RENDER_PX)
    parts: dict[str, list[StyledRenders]] = {"learn": [], "judge": []}
    spans = {"learn": (0.0, HELD_OUT_FROM), "judge": (HELD_OUT_FROM, 1.0)}
    done = 0
    for number, (purpose, wanted) in enumerate((("learn", n), ("judge", n_held_out))):
        for portion, first in enumerate(range(0, wanted, PORTION)):
            path = folder / f"{purpose}_{portion}.npz"
            if path.is_file():
                with np.load(path) as kept:
                    part = StyledRenders(**{field.name: kept[field.name] for field in dataclasses.fields(StyledRenders)})
            else:
                size = min(PORTION, wanted - first)
                moments = drawn_moments(avatar, encoder, size, spans[purpose], (seed, number, portion))
                part = styled(avatar, moments, threads, seed)
                write_array(path, **{field.name: getattr(part, field.name) for field in dataclasses.fields(part)})
            parts[purpose].append(part)
            done += len(part)
            progress(done, n + n_held_out)
    return joined(parts["learn"]), joined(parts["judge"])


def joined(parts: list[StyledRenders]) -> StyledRenders:
    """One after the other."""
    return StyledRenders(
        np.concatenate([part.pictures for part in parts], axis=1),
        np.concatenate([part.yaw_deg for part in parts]),
        np.concatenate([part.mouth_opening for part in parts]),
    )
