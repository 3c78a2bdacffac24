"""Do lips and sound belong together: SyncNet (Chung & Zisserman, "Out of time: automated lip sync in the wild", 2016).

The public file `syncnet_v2.model` holds two networks: one sees five pictures of a face (25 a second, 224 pixels, blue-green-red, 0…255),
the other hears the same 0.2 s (20 steps of 13 MFCCs); both give 1024 numbers. Their Euclidean distance is measured for every shift of the
sound within ±15 frames and averaged over the clip: the least is LSE-D (`distance`), the median over the shifts less the least is LSE-C
(`confidence`). As in the public program, sound past the clip's ends counts as zeros, and the clip's last five frames begin no window.

What differs from it: faces are found by the landmark model instead of S3FD, and nothing is compressed as a video on the way.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from editing.dataset import SAMPLES_PER_FRAME
from editing.evaluate.mfcc import STEP_HZ, mfcc
from editing.weight_files import check_tensors, read_tensors
from renderer.images import quantise, resize_picture
from renderer.types import FPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from editing.landmarks import LandmarkDetector

WINDOW_FRAMES = 5
STEPS_PER_FRAME = STEP_HZ // FPS
WINDOW_STEPS = WINDOW_FRAMES * STEPS_PER_FRAME
FACE_PX = 224
EMBEDDING_DIM = 1024
MAX_SHIFT_FRAMES = 15
MIN_FRAMES = 2 * MAX_SHIFT_FRAMES + 1 + WINDOW_FRAMES
"""Fewer, and most of what is compared at the largest shift is the zeros past the ends."""
PCM16_SCALE = 32767.0
BATCH_WINDOWS = 8

CROP_MARGIN = 0.4
"""Of half the face's size, beside and below it."""
PADDING_LEVEL = 110
"""Grey outside of the picture, 0…255."""
SMOOTHED_FRAMES = 13
"""The face's place is the median of as many frames."""

WHAT = "syncnet_v2.model of joonson/syncnet_python"


@dataclass(frozen=True)
class SyncScores:
    """What SyncNet says of a clip."""

    confidence: float
    """LSE-C; higher is better."""
    distance: float
    """LSE-D; lower is better."""
    offset_frames: int
    """Positive: the lips are behind the sound."""


