"""Brush strokes that stay where they were put: each has its place on the head's sheet, or on the picture behind it.

A layer is a jittered grid of strokes in a random but fixed order. On the head a stroke's place is a fixed mix of landmarks (inside the mesh
its triangle's corners), so it moves with the skin. Each frame gives it colour, at its middle, and direction, from the flow there. Of all
strokes that cover a pixel the last in order is seen; its bristles show, and the paint's thickness catches light from the upper left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.face_sheet import BORDER_DEPTH_CM, FADE_CM, PICTURE_HEIGHT_CM, canonical_face, triangles_at
from editing.image_editors.builtin.texture import TILE_PX, noise_tile
from editing.landmarks import FACE_OVAL, N_MESH_LANDMARKS

if TYPE_CHECKING:
    from jaxtyping import Float32, Int32
    from scipy.sparse import csr_array

    from editing.image_editors.builtin.scene import Scene

HEAD_EXTENT_CM = ((-20.0, 20.0), (-22.0, 20.0))
"""u and v that strokes of the head cover: hair, ears, neck and what is near."""
JITTER = 0.45
"""Share of the grid's step."""
SUPERSAMPLED_BELOW_PX = 400
"""Smaller pictures are painted at twice their size: strokes are a few pixels wide."""
SEEN_FROM = 0.26
"""Share of a stroke's layer in a pixel from which on it is painted at all: more than the edges of two masks that meet make together."""
OUTLINE = 14
"""Corners of a stroke's outline."""
SUBPIXEL_BITS = 4
BRISTLE_ALONG, BRISTLE_ACROSS = 10.0, 22.0
"""Pixels of the noise tile, 16 a wave, that half a stroke's length and width span."""


@dataclass(frozen=True)
class Brush:
    """One pass over the picture. Lengths in centimetres of the sheet."""

    length_cm: float
    width_cm: float
    spacing_cm: float
    """between neighbours; about the width, or the ground shows"""
    bend: float = 0.0
    """how far the middle of a stroke lies off the line between its ends, in widths"""
    varies: float = 0.05
    """standard deviation of a stroke's brightness about what it covers"""
    relief: float = 0.5
    """how much light its thickness catches"""

    def scaled(self, factor: float) -> Brush:
        """A larger or smaller brush."""
        return Brush(self.length_cm * factor, self.width_cm * factor, self.spacing_cm * factor, self.bend, self.varies, self.relief)


@dataclass(frozen=True)
class Anchors:
    """Places of a layer's strokes."""

    points: Float32[np.ndarray, "n 2"]
    """on the sheet, cm, in the order in which they are painted"""
    weights: csr_array | None
    """[n, 468]: place = affine map + weights @ (landmarks - their affine map); None: stands still"""


@lru_cache(maxsize=32)
def head_anchors(spacing_cm: float, seed: int) -> Anchors:
    """Strokes over the head."""
    points = _scattered(HEAD_EXTENT_CM, spacing_cm, seed)
    return Anchors(points, _ties(points))


@lru_cache(maxsize=32)
def still_anchors(spacing_cm: float, seed: int, aspect: float) -> Anchors:
    """Strokes over a picture whose width is `aspect` heights."""
    half = PICTURE_HEIGHT_CM / 2
    return Anchors(_scattered(((-half * aspect, half * aspect), (-half, half)), spacing_cm, seed), None)


def _scattered(extent: tuple[tuple[float, float], tuple[float, float]], spacing_cm: float, seed: int) -> Float32[np.ndarray, "n 2"]:
    rng = np.random.default_rng(seed)
    u = np.arange(extent[0][0], extent[0][1] + spacing_cm, spacing_cm)
    v = np.arange(extent[1][0], extent[1][1] + spacing_cm, spacing_cm)
    grid = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    jittered = grid + rng.uniform(-JITTER, JITTER, grid.shape) * spacing_cm
    return jittered[rng.permutation(len(grid))].astype(np.float32)


