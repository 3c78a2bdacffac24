"""Identity by ArcFace (Deng et al. 2019): is it still the same person?

Any ONNX file of an ArcFace network that takes faces of 112×112 pixels, such as insightface's `w600k_r50.onnx`. A face is brought into place
by five points (eyes, nose tip, corners of the mouth) with a similarity transform, as its authors do. The distance is 1 − cos of the two
embeddings: 0 the same picture, about 1 for strangers, at most 2. Instruct-NeuralTalker gives no formula; its values (1.8 to 2.9) lie beyond
what this distance can be, so figures cannot be compared with its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.landmarks import LEFT_EYE, RIGHT_EYE
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float, Float32, UInt8

FACE_PX = 112
REFERENCE_POINTS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where insightface puts the eyes, the nose tip and the corners of the mouth, in pixels of the cut face; left is the picture's left."""
NOSE_TIP, MOUTH_CORNERS = 1, (61, 291)
LEVEL_MIDDLE, LEVEL_HALF = 127.5, 127.5
NORMALISING_NODES = 8
"""A network that scales its input itself does so in its first few nodes (files that were MXNet's)."""
WHAT = "an ArcFace network for faces of 112x112 pixels (ONNX, such as insightface's w600k_r50.onnx)"


class ArcFace:
    """A loaded network with what prepares faces for it."""

    def __init__(self, path: Path) -> None:
        """BadInput for a file that is not such a network."""
        import onnx
        import onnxruntime

        try:
            graph = onnx.load(str(path), load_external_data=False).graph
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror or error}; {WHAT} was expected") from error
        except Exception as error:  # protobuf and onnxruntime raise what they like
            raise BadInput(f"{path}: not an ONNX network; {WHAT} was expected") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shapes = inputs[0].shape, outputs[0].shape
        if len(inputs) != 1 or list(shapes[0][1:]) != [3, FACE_PX, FACE_PX] or len(shapes[1]) != 2:
            raise BadInput(f"{path}: takes {shapes[0]} and gives {shapes[1]}; {WHAT} was expected")
        self._input = inputs[0].name
        first = {node.op_type for node in graph.node[:NORMALISING_NODES]}
        self._scaled_inside = {"Sub", "Mul"} <= first

    def embedding(self, face: UInt8[np.ndarray, "face_px face_px 3"]) -> Float32[np.ndarray, " dim"]:
        """Of unit length."""
        values = face.astype(np.float32)
        if not self._scaled_inside:
            values = (values - LEVEL_MIDDLE) / LEVEL_HALF
        found = self._session.run(None, {self._input: np.ascontiguousarray(values.transpose(2, 0, 1)[None])})[0][0]
        return np.asarray(found / max(float(np.linalg.norm(found)), 1e-12), np.float32)

    def distance(
        self, a: UInt8[np.ndarray, "h w 3"], b: UInt8[np.ndarray, "h w 3"], landmarks_a: np.ndarray, landmarks_b: np.ndarray
    ) -> float:
        """Of the two faces with these landmarks (478, in pixels)."""
        one, other = (self.embedding(aligned_face(picture, at)) for picture, at in ((a, landmarks_a), (b, landmarks_b)))
        return 1.0 - float(one @ other)


def five_points(landmarks: Float[np.ndarray, "478 2"]) -> Float[np.ndarray, "5 2"]:
    """Eyes, nose tip and corners of the mouth in the order of `REFERENCE_POINTS`."""
    eyes = [landmarks[list(eye)].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
    return np.stack([*eyes, landmarks[NOSE_TIP], *(landmarks[corner] for corner in MOUTH_CORNERS)])


def similarity_transform(source: Float[np.ndarray, "n 2"], target: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "2 3"]:
    """Rotation, scale and shift that bring `source` closest to `target` in the least-squares sense (Umeyama 1991, without mirroring)."""
    middle, aim = source.mean(0), target.mean(0)
    (x, y), (u, v) = (source - middle).T, (target - aim).T
    spread = float((x * x + y * y).sum())
    along, across = float((x * u + y * v).sum()) / spread, float((x * v - y * u).sum()) / spread
    turn = np.array([[along, -across], [across, along]])
    return np.column_stack([turn, aim - turn @ middle])


def aligned_face(picture: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "478 2"]) -> UInt8[np.ndarray, "face_px face_px 3"]:
    """The face cut out and turned as ArcFace saw faces in its training."""
    import cv2

    # Landmarks count from the picture's corner, pixels of OpenCV from the first pixel's centre.
    transform = similarity_transform(five_points(landmarks) - 0.5, np.array(REFERENCE_POINTS))
    return np.asarray(cv2.warpAffine(np.ascontiguousarray(picture), transform, (FACE_PX, FACE_PX), flags=cv2.INTER_LINEAR), np.uint8)
