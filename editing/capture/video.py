"""Reading any video as 25 upright pictures a second and 16 kHz mono sound on one time base.

Time 0 is the first picture's. Picture k is the one nearest to k / 25 s, whatever the file's own rate is and however it varies; sample
s sounds at s / 16000 s.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.errors import BadInput
from renderer.types import FPS, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jaxtyping import Float32, UInt8

SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FPS
LONGEST_GAP_S = 0.05
"""Missing sound longer than this becomes silence; shorter jumps of the time stamps are rounding."""
UNEVEN_RATE = 0.15
"""A file's rate is variable if its frames' durations spread by more than this share of their mean."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds."""

    width: int
    """upright, pixels"""
    height: int
    """upright, pixels"""
    rotation_deg: int
    """clockwise turn that made it upright: 0, 90, 180, 270"""
    first_s: float
    """presentation time of the first picture on the file's own time base"""
    duration_s: float
    """from the first picture to the end of the last"""
    rate_hz: float
    """mean pictures a second of the file"""
    variable_rate: bool
    """whether its pictures come at uneven times"""
    codec: str
    """of the pictures"""

    @property
    def n_frames(self) -> int:
        """Pictures at 25 a second."""
        return int(self.duration_s * FPS + 1e-6)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import av

    if not path.is_file():
        raise BadInput(f"{path} is not a file; a video is needed")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadInput(f"{path} holds no pictures; a video is needed")
            yield container
    except av.FFmpegError as error:
        raise BadInput(f"{path} cannot be read as a video: {error.strerror or error}") from error


def probe(path: Path) -> VideoInfo:
    """Read times from the packets and the size from the first picture. Raises BadInput for what is not a video with sound."""
    with _opened(path) as container:
        if not container.streams.audio:
            raise BadInput(f"{path} has no sound; lips are learned from the voice, so film with a microphone")
        stream = container.streams.video[0]
        times = sorted(float(p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None)
    if len(times) < 2:
        raise BadInput(f"{path} holds {len(times)} picture(s); a video is needed")
    with _opened(path) as container:
        stream = container.streams.video[0]
        first = next(container.decode(stream), None)
        if first is None:
            raise BadInput(f"{path}: its pictures ({stream.codec_context.name}) cannot be decoded")
        rotation = -first.rotation % 360
        width, height = (first.height, first.width) if rotation in (90, 270) else (first.width, first.height)
        codec = stream.codec_context.name
    steps = np.diff(times)
    return VideoInfo(
        width=width,
        height=height,
        rotation_deg=rotation,
        first_s=times[0],
        duration_s=times[-1] - times[0] + float(np.median(steps)),
        rate_hz=(len(times) - 1) / (times[-1] - times[0]),
        variable_rate=bool(steps.std() > UNEVEN_RATE * steps.mean()),
        codec=codec,
    )


def read_frames(path: Path, info: VideoInfo, first: int = 0, count: int | None = None) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Upright RGB pictures `first`, `first` + 1, … at 25 a second; broken pictures are replaced by their nearest neighbour."""
    last = info.n_frames if count is None else min(info.n_frames, first + count)
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start_s = info.first_s + first / FPS
        if first:
            container.seek(max(0, int((start_s - 0.5) / stream.time_base)), stream=stream, backward=True)
        decoded = (frame for frame in container.decode(stream) if frame.pts is not None)
        before, after = None, next(decoded, None)
        held: tuple[Any, UInt8[np.ndarray, "height width 3"]] | None = None
        for k in range(first, last):
            time_s = info.first_s + k / FPS
            while after is not None and after.time <= time_s:
                before, after = after, next(decoded, None)
            nearest = min((f for f in (before, after) if f is not None), key=lambda f: abs(f.time - time_s), default=None)
            if nearest is None:
                raise BadInput(f"{path}: no picture can be decoded at {k / FPS:.1f} s")
            if held is None or held[0] is not nearest:
                held = nearest, _upright(nearest.to_ndarray(format="rgb24"), info.rotation_deg)
            yield held[1]


def _upright(picture: UInt8[np.ndarray, "h w 3"], clockwise_deg: int) -> UInt8[np.ndarray, "h w 3"]:
    return np.ascontiguousarray(np.rot90(picture, -clockwise_deg // 90))


def read_sound(path: Path, info: VideoInfo) -> Float32[np.ndarray, " n_samples"]:
    """The first sound track, `n_frames` / 25 s long: silence where it begins later or ends earlier than the pictures."""
    import av

    wanted = info.n_frames * SAMPLES_PER_FRAME
    parts: list[Float32[np.ndarray, " n"]] = []
    begin, position = 0, 0  # in samples after the first picture: of the sound, and of what is decoded next
    with _opened(path) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
        for frame in container.decode(container.streams.audio[0]):
            due = position if frame.pts is None else round((frame.time - info.first_s) * SAMPLE_RATE_HZ)
            if not parts:
                begin = position = due
            elif due - position > LONGEST_GAP_S * SAMPLE_RATE_HZ:
                parts.append(np.zeros(due - position, np.float32))
                position = due
            for resampled in resampler.resample(frame):
                parts.append(resampled.to_ndarray()[0])
                position += len(parts[-1])
            if position >= wanted:
                break
        parts += [resampled.to_ndarray()[0] for resampled in resampler.resample(None)]
    sound = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if not np.abs(sound).max(initial=0.0) > 0:
        raise BadInput(f"{path}: its sound is silent; lips are learned from the voice, so film with a microphone")
    sound = sound[-begin:] if begin < 0 else np.pad(sound, (begin, 0))
    return np.pad(sound, (0, max(0, wanted - len(sound))))[:wanted].astype(np.float32)
