"""Faces by MediaPipe's Face Landmarker: 478 points, blendshape scores and a rough head pose a picture.

The model file is named by FACE_LANDMARKER_TASK (see README); its SHA-256 is checked. Pictures are looked at one by one: MediaPipe's
video mode smooths over time, which would put the lips behind the sound.
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
    from jaxtyping import Float, Float32, UInt8

MODEL_VARIABLE = "FACE_LANDMARKER_TASK"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MIN_DETECTION_PX = 384
"""Smaller pictures are enlarged before detection; the detector was trained on larger faces."""
N_LANDMARKS = 478
N_MESH_LANDMARKS = 468
"""The first of them lie on the face's surface; the last ten are the irises."""
LANDMARK_NAMES = tuple(f"mediapipe_{index}" for index in range(N_LANDMARKS))

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
LEFT_BROW = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)
EYE_CORNERS = (33, 133, 362, 263)
NOSE_BASE, CHIN, FOREHEAD = 2, 152, 10
INNER_LIP_TOP, INNER_LIP_BOTTOM = 13, 14
EYE_LIDS = ((159, 145, 33, 133), (386, 374, 362, 263))
"""Of each eye: upper and lower lid, the two corners."""


@dataclass(frozen=True)
class Face:
    """One detected face."""

    landmarks: Float32[np.ndarray, "478 2"]
    """pixels"""
    depth: Float32[np.ndarray, " 478"]
    """of the landmarks, in pixels too: smaller is nearer, without a meaningful origin"""
    blendshapes: dict[str, float]
    """0…1 by MediaPipe's (ARKit's) names"""
    pose: Float32[np.ndarray, "4 4"]
    """rough camera-from-head in centimetres, OpenGL axes, for a camera with a vertical field of view of 63°"""


class LandmarkDetector:
    """Detects faces in single pictures."""

    def __init__(self, model: Path | None = None, max_faces: int = 1) -> None:
        named = str(model or os.environ.get(MODEL_VARIABLE, ""))
        if not named:
            raise BadInput(f"{MODEL_VARIABLE} is not set; it must name MediaPipe's face_landmarker.task")
        path = Path(named)
        if not path.is_file():
            raise BadInput(f"{MODEL_VARIABLE} names no file ({named!r}); it must name MediaPipe's face_landmarker.task")
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
                base_options=BaseOptions(model_asset_path=str(path)),
                num_faces=max_faces,
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
        )

    def faces(self, picture: UInt8[np.ndarray, "h w 3"]) -> list[Face]:
        """All faces found, with landmarks in pixels of `picture`."""
        from renderer.images import quantise, resize_picture

        height, width = picture.shape[:2]
        scale = max(1.0, MIN_DETECTION_PX / height)
        if scale > 1.0:
            picture = quantise(resize_picture(picture, round(width * scale), round(height * scale)))
        image = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        found = self._detector.detect(image)
        return [
            Face(
                np.array([(p.x * width, p.y * height) for p in landmarks], np.float32),
                np.array([p.z * width for p in landmarks], np.float32),
                {category.category_name: float(category.score) for category in blendshapes},
                np.asarray(matrix, np.float32),
            )
            for landmarks, blendshapes, matrix in zip(
                found.face_landmarks, found.face_blendshapes, found.facial_transformation_matrixes, strict=True
            )
        ]

    def detect_face(self, picture: UInt8[np.ndarray, "h w 3"]) -> Face | None:
        """The first face in `picture`, or None where none is found."""
        faces = self.faces(picture)
        return faces[0] if faces else None

    def detect(self, picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "478 2"] | None:
        """Landmarks in pixels of `picture`, or None where no face is found."""
        face = self.detect_face(picture)
        return None if face is None else face.landmarks

    def close(self) -> None:
        """Give the model's memory back. Left to the interpreter's end, MediaPipe fails with a traceback."""
        self._detector.close()
