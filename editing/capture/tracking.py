"""The clip's frames cut out and its face found in each of them, by several processes, a chunk at a time.

A chunk's result is a file of its own, written when it is complete, so an interrupted capture goes on with the missing chunks.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.capture.crop import Crop, choose_crop
from editing.landmarks import FACE_OVAL, N_LANDMARKS, LandmarkDetector
from renderer.errors import BadInput
from renderer.types import FPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from jaxtyping import Float32, Int8, UInt8

    from editing.capture.footage import Footage
    from editing.landmarks import Face

CHUNK_FRAMES = 100
SCAN_PICTURES = 40
SCAN_PX = 960
"""Longer side that pictures are reduced to while the face is searched for in the whole of them."""
MAX_FACES = 3
RIVAL_HEIGHT = 0.4
"""A second face this high, as a share of the first, is somebody; smaller ones are pictures on the wall."""
RIVAL_SHARE = 0.2
"""Share of the scanned pictures with a second face that makes a clip of two people."""
MIN_FACE_SHARE = 0.3
"""Least share of scanned pictures with a face."""


@dataclass(frozen=True)
class Sighting:
    """What a first look at pictures spread over the clip found."""

    crop: Crop
    found_share: float
    """of the pictures with a face"""
    rival_share: float
    """of the pictures with a second person's face"""


@dataclass(frozen=True)
class FaceTrack:
    """The face of every frame, in pixels of the cut-out frame; NaN where none was found."""

    landmarks: Float32[np.ndarray, "n 478 3"]
    rough_pose: Float32[np.ndarray, "n 4 4"]
    """MediaPipe's own, see `Face.pose`"""
    n_faces: Int8[np.ndarray, " n"]
    """in the frame"""
    sharpness: Float32[np.ndarray, " n"]
    """variance of the face's Laplacian at a fixed size; NaN without a face"""
    brightness: Float32[np.ndarray, "n 2"]
    """mean luma of the face's left and right half as seen, 0…255"""

    @property
    def found(self) -> Any:
        """bool [n]"""
        return np.isfinite(self.landmarks[:, 0, 0])


def _tall(face: Face) -> float:
    return float(np.ptp(face.landmarks[list(FACE_OVAL), 1]))


def scan(footage: Footage, largest: bool) -> Sighting:
    """Look at pictures spread over the clip and choose the square. Raises BadInput without a face, or with two people in it."""
    import cv2

    detector = LandmarkDetector(max_faces=MAX_FACES)
    faces, rivals, looked = [], [], 0
    for k in np.unique(np.linspace(0, footage.n_frames - 1, SCAN_PICTURES).astype(int)):
        picture = next(footage.frames(int(k), 1))
        looked += 1
        shrink = min(1.0, SCAN_PX / max(picture.shape[:2]))
        small = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else picture
        found = sorted(detector.faces(small), key=_tall, reverse=True)
        if found:
            faces.append(found[0].landmarks / shrink)
            if len(found) > 1 and _tall(found[1]) > RIVAL_HEIGHT * _tall(found[0]):
                rivals.append(int(k) / FPS)
    detector.close()
    if len(faces) < max(1, MIN_FACE_SHARE * looked):
        raise BadInput(
            f"{footage.name}: a face was found in {len(faces)} of {looked} pictures looked at; one person must face the camera all the time"
        )
    if len(rivals) > RIVAL_SHARE * looked and not largest:
        raise BadInput(
            f"{footage.name}: two faces are in the picture (at {rivals[0]:.0f} s); film one person alone, or pass --face largest"
        )
    return Sighting(choose_crop(footage.info.width, footage.info.height, faces), len(faces) / looked, len(rivals) / looked)


# ---- workers ---------------------------------------------------------------------------------------------------------


