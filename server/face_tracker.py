"""A face in a picture, by MediaPipe's Face Landmarker: head pose, blinks, expression.

An optional part: the extra `[follow]` brings MediaPipe, and FACE_LANDMARKER_TASK names its model, as for the editing commands. Pictures
are looked at one by one; MediaPipe's video mode would smooth over time, and `renderer.head_guide` does that with less lag.

Its head pose is camera-from-head in centimetres with OpenGL's axes, for a camera with a vertical field of view of 63 degrees. A real
camera's differs a little, which changes how far the head seems to be and hardly its angles; what counts is movement against a rest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BadInput
from renderer.face_expression import expression_scores
from renderer.head_guide import SeenFace

if TYPE_CHECKING:
    from jaxtyping import UInt8

MODEL_VARIABLE = "FACE_LANDMARKER_TASK"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
CM_A_UNIT = 17.0
"""Of `renderer.types`: 1 unit is about half a head's height."""
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def missing_for_tracking() -> str | None:
    """What is to be done before faces can be tracked, in one line, or None. Quick: the model is not read."""
    if importlib.util.find_spec("mediapipe") is None:
        return "following a camera needs mediapipe: pip install '.[follow]'"
    named = os.environ.get(MODEL_VARIABLE, "")
    if not named:
        return f"{MODEL_VARIABLE} is not set; it must name MediaPipe's face_landmarker.task"
    if not Path(named).is_file():
        return f"{MODEL_VARIABLE} names no file ({named!r}); it must name MediaPipe's face_landmarker.task"
    return None


class FaceTracker:
    """Looks at single pictures. Blocks while it does, about 10 ms on a free core."""

    def __init__(self) -> None:
        """Raises BadInput where MediaPipe or its model is missing, or the model is another one."""
        if (missing := missing_for_tracking()) is not None:
            raise BadInput(missing)
        path = Path(os.environ[MODEL_VARIABLE])
        if hashlib.sha256(path.read_bytes()).hexdigest() != MODEL_SHA256:
            raise BadInput(f"{MODEL_VARIABLE} names {path}: not the face_landmarker.task with SHA-256 {MODEL_SHA256[:12]}…")
        import mediapipe as mp
        from mediapipe.tasks.python import BaseOptions, vision

        self._mp = mp
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            num_faces=1,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)

    def look(self, rgb: UInt8[np.ndarray, "height width 3"]) -> SeenFace | None:
        """The face in a picture that is not mirrored; None where there is none."""
        image = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))
        found = self._landmarker.detect(image)
        if not found.face_landmarks:
            return None
        pose = OPENCV_FROM_OPENGL @ np.asarray(found.facial_transformation_matrixes[0], np.float64)
        pose[:3, 3] /= CM_A_UNIT
        scores = {category.category_name: float(category.score) for category in found.face_blendshapes[0]}
        blink = 0.5 * (scores["eyeBlinkLeft"] + scores["eyeBlinkRight"])
        return SeenFace(pose, blink, expression_scores(scores))

    def close(self) -> None:
        """Give the model's memory back. Left to the interpreter's end, MediaPipe fails with a traceback."""
        self._landmarker.close()
