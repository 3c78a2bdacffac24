"""Where every pixel lies on the face: textures and brush strokes are drawn on a sheet that is wrapped round the head, and move with it.

The sheet is a cylinder about the head's vertical axis, unrolled: u to the image's right along the cheek, v downwards, both in centimetres
of MediaPipe's canonical face (`canonical_face.npz`: its 468 vertices and 898 triangles), whose origin lies between the eyes' height and the
nose. Inside the face the map is piecewise affine over the landmarks' triangles; beyond it (hair, ears, neck) it goes on with the head's
affine map, and what the triangles differ from that fades out. So one point of the sheet is the same point of skin in every frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from editing.landmarks import N_MESH_LANDMARKS

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int

CANONICAL_FACE = Path(__file__).with_name("canonical_face.npz")
AXIS_DEPTH_CM = -2.0
"""The cylinder's axis on the canonical face's z axis: between the ears."""
RADIUS_CM = 8.0
BORDER_DEPTH_CM = -1.0
"""Hair and ears lie about this deep: where the affine map beyond the face is taken."""
PICTURE_HEIGHT_CM = 36.0
"""What stands still (background, body) has a sheet of its own, as many centimetres high as the picture."""
FADE_CM = 5.0
"""What the triangles differ from the affine map is gone this far outside the face."""


@dataclass(frozen=True)
class CanonicalFace:
    """MediaPipe's canonical face, in centimetres: x image-right, y up, z out of the face."""

    vertices: Float32[np.ndarray, "468 3"]
    triangles: Int[np.ndarray, "898 3"]
    normals: Float32[np.ndarray, "468 3"]
    """unit length"""
    sheet: Float32[np.ndarray, "468 2"]
    """u, v of the vertices"""


@lru_cache(maxsize=1)
def canonical_face() -> CanonicalFace:
    """The mesh, read once."""
    with np.load(CANONICAL_FACE, allow_pickle=False) as file:
        vertices, triangles = file["vertices"], file["triangles"].astype(np.int64)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    facing = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, triangles[:, k], facing)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return CanonicalFace(vertices, triangles, normals, unrolled(vertices))