def _ties(points: Float32[np.ndarray, "n 2"]) -> csr_array:
    """[n, 468]. Inside the mesh: barycentric weights. Outside: nearness to the face's outline, less with distance."""
    from scipy.sparse import csr_array

    face = canonical_face()
    outline = face.sheet[list(FACE_OVAL)]
    distance = np.linalg.norm(points[:, None] - outline[None], axis=2)
    near = 1.0 / (distance**2 + 0.25)
    weights = near / near.sum(1, keepdims=True) * np.exp(-((distance.min(1, keepdims=True) / FADE_CM) ** 2))
    columns = np.tile(np.array(FACE_OVAL), (len(points), 1))
    triangle = triangles_at(points)
    inside = np.flatnonzero(triangle >= 0)
    corners = face.sheet[face.triangles[triangle[inside]]].astype(np.float64)
    homogeneous = np.concatenate([corners, np.ones((len(inside), 3, 1))], 2)
    barycentric = np.linalg.solve(homogeneous.transpose(0, 2, 1), np.pad(points[inside], ((0, 0), (0, 1)), constant_values=1.0)[..., None])
    weights[inside] = 0.0
    weights[inside, :3] = barycentric[..., 0]
    columns[inside, :3] = face.triangles[triangle[inside]]
    rows = np.repeat(np.arange(len(points)), len(FACE_OVAL))
    used = weights.ravel() != 0.0
    shape = (len(points), N_MESH_LANDMARKS)
    return csr_array((weights.ravel()[used].astype(np.float32), (rows[used], columns.ravel()[used])), shape=shape)


def places(anchors: Anchors, scene: Scene) -> Float32[np.ndarray, "n 2"]:
    """Pixels of the strokes' middles in a frame."""
    if anchors.weights is None:
        height, width = scene.size
        px_per_cm = height / PICTURE_HEIGHT_CM
        return np.asarray(anchors.points * px_per_cm + np.array([width / 2, height / 2]), dtype=np.float32)
    camera = scene.view.camera

    def affine(sheet: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 2"]:
        return np.asarray(sheet * (1.0, -1.0) @ camera[:, :2].T + camera[:, 2] * BORDER_DEPTH_CM + camera[:, 3], dtype=np.float32)

    off = scene.landmarks[:N_MESH_LANDMARKS] - affine(canonical_face().sheet)
    return np.asarray(affine(anchors.points) + anchors.weights @ off, dtype=np.float32)


@dataclass(frozen=True)
class _Strokes:
    """What is painted in one frame. Pixels are those of the canvas, which may be larger than the picture."""

    middles: Float32[np.ndarray, "n 2"]
    along: Float32[np.ndarray, "n 2"]
    """unit vectors"""
    paint: Float32[np.ndarray, "n 3"]
    half_length: float
    half_width: float
    number: Int32[np.ndarray, " n"]
    """of the anchor: each stroke keeps its bristles"""

    @property
    def across(self) -> Float32[np.ndarray, "n 2"]:
        return np.stack([-self.along[:, 1], self.along[:, 0]], 1)


def paint(
    ground: Float32[np.ndarray, "h w 3"],
    colours: Float32[np.ndarray, "h w 3"],
    tangent: Float32[np.ndarray, "h w 2"],
    scene: Scene,
    brush: Brush,
    salt: int,
    where: Float32[np.ndarray, "h w"] | None = None,
) -> Float32[np.ndarray, "h w 3"]:
    """One layer of strokes over `ground`, coloured by `colours`, along `tangent`; only where `where` (0…1) lets it."""
    import cv2

    height, width = scene.size
    factor = 2 if height < SUPERSAMPLED_BELOW_PX else 1
    canvas = (width * factor, height * factor)
    brush = brush.scaled(1.0 / scene.fineness)
    moving = scene.moves_with_head
    seed = scene.seed * 1000 + salt
    sides = (
        (still_anchors(brush.spacing_cm, seed, width / height), 1.0 - moving, height / PICTURE_HEIGHT_CM),
        (head_anchors(brush.spacing_cm, seed + 500), moving, scene.px_per_cm),
    )
    strokes = [
        _strokes(colours, tangent, anchors, places(anchors, scene), mask if where is None else mask * where, px_per_cm, brush, factor)
        for anchors, mask, px_per_cm in sides
    ]
    still, head = (_drawn(part, brush.bend, canvas) for part in strokes)
    on_head = cv2.resize(moving, canvas, interpolation=cv2.INTER_LINEAR) > 0.5
    own = np.where(on_head, head + np.where(head > 0, len(strokes[0].middles), 0), still)
    painted = _lit(own, strokes, brush.relief)
    cover = (own > 0).astype(np.float32)
    if where is not None:
        cover *= cv2.resize(where, canvas, interpolation=cv2.INTER_LINEAR)
    if factor > 1:
        shrunk = cv2.resize(painted * cover[..., None], (width, height), interpolation=cv2.INTER_AREA)
        left = 1.0 - cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(ground * left[..., None] + shrunk, dtype=np.float32)
    return np.asarray(ground + (painted - ground) * cover[..., None], dtype=np.float32)


def _strokes(
    colours: Float32[np.ndarray, "h w 3"],
    tangent: Float32[np.ndarray, "h w 2"],
    anchors: Anchors,
    middles: Float32[np.ndarray, "n 2"],
    allowed: Float32[np.ndarray, "h w"],
    px_per_cm: float,
    brush: Brush,
    factor: int,
) -> _Strokes:
    """Those of the anchors' strokes that can reach an allowed pixel."""
    import cv2

    height, width = allowed.shape
    reach = max(1, round(0.5 * brush.length_cm * px_per_cm))
    near = cv2.dilate((allowed > SEEN_FROM).astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8))
    at = np.floor(middles).astype(int)
    seen = (at[:, 0] >= -reach) & (at[:, 0] < width + reach) & (at[:, 1] >= -reach) & (at[:, 1] < height + reach)
    at = at.clip(0, (width - 1, height - 1))
    chosen = np.flatnonzero(seen & (near[at[:, 1], at[:, 0]] > 0))
    at = at[chosen]
    along = tangent[at[:, 1], at[:, 0]]
    # The sign of a tangent has no meaning: strokes go from left to right, so that light and bend do not jump.
    along = along * np.where(along[:, :1] < 0.0, -1.0, 1.0)
    luck = np.random.default_rng(len(anchors.points)).standard_normal(len(anchors.points)).astype(np.float32)[chosen]
    return _Strokes(
        middles[chosen] * factor,
        along.astype(np.float32),
        colours[at[:, 1], at[:, 0]] * (1.0 + brush.varies * luck[:, None]),
        0.5 * brush.length_cm * px_per_cm * factor,
        0.5 * brush.width_cm * px_per_cm * factor,
        chosen.astype(np.int32),
    )


