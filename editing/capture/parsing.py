"""Labels for every frame, by one of two ways that answer the same questions: `grabcut` (anywhere) and `segformer` (a network)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from editing.capture import grabcut
from editing.capture.labels import LABELS
from editing.capture.tracking import CHUNK_FRAMES, in_processes, n_chunks
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jaxtyping import Float, Float32, UInt8

PARSERS = ("grabcut", "segformer")


class FaceParser(Protocol):
    """Labels a frame."""

    def __call__(
        self, frame: UInt8[np.ndarray, "size size 3"], landmarks: Float[np.ndarray, "478 3"], pose: Float[np.ndarray, "4 4"]
    ) -> UInt8[np.ndarray, "size size"]:
        """Ids of `labels.LABELS`; `landmarks` are pixels of the frame."""
        ...


class GrabCutParser:
    """See `grabcut`."""

    def __init__(self, colours: grabcut.ClipColours, focal_px: float) -> None:
        self._colours, self._focal_px = colours, focal_px

    def __call__(
        self, frame: UInt8[np.ndarray, "size size 3"], landmarks: Float[np.ndarray, "478 3"], pose: Float[np.ndarray, "4 4"]
    ) -> UInt8[np.ndarray, "size size"]:
        return grabcut.parse(frame, landmarks, pose, self._focal_px, self._colours)


def make_parser(
    name: str,
    model: str,
    frames: UInt8[np.ndarray, "n size size 3"],
    landmarks: Float32[np.ndarray, "n 478 3"],
    poses: Float32[np.ndarray, "n 4 4"],
    focal_px: float,
    found: np.ndarray,
) -> FaceParser:
    """The parser called `name`, fitted to the clip where it needs to be; `model` is the network's hub name or folder."""
    if name == "segformer":
        from editing.capture.segformer import SegformerParser

        return SegformerParser(model)
    if name != "grabcut":
        raise BadInput(f"parser {name!r}: {' or '.join(PARSERS)} is possible")
    usable = np.flatnonzero(found)
    chosen = usable[np.unique(np.linspace(0, len(usable) - 1, grabcut.PLATE_FRAMES).astype(int))]
    views = [grabcut.View.of(frames[k], landmarks[k], poses[k], focal_px) for k in chosen]
    return GrabCutParser(grabcut.learn_colours(views), focal_px)


class _Worker:
    def __init__(self, parser: FaceParser, folder: Path, landmarks: Any, poses: Any, found: Any) -> None:
        import cv2

        cv2.setNumThreads(1)
        self.parser, self.folder, self.landmarks, self.poses, self.found = parser, folder, landmarks, poses, found

    def close(self) -> None:
        return None

    def chunk(self, index: int) -> int:
        frames = np.load(self.folder / "frames.npy", mmap_mode="r")
        labels = np.load(self.folder / "labels.npy", mmap_mode="r+")
        chosen = range(index * CHUNK_FRAMES, min(len(frames), (index + 1) * CHUNK_FRAMES))
        for k in chosen:
            # A frame without a face is background to whoever reads it; it is not used.
            labels[k] = self.parser(frames[k], self.landmarks[k], self.poses[k]) if self.found[k] else LABELS["background"]
        labels.flush()
        done = np.load(self.folder / "parsed.npy", mmap_mode="r+")
        done[index] = True
        done.flush()
        return len(chosen)


def parse_frames(
    parser: FaceParser,
    folder: Path,
    landmarks: Float32[np.ndarray, "n 478 3"],
    poses: Float32[np.ndarray, "n 4 4"],
    found: np.ndarray,
    jobs: int,
    progress: Callable[[int], None],
) -> None:
    """Write `labels.npy` for the frames of `frames.npy`; goes on where an interrupted run stopped."""
    n, size_px = len(found), np.load(folder / "frames.npy", mmap_mode="r").shape[1]
    if not (folder / "parsed.npy").exists():
        np.lib.format.open_memmap(folder / "labels.npy", "w+", np.uint8, (n, size_px, size_px)).flush()
        np.lib.format.open_memmap(folder / "parsed.npy", "w+", np.bool_, (n_chunks(n),)).flush()
    missing = np.flatnonzero(~np.load(folder / "parsed.npy"))
    progress(min(n, (n_chunks(n) - len(missing)) * CHUNK_FRAMES))
    in_processes(_Worker, (parser, folder, landmarks, poses, found), (int(index) for index in missing), jobs, progress)