def unrolled(points: Float[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 2"]:
    """u, v of points of the head."""
    u = RADIUS_CM * np.arctan2(points[:, 0], points[:, 2] - AXIS_DEPTH_CM)
    return np.stack([u, -points[:, 1]], 1).astype(np.float32)


def triangles_at(points: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """Which of the canonical triangles each point of the sheet lies in; -1 where none is."""
    import cv2

    fine = 20  # pixels a centimetre: the mesh's smallest triangles are about a millimetre wide
    face = canonical_face()
    low = face.sheet.min(0)
    width, height = (int(side) + 1 for side in np.ptp(face.sheet, axis=0) * fine)
    ids = np.full((height, width), -1, np.int32)
    corners = np.round((face.sheet - low) * fine * 16).astype(np.int32)
    for k, triangle in enumerate(face.triangles):
        cv2.fillConvexPoly(ids, corners[triangle], k, shift=4)
    at = np.floor((points - low) * fine).astype(int)
    inside = ((at >= 0) & (at < (width, height))).all(1)
    result = np.full(len(points), -1)
    result[inside] = ids[at[inside, 1], at[inside, 0]]
    return result


@dataclass(frozen=True)
class HeadView:
    """How the head lies in a frame: a scaled orthographic camera fitted to the landmarks."""

    camera: Float[np.ndarray, "2 4"]
    """pixels = camera @ (x, y, z, 1) of the canonical face"""
    px_per_cm: float
    rotation: Float[np.ndarray, "3 3"]
    """view from head; view axes: x image-right, y up, z towards the viewer"""

    @staticmethod
    def of(landmarks: Float[np.ndarray, "478 2"]) -> HeadView:
        """Least squares over all points of the mesh."""
        points = np.pad(canonical_face().vertices, ((0, 0), (0, 1)), constant_values=1.0)
        camera = np.linalg.lstsq(points, landmarks[:N_MESH_LANDMARKS, :2].astype(np.float64), rcond=None)[0].T
        right, up = camera[0, :3], -camera[1, :3]
        scale = 0.5 * (np.linalg.norm(right) + np.linalg.norm(up))
        left, _, turned = np.linalg.svd(np.stack([right, up]) / scale, full_matrices=False)
        axes = left @ turned
        return HeadView(camera, float(scale), np.concatenate([axes, np.cross(axes[0], axes[1])[None]]))

    def depth(self) -> Float[np.ndarray, " 468"]:
        """Of the canonical vertices towards the viewer, cm."""
        return canonical_face().vertices @ self.rotation[2]


@dataclass(frozen=True)
class SheetMap:
    """The sheet coordinates of every pixel of a frame."""

    uv: Float32[np.ndarray, "h w 2"]
    """centimetres on the head's sheet"""
    on_face: Bool[np.ndarray, "h w"]
    """inside the landmarks' mesh"""
    normals: Float32[np.ndarray, "h w 3"]
    """of the canonical face in view axes (x right, y up, z to the viewer), on the face; 0, 0, 1 elsewhere"""


def map_sheet(landmarks: Float[np.ndarray, "478 2"], view: HeadView, size: tuple[int, int]) -> SheetMap:
    """Rasterise the mesh, nearest triangle last, and continue the map beyond it; `size` is height, width."""
    import cv2

    face = canonical_face()
    height, width = size
    points = landmarks[:N_MESH_LANDMARKS, :2].astype(np.float64)
    corners = points[face.triangles]
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    # The canonical triangles turn counter-clockwise with y up: clockwise, so negative, in pixels.
    front = np.flatnonzero(area < -1e-3)
    front = front[np.argsort(view.depth()[face.triangles[front]].mean(1))]
    ids = np.zeros((height, width), np.int32)
    fixed = np.round((corners - 0.5) * 16).astype(np.int32)
    for triangle in front:
        cv2.fillConvexPoly(ids, fixed[triangle], int(triangle) + 1, shift=4)
    on_face = ids > 0
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    flat = ids[on_face] - 1
    affine = _triangle_maps(corners, np.concatenate([face.sheet, view_normals(view)], 1)[face.triangles])
    pixels = np.stack([x[on_face], y[on_face], np.ones(len(flat), np.float32)], 1)
    inside = np.einsum("nij,nj->ni", affine[flat], pixels)
    beyond = _beyond(view, x, y)
    difference = np.zeros((height, width, 2), np.float32)
    difference[on_face] = inside[:, :2] - beyond[on_face]
    uv = beyond + _continued(difference, on_face, view.px_per_cm)
    uv[on_face] = inside[:, :2]
    normals = np.zeros((height, width, 3), np.float32)
    normals[..., 2] = 1.0
    normals[on_face] = inside[:, 2:] / np.linalg.norm(inside[:, 2:], axis=1, keepdims=True)
    return SheetMap(uv, on_face, normals)


def view_normals(view: HeadView) -> Float[np.ndarray, "468 3"]:
    """The canonical normals in view axes."""
    return canonical_face().normals @ view.rotation.T


def _triangle_maps(corners: Float[np.ndarray, "t 3 2"], values: Float[np.ndarray, "t 3 c"]) -> Float32[np.ndarray, "t c 3"]:
    """For each triangle the affine map that gives its corners their values: value = map @ (x, y, 1)."""
    homogeneous = np.pad(corners, ((0, 0), (0, 0), (0, 1)), constant_values=1.0)
    degenerate = np.abs(np.linalg.det(homogeneous)) < 1e-6
    homogeneous[degenerate] = np.eye(3)  # seen edge on: never drawn
    return np.asarray(np.linalg.solve(homogeneous, values).transpose(0, 2, 1), dtype=np.float32)


def _beyond(view: HeadView, x: Float32[np.ndarray, "h w"], y: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 2"]:
    """The affine map of a plane through the border of the face, in centimetres."""
    offset = view.camera[:, 2] * BORDER_DEPTH_CM + view.camera[:, 3]
    back = np.linalg.inv(view.camera[:, :2])
    dx, dy = x - np.float32(offset[0]), y - np.float32(offset[1])
    return np.stack([back[0, 0] * dx + back[0, 1] * dy, -(back[1, 0] * dx + back[1, 1] * dy)], -1).astype(np.float32)


def _continued(difference: Float32[np.ndarray, "h w 2"], known: Bool[np.ndarray, "h w"], px_per_cm: float) -> Float32[np.ndarray, "h w 2"]:
    """Carry a difference that is known on the face over its border, weaker with distance."""
    import cv2

    height, width = known.shape
    step = max(1, round(px_per_cm / 3))
    small = max(2, width // step), max(2, height // step)
    weight = cv2.resize(known.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    total = cv2.resize(difference, small, interpolation=cv2.INTER_AREA)
    sigma = 0.8 * px_per_cm / step
    result = np.zeros_like(total)
    missing = np.ones_like(weight)
    for widen in (1.0, 2.5, 6.0):
        soft = cv2.GaussianBlur(weight, (0, 0), sigma * widen)
        mean = cv2.GaussianBlur(total, (0, 0), sigma * widen) / np.maximum(soft, 1e-6)[..., None]
        share = missing * np.clip(soft * 4.0, 0.0, 1.0)
        result += share[..., None] * mean
        missing = missing - share
    away = cv2.distanceTransform((weight < 0.5).astype(np.uint8), cv2.DIST_L2, 5) * step / px_per_cm
    result *= np.exp(-((away / FADE_CM) ** 2))[..., None]
    return np.asarray(cv2.resize(result, (width, height), interpolation=cv2.INTER_LINEAR))


def still_sheet(size: tuple[int, int]) -> Float32[np.ndarray, "h w 2"]:
    """The sheet of what stands still: centimetres from the picture's middle; `size` is height, width."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    cm_per_px = PICTURE_HEIGHT_CM / height
    return np.stack([(x - width / 2) * cm_per_px, (y - height / 2) * cm_per_px], -1).astype(np.float32)
