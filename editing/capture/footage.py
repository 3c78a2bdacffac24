"""What is captured: one video, or all clips of one person in a folder by emotion, one after the other on one time base.

The folder is laid out as MEAD's (AED-NeRF, section 4.1): CATEGORY/level_1, level_2, level_3/CLIP. Every clip is a video with sound, all of
one camera and one size. Because all clips are one footage, they get one square, one background, one focal length and one head shape.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from editing.capture.video import VideoInfo, probe, read_frames, read_sound
from editing.joints import away_from_joints
from renderer.emotion import EMOTIONS, INTENSITIES, NEUTRAL, Emotion
from renderer.errors import BadInput
from renderer.types import FPS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jaxtyping import Bool, Float32, Int, UInt8

CATEGORIES = {**{name: name for name in EMOTIONS}, "fear": "fearful"}
"""Names of folders, and what the field calls them. MEAD has contempt, disgusted and surprised as well, which AED-NeRF leaves out."""
SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
LEVEL = re.compile(r"level_([1-9]\d*)")


@dataclass(frozen=True)
class Clip:
    """One video file of the footage."""

    path: Path
    info: VideoInfo
    emotion: Emotion = NEUTRAL


@dataclass(frozen=True)
class Footage:
    """Clips on one time base: picture 0 is the first clip's first."""

    name: str
    clips: tuple[Clip, ...]
    left_out: tuple[str, ...] = ()
    """folders with an emotion that the field does not know"""

    @staticmethod
    def of_video(path: Path, seconds: float | None = None) -> Footage:
        """One file, or its first seconds. Raises BadInput for what is not a video with sound."""
        info = probe(path)
        if seconds is not None:
            info = replace(info, duration_s=min(info.duration_s, seconds))
        return Footage(str(path), (Clip(path, info),))

    @staticmethod
    def of_emotions(folder: Path) -> Footage:
        """All clips of a folder by emotion. Raises BadInput where its layout is another, or its clips are not of one size."""
        found, left_out = labelled_files(folder)
        clips: list[Clip] = []
        for path, emotion in found:
            info = probe(path)
            if clips and (info.width, info.height) != (clips[0].info.width, clips[0].info.height):
                first = clips[0]
                raise BadInput(
                    f"{path} is {info.width}x{info.height}, {first.path} is {first.info.width}x{first.info.height}; "
                    "clips of one camera are needed"
                )
            if info.n_frames:
                clips.append(Clip(path, info, emotion))
        return Footage(str(folder), tuple(clips), left_out)

    @property
    def info(self) -> VideoInfo:
        """Of the whole: the first clip's kind, everyone's length."""
        first = self.clips[0].info
        if len(self.clips) == 1:
            return first
        rate = float(np.mean([clip.info.rate_hz for clip in self.clips]))
        uneven = any(clip.info.variable_rate for clip in self.clips)
        return replace(first, duration_s=self.n_frames / FPS, rate_hz=rate, variable_rate=uneven)

    @property
    def n_frames(self) -> int:
        return sum(clip.info.n_frames for clip in self.clips)

    @property
    def begins(self) -> tuple[int, ...]:
        """First picture of each clip."""
        return tuple(int(begin) for begin in np.cumsum([0, *(clip.info.n_frames for clip in self.clips[:-1])]))

    @property
    def joints(self) -> tuple[int, ...]:
        """First pictures of all clips but the first."""
        return self.begins[1:]

    def away_from_joints(self) -> Bool[np.ndarray, " n_frames"]:
        return away_from_joints(self.n_frames, self.joints)

    def clip_index(self) -> Int[np.ndarray, " n_frames"]:
        """Which clip each picture belongs to."""
        return np.repeat(np.arange(len(self.clips)), [clip.info.n_frames for clip in self.clips])

    def frames(self, first: int = 0, count: int | None = None) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Pictures `first`, `first` + 1, … at 25 a second."""
        last = self.n_frames if count is None else min(self.n_frames, first + count)
        for begin, clip in zip(self.begins, self.clips, strict=True):
            here, end = max(first, begin), min(last, begin + clip.info.n_frames)
            if here < end:
                yield from read_frames(clip.path, clip.info, here - begin, end - here)

    def sound(self) -> Float32[np.ndarray, " n_samples"]:
        """As long as the pictures."""
        return np.concatenate([read_sound(clip.path, clip.info) for clip in self.clips])

    def identity(self) -> str:
        """What tells it from other footage, by name, size, time of change and label of each file."""
        digest = hashlib.sha256()
        for clip in self.clips:
            stat = clip.path.stat()
            digest.update(f"{clip.path} {stat.st_size} {stat.st_mtime_ns} {clip.emotion}\n".encode())
        return f"{len(self.clips)} file(s), {digest.hexdigest()[:12]}"


def labelled_files(folder: Path) -> tuple[list[tuple[Path, Emotion]], tuple[str, ...]]:
    """All clips of a folder CATEGORY/level_1…3/ with their labels, in order of name, and the categories that were left out.

    Raises BadInput where there is no clip, or a level is not one of three.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder; --emotions takes one laid out as CATEGORY/level_1…{len(INTENSITIES)}/CLIP.mp4")
    found: list[tuple[Path, Emotion]] = []
    left_out: list[str] = []
    for category in sorted(path for path in folder.iterdir() if path.is_dir()):
        levels = sorted(path for path in category.iterdir() if path.is_dir() and LEVEL.fullmatch(path.name))
        if category.name not in CATEGORIES:
            left_out += [category.name] if levels else []
            continue
        for level in levels:
            match = LEVEL.fullmatch(level.name)
            number = int(match.group(1)) if match else 0
            if number > len(INTENSITIES):
                raise BadInput(f"{level}: level_1 to level_{len(INTENSITIES)} are possible")
            name = CATEGORIES[category.name]
            emotion = NEUTRAL if name == "neutral" else Emotion(name, number / len(INTENSITIES))
            found += [(path, emotion) for path in sorted(level.iterdir()) if path.suffix.lower() in SUFFIXES]
    if not found:
        wanted = f"{{{','.join(CATEGORIES)}}}/level_{{1,2,3}}/*.mp4"
        raise BadInput(f"{folder} holds no clip with a label; {wanted} was expected")
    return found, tuple(left_out)
