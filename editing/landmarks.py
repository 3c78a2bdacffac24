"""Face landmarks by MediaPipe's Face Landmarker: 478 points a picture, and 52 blendshapes where they are asked for.

The model file is named by FACE_LANDMARKER_TASK (see README); its SHA-256 is checked.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

MODEL_VARIABLE = "FACE_LANDMARKER_TASK"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MIN_DETECTION_PX = 384
"""Smaller pictures are enlarged before detection; the detector was trained on larger faces."""


@dataclass(frozen=True)
class Face:
    """What is known of a face in a picture."""

    landmarks: Float[np.ndarray, "478 2"]
    """pixels"""
    blendshapes: dict[str, float]
    """0…1 by MediaPipe's names; empty unless the detector was opened with them"""


class LandmarkDetector:
    """Detects one face a picture."""

    def __init__(self, model: Path | None = None, *, blendshapes: bool = False) -> None:
        path = model or Path(os.environ.get(MODEL_VARIABLE, ""))
        if not path.is_file():
            raise BadInput(f"{MODEL_VARIABLE} names no file ({str(path)!r}); it must name face_landmarker.task")
        if hashlib.sha256(path.read_bytes()).hexdigest() != MODEL_SHA256:
            raise BadInput(f"{path}: not the face_landmarker.task with SHA-256 {MODEL_SHA256[:12]}…")
        try:
            import mediapipe as mp
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise BadInput("face landmarks need mediapipe: `pip install .[editing]`") from error
        self._mp = mp
        self._detector = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)), num_faces=1, output_face_blendshapes=blendshapes
            )
        )

    def detect(self, picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "478 2"] | None:
        """Landmarks in pixels of `picture`, or None where no face is found."""
        face = self.detect_face(picture)
        return None if face is None else face.landmarks

    def detect_face(self, picture: UInt8[np.ndarray, "h w 3"]) -> Face | None:
        """The face in `picture`, or None where none is found."""
        from renderer.images import quantise, resize_picture

        height, width = picture.shape[:2]
        scale = max(1.0, MIN_DETECTION_PX / height)
        if scale > 1.0:
            picture = quantise(resize_picture(picture, round(width * scale), round(height * scale)))
        image = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        found = self._detector.detect(image)
        if not found.face_landmarks:
            return None
        landmarks = np.array([(p.x * width, p.y * height) for p in found.face_landmarks[0]], np.float32)
        return Face(landmarks, {shape.category_name: float(shape.score) for shape in (found.face_blendshapes or [[]])[0]})

    def close(self) -> None:
        self._detector.close()