class _Worker:
    def __init__(self, footage: Footage, crop: Crop, size_px: int, folder: Path) -> None:
        import cv2

        cv2.setNumThreads(1)
        self.footage, self.crop, self.size_px, self.folder = footage, crop, size_px, folder
        self.detector = LandmarkDetector(max_faces=MAX_FACES)

    def close(self) -> None:
        self.detector.close()

    def chunk(self, index: int) -> int:
        first = index * CHUNK_FRAMES
        count = min(CHUNK_FRAMES, self.footage.n_frames - first)
        frames = np.load(self.folder / "frames.npy", mmap_mode="r+")
        landmarks = np.full((count, N_LANDMARKS, 3), np.nan, np.float32)
        rough = np.full((count, 4, 4), np.nan, np.float32)
        n_faces = np.zeros(count, np.int8)
        sharpness, brightness = np.full(count, np.nan, np.float32), np.full((count, 2), np.nan, np.float32)
        for k, picture in enumerate(self.footage.frames(first, count)):
            frame = self.crop.cut(picture, self.size_px)
            frames[first + k] = frame
            faces = sorted(self.detector.faces(frame), key=_tall, reverse=True)
            n_faces[k] = sum(_tall(face) > RIVAL_HEIGHT * _tall(faces[0]) for face in faces)
            if faces:
                landmarks[k], rough[k] = np.column_stack([faces[0].landmarks, faces[0].depth]), faces[0].pose
                sharpness[k], brightness[k] = _look(frame, faces[0].landmarks)
        frames.flush()
        unfinished = self.folder / f"track_{index:05d}.tmp.npz"
        np.savez(unfinished, landmarks=landmarks, rough_pose=rough, n_faces=n_faces, sharpness=sharpness, brightness=brightness)
        unfinished.rename(_chunk_path(self.folder, index))
        return count


def _look(frame: UInt8[np.ndarray, "s s 3"], landmarks: Float32[np.ndarray, "478 3"]) -> tuple[float, tuple[float, float]]:
    """Sharpness of the face at 128 pixels, and the mean luma of its left and right half."""
    import cv2

    low = np.maximum(landmarks[list(FACE_OVAL), :2].min(0).astype(int), 0)
    high = landmarks[list(FACE_OVAL), :2].max(0).astype(int) + 1
    face = frame[low[1] : high[1], low[0] : high[0]]
    if min(face.shape[:2]) < 8:
        return 0.0, (0.0, 0.0)
    luma = cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (128, 128), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(luma, cv2.CV_32F).var()), (float(luma[30:98, 24:64].mean()), float(luma[30:98, 64:104].mean()))


def _chunk_path(folder: Path, index: int) -> Path:
    return folder / f"track_{index:05d}.npz"


_worker: Any = None


def start_worker(make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Initialiser of a pool: every process makes its own worker."""
    import signal

    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    _worker = make(*arguments)


def run_chunk(index: int) -> int:
    """One chunk by this process' worker; returns its number of frames."""
    return int(_worker.chunk(index))


def in_processes(
    make: Callable[..., Any], arguments: tuple[Any, ...], missing: Iterable[int], jobs: int, progress: Callable[[int], None]
) -> None:
    """Run `missing` chunks by workers made by `make(*arguments)`."""
    missing = list(missing)
    if not missing:
        return
    if jobs == 1 or len(missing) == 1:
        with contextlib.closing(make(*arguments)) as worker:
            for index in missing:
                progress(worker.chunk(index))
        return
    pool = multiprocessing.get_context("spawn").Pool(min(jobs, len(missing)), start_worker, (make, arguments))
    try:
        for count in pool.imap_unordered(run_chunk, missing):
            progress(count)
        pool.close()
    except BaseException:
        pool.terminate()
        raise
    finally:
        pool.join()


def n_chunks(n_frames: int) -> int:
    """How many chunks a clip has."""
    return -(-n_frames // CHUNK_FRAMES)


def track_face(footage: Footage, crop: Crop, size_px: int, folder: Path, jobs: int, progress: Callable[[int], None]) -> FaceTrack:
    """Write `frames.npy` and find the face in every frame; goes on where an interrupted run stopped."""
    if not (folder / "frames.npy").exists():
        np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (footage.n_frames, size_px, size_px, 3)).flush()
    indices = range(n_chunks(footage.n_frames))
    missing = [index for index in indices if not _chunk_path(folder, index).exists()]
    progress(min(footage.n_frames, (len(indices) - len(missing)) * CHUNK_FRAMES))
    in_processes(_Worker, (footage, crop, size_px, folder), missing, jobs, progress)
    parts = [np.load(_chunk_path(folder, index)) for index in indices]
    return FaceTrack(**{name: np.concatenate([part[name] for part in parts]) for name in FaceTrack.__dataclass_fields__})


def forget_chunks(folder: Path) -> None:
    """Delete the files of finished chunks."""
    for path in chunk_files(folder):
        path.unlink()


def chunk_files(folder: Path) -> Iterator[Path]:
    """The files of finished chunks."""
    yield from folder.glob("track_*.npz")
