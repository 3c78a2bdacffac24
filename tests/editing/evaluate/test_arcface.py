"""The loader with a small ONNX network, and the alignment against points whose place is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.evaluate.arcface import FACE_PX, REFERENCE_POINTS, ArcFace, aligned_face, five_points, similarity_transform
from editing.landmarks import LEFT_EYE, N_LANDMARKS, RIGHT_EYE
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path


def write_network(path: Path, size: int = FACE_PX, scaled_inside: bool = False) -> Path:
    """Means of each channel's four quarters, 12 numbers; with its own scaling in front if asked for."""
    import onnx
    from onnx import TensorProto, helper

    nodes, source = [], "face"
    constants = []
    if scaled_inside:
        constants = [
            helper.make_tensor("middle", TensorProto.FLOAT, [], [127.5]),
            helper.make_tensor("scale", TensorProto.FLOAT, [], [1 / 127.5]),
        ]
        nodes = [helper.make_node("Sub", ["face", "middle"], ["a"]), helper.make_node("Mul", ["a", "scale"], ["b"])]
        source = "b"
    nodes += [
        helper.make_node("AveragePool", [source], ["pooled"], kernel_shape=[size // 2] * 2, strides=[size // 2] * 2),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "faces",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, ["n", 3, size, size])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 12])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def landmarks_at(points: np.ndarray) -> np.ndarray:
    landmarks = np.zeros((N_LANDMARKS, 2), np.float32)
    landmarks[list(RIGHT_EYE)], landmarks[list(LEFT_EYE)] = points[0], points[1]
    landmarks[1], landmarks[61], landmarks[291] = points[2:]
    return landmarks


def test_similarity_transform_is_found_exactly() -> None:
    points, angle = np.random.default_rng(0).normal(size=(5, 2)), 0.4
    turn = 1.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = similarity_transform(points, points @ turn.T + [3.0, -2.0])
    np.testing.assert_allclose(found, np.column_stack([turn, [3.0, -2.0]]), atol=1e-12)


def test_aligned_face_puts_the_points_where_arcface_expects_them() -> None:
    angle, middle = 0.3, np.array([130.0, 120.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = 0.9 * (np.array(REFERENCE_POINTS) - FACE_PX / 2) @ turn.T + middle
    picture = np.zeros((256, 256, 3), np.uint8)
    for x, y in points:
        picture[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3] = 255
    landmarks = landmarks_at(points + 0.5)
    np.testing.assert_allclose(five_points(landmarks), points + 0.5, atol=1e-4)
    face = aligned_face(picture, landmarks)
    assert face.shape == (FACE_PX, FACE_PX, 3)
    assert all(face[round(y), round(x), 0] == 255 for x, y in REFERENCE_POINTS)
    assert face.mean() < 10


def test_distance_is_one_minus_the_cosine(tmp_path: Path) -> None:
    network = ArcFace(write_network(tmp_path / "arcface.onnx"))
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 256, (1, 1, 3), np.uint8).repeat(256, 0).repeat(256, 1) for _ in range(2))
    landmarks = landmarks_at(1.2 * np.array(REFERENCE_POINTS) + 50.0)
    assert network.distance(a, a, landmarks, landmarks) == pytest.approx(0.0, abs=1e-6)
    x, y = (picture[0, 0].repeat(4) / 127.5 - 1.0 for picture in (a, b))
    expected = 1.0 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    assert network.distance(a, b, landmarks, landmarks) == pytest.approx(expected, abs=1e-5)


def test_a_network_that_scales_its_input_gets_levels(tmp_path: Path) -> None:
    face = np.random.default_rng(2).integers(0, 256, (FACE_PX, FACE_PX, 3), np.uint8)
    plain, inside = (ArcFace(write_network(tmp_path / f"{inside}.onnx", scaled_inside=inside)) for inside in (False, True))
    np.testing.assert_allclose(inside.embedding(face), plain.embedding(face), atol=1e-5)


def test_loading_rejects_what_is_no_arcface(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="ArcFace"):
        ArcFace(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(BadInput, match="not an ONNX network"):
        ArcFace(tmp_path / "text.onnx")
    with pytest.raises(BadInput, match="112x112"):
        ArcFace(write_network(tmp_path / "small.onnx", size=64))