class SyncNetwork(nn.Module):
    """Layers and tensor names of the public file."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_block(nn.Conv2d(1, 64, 3, padding=1)), nn.MaxPool2d(1),
            *_block(nn.Conv2d(64, 192, 3, padding=1)), nn.MaxPool2d(3, (1, 2)),
            *_block(nn.Conv2d(192, 384, 3, padding=1)),
            *_block(nn.Conv2d(384, 256, 3, padding=1)),
            *_block(nn.Conv2d(256, 256, 3, padding=1)), nn.MaxPool2d(3, 2),
            *_block(nn.Conv2d(256, 512, (5, 4))),
        )  # fmt: skip
        self.netcnnlip = nn.Sequential(
            *_block(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(nn.Conv3d(256, 512, (1, 6, 6))),
        )  # fmt: skip
        self.netfcaud, self.netfclip = (
            nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, EMBEDDING_DIM)) for _ in range(2)
        )

    def sound(self, steps: Float[Tensor, "n 1 n_coefficients window_steps"]) -> Float[Tensor, "n embedding"]:
        return cast("Tensor", self.netfcaud(self.netcnnaud(steps).flatten(1)))

    def lips(self, faces: Float[Tensor, "n 3 window_frames face_px face_px"]) -> Float[Tensor, "n embedding"]:
        return cast("Tensor", self.netfclip(self.netcnnlip(faces).flatten(1)))


def _block(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, ...]:
    normalisation = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, normalisation(convolution.out_channels), nn.ReLU()


class SyncNet:
    """The loaded network with what prepares pictures and sound for it."""

    def __init__(self, path: Path) -> None:
        self._network = SyncNetwork()
        own = self._network.state_dict()
        tensors = read_tensors(path, WHAT)
        # Only training uses these counters, and files of older torch versions have none.
        counters = {name: tensor for name, tensor in own.items() if name.endswith("num_batches_tracked")}
        tensors = counters | tensors
        check_tensors(path, WHAT, tensors, {name: tuple(tensor.shape) for name, tensor in own.items()})
        self._network.load_state_dict(tensors, strict=True)
        self._network.eval().requires_grad_(False)

    def scores(
        self,
        clip: Callable[[], Iterable[UInt8[np.ndarray, "h w 3"]]],
        samples: Float[np.ndarray, " n_samples"],
        detector: LandmarkDetector,
    ) -> SyncScores | None:
        """Scores of consecutive pictures and their sound (-1…1 at 16 kHz); None where no face is found.

        `clip` gives the pictures from the beginning each time: they are gone through twice, so that none has to be kept.
        """
        places = face_places(clip(), detector)
        if places is None:
            return None
        lips = self.embed_lips(face_crop(picture, place) for picture, place in zip(clip(), places, strict=True))
        sound = self.embed_sound(samples)
        n = min(len(lips), len(sound))
        return sync_scores(lips[:n], sound[:n])

    def embed_lips(self, faces: Iterable[UInt8[np.ndarray, "face_px face_px 3"]]) -> Float[Tensor, "n_windows embedding"]:
        """One embedding for each five successive faces; the last five of a clip are left out with their window."""
        window: deque[Tensor] = deque(maxlen=WINDOW_FRAMES)
        waiting: list[Tensor] = []
        found: list[Tensor] = []
        with torch.inference_mode():
            for face in faces:
                blue_green_red = np.ascontiguousarray(face[..., ::-1])
                window.append(torch.from_numpy(blue_green_red).permute(2, 0, 1))
                if len(window) == WINDOW_FRAMES:
                    waiting.append(torch.stack(tuple(window), dim=1))
                if len(waiting) == BATCH_WINDOWS:
                    found.append(self._network.lips(torch.stack(waiting).float()))
                    waiting.clear()
            if waiting:
                found.append(self._network.lips(torch.stack(waiting).float()))
        return torch.cat(found)[:-1] if found else torch.zeros(0, EMBEDDING_DIM)

    def embed_sound(self, samples: Float[np.ndarray, " n_samples"]) -> Float[Tensor, "n_windows embedding"]:
        """One embedding for each frame of the sound that has five frames of it before the end and one more."""
        n_windows = len(samples) // SAMPLES_PER_FRAME - WINDOW_FRAMES
        if n_windows < 1:
            return torch.zeros(0, EMBEDDING_DIM)
        steps = torch.from_numpy(mfcc(np.round(samples * PCM16_SCALE))).float().t()
        with torch.inference_mode():
            windows = [steps[None, :, STEPS_PER_FRAME * k : STEPS_PER_FRAME * k + WINDOW_STEPS] for k in range(n_windows)]
            batches = [windows[first : first + BATCH_WINDOWS] for first in range(0, n_windows, BATCH_WINDOWS)]
            return torch.cat([self._network.sound(torch.stack(batch)) for batch in batches])


def sync_scores(lips: Float[Tensor, "n embedding"], sound: Float[Tensor, "n embedding"], max_shift: int = MAX_SHIFT_FRAMES) -> SyncScores:
    """Search the shift of the sound at which the embeddings are closest on average."""
    padded = torch.nn.functional.pad(sound, (0, 0, max_shift, max_shift))
    shifts = range(2 * max_shift + 1)
    means = torch.stack([torch.nn.functional.pairwise_distance(lips, padded[shift : shift + len(lips)]).mean() for shift in shifts])
    best = int(means.argmin())
    return SyncScores(float(means.median() - means[best]), float(means[best]), max_shift - best)


def face_places(pictures: Iterable[UInt8[np.ndarray, "h w 3"]], detector: LandmarkDetector) -> Float[np.ndarray, "n 3"] | None:
    """Centre x, y and half the size of the face in each picture, in pixels, smoothed; None where no picture shows a face.

    A frame without a face has it where the nearest frame with one has it.
    """
    from scipy import ndimage

    places = []
    for picture in pictures:
        landmarks = detector.detect(picture)
        places.append(np.full(3, np.nan) if landmarks is None else _place(landmarks))
    found = np.flatnonzero([not np.isnan(place[0]) for place in places])
    if not len(found):
        return None
    nearest = found[np.abs(np.arange(len(places))[:, None] - found).argmin(1)]
    return ndimage.median_filter(np.stack(places)[nearest], size=(SMOOTHED_FRAMES, 1), mode="nearest")


def _place(landmarks: Float[np.ndarray, "n_landmarks 2"]) -> Float[np.ndarray, " 3"]:
    low, high = landmarks.min(0), landmarks.max(0)
    return np.array([*(low + high) / 2.0, (high - low).max() / 2.0])


def face_crop(picture: UInt8[np.ndarray, "h w 3"], place: Float[np.ndarray, " 3"]) -> UInt8[np.ndarray, "face_px face_px 3"]:
    """The square that the public program cuts out: from the face's top to a margin below its chin, with the margin on either side."""
    x, y, half = place
    margin = CROP_MARGIN * half
    size = max(1, round(2.0 * (half + margin)))
    left, top = round(x - half - margin), round(y - half)
    height, width = picture.shape[:2]
    square = np.full((size, size, 3), PADDING_LEVEL, np.uint8)
    rows, columns = slice(max(0, top), max(0, min(height, top + size))), slice(max(0, left), max(0, min(width, left + size)))
    square[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = picture[rows, columns]
    return quantise(resize_picture(square, FACE_PX, FACE_PX))