def _drawn(strokes: _Strokes, bend: float, size: tuple[int, int]) -> Int32[np.ndarray, "H W"]:
    """Which stroke is seen, counted from 1; 0 where there is none. `size` is width, height."""
    import cv2

    ids = np.zeros(size[::-1], np.int32)
    corners = strokes.middles[:, None] + _outline(strokes, bend) - 0.5
    fixed = np.round(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)
    for k in range(len(fixed)):
        cv2.fillPoly(ids, fixed[k : k + 1], k + 1, shift=SUBPIXEL_BITS)
    return ids


def _outline(strokes: _Strokes, bend: float) -> Float32[np.ndarray, "n corners 2"]:
    """Corners about the middle: a rounded bar, bent to one side."""
    turn = np.linspace(0.0, 2.0 * np.pi, OUTLINE, endpoint=False)
    s = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.7
    t = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.7
    off = t + bend * 2.0 * (0.5 - s**2)
    lengthwise = s[None, :, None] * strokes.half_length * strokes.along[:, None]
    return np.asarray(lengthwise + off[None, :, None] * strokes.half_width * strokes.across[:, None], dtype=np.float32)


def _lit(own: Int32[np.ndarray, "H W"], parts: list[_Strokes], relief: float) -> Float32[np.ndarray, "H W 3"]:
    """The strokes' paint. Light falls on ridges along the bristles and on the strokes' edges."""
    import cv2

    height, width = own.shape
    table = np.concatenate(
        [
            np.concatenate([p.middles, p.along / p.half_length, p.across / p.half_width, p.number[:, None] * 37.0 % TILE_PX, p.paint], 1)
            for p in parts
        ]
    ).astype(np.float32)
    rows, columns = np.nonzero(own)
    of = table[own[rows, columns] - 1]
    dx, dy = columns - of[:, 0], rows - of[:, 1]
    s = dx * of[:, 2] + dy * of[:, 3]
    t = dx * of[:, 4] + dy * of[:, 5]
    # Bristles: noise drawn out along the stroke.
    along, over = (s * BRISTLE_ALONG + of[:, 6]).astype(np.int32), (t * BRISTLE_ACROSS + 3.0 * of[:, 6]).astype(np.int32)
    bristle = noise_tile(0)[along % TILE_PX, over % TILE_PX]
    thickness = np.zeros((height, width), np.float32)
    thickness[rows, columns] = (1.0 - np.abs(t) ** 3) * (1.0 - 0.25 * s) + 0.2 * bristle
    wet = cv2.GaussianBlur(thickness, (0, 0), 0.8)
    slope = cv2.Sobel(wet, cv2.CV_32F, 1, 0) * 0.6 + cv2.Sobel(wet, cv2.CV_32F, 0, 1)
    light = 1.0 + relief * (np.tanh(0.25 * slope[rows, columns]) + 0.10 * bristle)
    result = np.zeros((height, width, 3), np.float32)
    result[rows, columns] = (of[:, 7:10] * light[:, None]).clip(0.0, 1.0)
    return result
