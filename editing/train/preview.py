"""What a training shows while it runs: pictures now and then, and a short clip at the end of each stage.

Both are written beside the avatar, NAME.preview.png and NAME.preview.mp4, and stay there. They look at the moving average of the weights
as it is, without touching what is trained.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from editing.dataset import SAMPLES_PER_FRAME
from renderer.backends.base import RenderOptions, open_backend
from renderer.images import encode_picture
from renderer.types import FPS, FrameCondition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from jaxtyping import UInt8

    from editing.train.clip import TrainingClip
    from renderer.avatar import Avatar

PICTURES = 4
CLIP_S = 4.0


def rendered(avatar: Avatar, clip: TrainingClip, frames: Iterable[int], threads: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames of the clip as the avatar shows them."""
    dataset = clip.dataset
    with contextlib.closing(open_backend(avatar, RenderOptions(size=clip.height, threads=threads))) as backend:
        for k in frames:
            condition = FrameCondition(
                index=k,
                audio_window=clip.windows[k],
                camera_from_head=clip.poses[k],
                eye_ratio=float(clip.eye_ratio[k]),
                background=dataset.background,
                emotion=None if clip.emotions is None else clip.emotions[k],
            )
            yield backend.render([condition])[0]


def write_pictures(path: Path, avatar: Avatar, clip: TrainingClip, threads: int) -> None:
    """Frames spread over the clip: real above, rendered below."""
    frames = [int(k) for k in clip.spread(PICTURES)]
    real = np.concatenate([clip.dataset.frames[k] for k in frames], 1)
    below = np.concatenate(list(rendered(avatar, clip, frames, threads)), 1)
    unfinished = path.with_suffix(".partial")
    unfinished.write_bytes(encode_picture(np.concatenate([real, below]), "png"))
    unfinished.replace(path)


def write_clip(path: Path, avatar: Avatar, clip: TrainingClip, threads: int) -> None:
    """The first seconds of the clip that are trained on, real beside rendered, with their sound."""
    from renderer.video_file import VideoWriter

    first = int(clip.frames[0])
    frames = range(first, min(clip.n_frames, first + round(CLIP_S * FPS)))
    sound = clip.dataset.audio()[frames.start * SAMPLES_PER_FRAME : frames.stop * SAMPLES_PER_FRAME]
    with VideoWriter(path, 2 * clip.width, clip.height, FPS) as video:
        for k, picture in zip(frames, rendered(avatar, clip, frames, threads), strict=True):
            video.add_frame(np.concatenate([clip.dataset.frames[k], picture], 1))
        video.add_audio(sound)
        video.close()
