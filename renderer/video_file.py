"""Writing a talking video: H.264 pictures and AAC sound in an MP4, through a temporary file."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from types import TracebackType

    from jaxtyping import Float, UInt8

VIDEO_CRF = "16"
AUDIO_BIT_RATE = 128_000


class VideoWriter:
    """Frames one by one, sound at once at the end; the file appears only when `close` has succeeded."""

    def __init__(self, path: Path | str, width: int, height: int, fps: int) -> None:
        self._path = Path(path)
        if self._path.suffix.lower() != ".mp4":
            raise BadInput(f"{self._path}: an .mp4 name was expected")
        if not self._path.parent.is_dir():
            raise BadInput(f"{self._path}: the folder {self._path.parent} does not exist")
        self._temporary = self._path.with_name(f".{self._path.stem}.{os.getpid()}.partial.mp4")
        try:
            self._container = av.open(str(self._temporary), "w")
        except OSError as error:
            raise BadInput(f"cannot write {self._path}: {error.strerror}") from error
        self._video = self._container.add_stream("libx264", rate=fps, options={"crf": VIDEO_CRF, "preset": "medium"})
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._audio = self._container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono", bit_rate=AUDIO_BIT_RATE)
        self._fps, self._n_frames, self._done = fps, 0, False

    def add_frame(self, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts, frame.time_base = self._n_frames, Fraction(1, self._fps)
        self._n_frames += 1
        self._container.mux(self._video.encode(frame))

    def add_audio(self, samples: Float[np.ndarray, " n_samples"]) -> None:
        """Mono at 16 kHz, -1...1."""
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, 0, Fraction(1, SAMPLE_RATE_HZ)
        self._container.mux(self._audio.encode(frame))

    def close(self) -> None:
        """Finish the file and put it in place."""
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()
        self._temporary.replace(self._path)
        self._done = True

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if not self._done:
            self._container.close()
            self._temporary.unlink(missing_ok=True)
