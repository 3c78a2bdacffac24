"""Paintings: oil, and the palettes and strokes of Van Gogh, Munch, Modigliani and the Fauves. The whole picture is painted.

A large brush covers the background and the clothes, a smaller one the head, the smallest the features. Strokes follow the picture's edges,
and where there are none the form of the face, or a pattern behind it. What lies behind the person stands still.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin import palettes
from editing.image_editors.builtin.brush_strokes import Brush, paint
from editing.image_editors.builtin.colour import luma, mix, plain, through_ramp
from editing.image_editors.builtin.face_sheet import PICTURE_HEIGHT_CM
from editing.image_editors.builtin.flow import EdgeFlow, ink_lines, smooth_along

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.palettes import Palette
    from editing.image_editors.builtin.scene import Scene

FEATURES = Brush(0.9, 0.32, 0.27, varies=0.03, relief=0.15)
FORM_EDGE = 0.22
"""Gradient (brightness a centimetre) from which on strokes follow the picture's edges rather than the form."""
FINE_CM, BROAD_CM = 0.25, 0.5
"""Over which edges' directions are averaged."""
LIPS_KEPT = 0.65
"""How far eyes and mouth are painted without visible strokes."""
SKIN_LIGHT = 0.78
"""Where in a ramp the light side of the skin lies."""


def oil_painting(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Three brushes in the picture's own colours; paint that stands off the canvas."""
    import cv2

    px = scene.px_per_cm
    lean = 0.6 * scene.still_noise(30, 7.0)
    level = np.stack([np.cos(lean), np.sin(lean)], -1)
    flow = EdgeFlow.of(picture, BROAD_CM * px, _behind(scene, _round_the_face(scene), level), FORM_EDGE / px)
    clean = smooth_along(picture, EdgeFlow.of(picture, FINE_CM * px), 0.3 * px, 4)
    soft = cv2.GaussianBlur(clean, (0, 0), 0.10 * px)
    rich = (soft + 0.3 * (soft - cv2.GaussianBlur(soft, (0, 0), 1.5 * px))).clip(0.0, 1.0)
    wide = Brush(3.0, 1.0, 0.75, bend=0.15, relief=0.35)
    narrow = Brush(1.7, 0.55, 0.45, bend=0.15, varies=0.035, relief=0.22)
    return _painted(rich, clean, flow.tangent, scene, wide, narrow, 31)


def van_gogh(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Ochre and orange before a swirling blue; short thick strokes that follow the form."""
    hills, swirl = _swirls(scene, 41, 6.5)
    night = luma(picture) * 0.35 + 0.22 + 0.15 * np.sin(5.0 * hills) + 0.10 * hills
    coloured = _in_colours(picture, scene, palettes.VAN_GOGH, night)
    stroke = Brush(1.9, 0.5, 0.42, bend=0.3, varies=0.09, relief=0.42)
    return _in_strokes(picture, coloured, swirl, scene, stroke.scaled(1.5), stroke.scaled(0.85), 42)


def munch(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Sallow skin, long wavy thin strokes, a red and orange sky over dark blue."""
    hills, _ = _swirls(scene, 51, 7.0)
    level = scene.still[..., 1] + 1.6 * hills + 0.8 * np.sin(0.42 * scene.still[..., 0] + 1.2 * hills)
    bands = level / PICTURE_HEIGHT_CM + 0.5 + 0.035 * np.sin(2.3 * level)
    coloured = _in_colours(picture, scene, palettes.MUNCH, bands)
    lit = 0.75 + 0.5 * luma(picture)[..., None].clip(0.2, 0.8)
    coloured = mix(coloured, (coloured * lit).clip(0.0, 1.0), scene.regions.background)
    flow = EdgeFlow.of(picture, 0.7 * scene.px_per_cm, _round_the_face(scene), 2.0 * FORM_EDGE / scene.px_per_cm)
    contour = ink_lines(luma(picture) - 0.2 * scene.regions.person, flow, 0.14 * scene.px_per_cm, 12.0, 0.02)
    coloured = mix(coloured, plain(coloured, 0x1F1F1F), 0.55 * contour)
    wide, narrow = Brush(4.2, 0.6, 0.52, bend=0.5, varies=0.07, relief=0.2), Brush(2.0, 0.36, 0.33, bend=0.5, relief=0.2)
    return _in_strokes(picture, coloured, _contours(level), scene, wide, narrow, 52)


def modigliani(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Terracotta skin, smoothly modelled, dark contours, a plain grey-green wall, eyes of one grey blue."""
    import cv2

    px = scene.px_per_cm
    parts = scene.regions
    flow = EdgeFlow.of(picture, BROAD_CM * px, _round_the_face(scene), 1.5 * FORM_EDGE / px)
    calm = cv2.bilateralFilter(smooth_along(picture, flow, 0.7 * px, 5), 0, 0.12, 0.7 * px)
    wall = 0.5 + 0.13 * scene.still_noise(61, 3.0, 3) + 0.012 * scene.still[..., 0]
    coloured = _in_colours(calm, scene, palettes.MODIGLIANI, wall)
    warm = cv2.GaussianBlur(parts.skin * (luma(calm) > 0.4), (0, 0), px) * parts.skin
    coloured = mix(coloured, coloured * np.array([1.05, 0.94, 0.92], np.float32), 0.6 * warm)
    coloured = mix(coloured, plain(coloured, 0x788F99) * (0.55 + 0.6 * luma(calm)[..., None]), 0.8 * parts.eyes)
    coloured = mix(coloured, coloured * np.array([0.98, 0.62, 0.58], np.float32), 0.5 * parts.lips)
    source = luma(picture) - 0.25 * parts.hair + 0.2 * parts.face + 0.12 * parts.neck - 0.08 * parts.lips
    contour = ink_lines(source, flow, 0.13 * px, 16.0, 0.016)
    lined = mix(coloured, plain(coloured, 0x211412), 0.8 * contour)
    stroke = Brush(1.8, 0.6, 0.5, bend=0.1, varies=0.04, relief=0.16)
    detail = _detail(scene)
    canvas = paint(coloured, coloured, flow.tangent, scene, stroke.scaled(1.4), 62, 1.0 - parts.head)
    canvas = paint(canvas, coloured, flow.tangent, scene, stroke.scaled(0.8), 63, parts.head * (1.0 - detail))
    canvas = mix(canvas, canvas * np.array([0.35, 0.28, 0.26], np.float32), 0.8 * contour)
    canvas = mix(canvas, lined, 0.8 * detail)
    return _keep_lips(canvas, lined, scene)


def fauvism(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Pure colours by brightness alone: yellow light, orange and pink, green and violet shadows, in broad strokes."""
    patches, swirl = _swirls(scene, 71, 9.0)
    fields = 0.5 + 0.3 * patches + 0.2 * (luma(picture) - 0.5)
    coloured = _in_colours(picture, scene, palettes.FAUVISM, fields)
    stroke = Brush(2.0, 0.8, 0.62, bend=0.15, varies=0.06, relief=0.3)
    narrow = replace(stroke.scaled(0.75), relief=0.2)
    return _in_strokes(picture, coloured, swirl, scene, stroke.scaled(1.5), narrow, 72)


# ---- colours -------------------------------------------------------------------------------------------------------
def _in_colours(
    picture: Float32[np.ndarray, "h w 3"], scene: Scene, palette: Palette, behind: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w 3"]:
    """In a painter's colours; `behind` chooses those of the background. Eyes, brows and mouth keep theirs."""
    parts = scene.regions
    brightness = luma(picture)
    skin = brightness[parts.skin > 0.5]
    light = float(np.percentile(skin, 85)) if skin.size else SKIN_LIGHT
    spread = (brightness * (SKIN_LIGHT / max(light, 0.1))).clip(0.0, 1.0)
    result = mix(picture, through_ramp(behind, palette.background), 0.95 * parts.background)
    for ramp, mask in ((palette.cloth, parts.cloth), (palette.hair, parts.hair), (palette.skin, parts.skin)):
        result = mix(result, through_ramp(spread, ramp), mask * (1.0 - palette.own))
    return result


# ---- directions ----------------------------------------------------------------------------------------------------
def _round_the_face(scene: Scene) -> Float32[np.ndarray, "h w 2"]:
    """Directions that follow the head's form: about the face's middle."""
    away = scene.sheet.uv - np.array([0.0, 1.0], np.float32)
    away = away / (np.linalg.norm(away, axis=2, keepdims=True) + 1.0)
    turning = np.stack([-away[..., 1], away[..., 0]], -1)
    level = np.array([1.0, 0.0], np.float32)
    moving = scene.moves_with_head[..., None]
    return np.asarray(turning * moving + level * (1.0 - moving), dtype=np.float32)


def _behind(scene: Scene, on_person: Float32[np.ndarray, "h w 2"], behind: Float32[np.ndarray, "h w 2"]) -> Float32[np.ndarray, "h w 2"]:
    return np.asarray(np.where(scene.regions.background[..., None] > 0.5, behind, on_person), dtype=np.float32)


def _swirls(scene: Scene, salt: int, wave_cm: float) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w 2"]]:
    """Smooth hills that stand still, and the directions along their contours."""
    import cv2

    hills = cv2.GaussianBlur(scene.still_noise(salt, wave_cm, 2), (0, 0), 0.01 * scene.size[0])
    return hills, _contours(hills)


def _contours(hills: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 2"]:
    import cv2

    dx, dy = cv2.Sobel(hills, cv2.CV_32F, 1, 0), cv2.Sobel(hills, cv2.CV_32F, 0, 1)
    along = np.stack([-dy, dx], -1)
    return np.asarray(along / (np.linalg.norm(along, axis=2, keepdims=True) + 1e-6), dtype=np.float32)


# ---- strokes -------------------------------------------------------------------------------------------------------
def _in_strokes(
    picture: Float32[np.ndarray, "h w 3"],
    coloured: Float32[np.ndarray, "h w 3"],
    behind: Float32[np.ndarray, "h w 2"],
    scene: Scene,
    wide: Brush,
    narrow: Brush,
    salt: int,
) -> Float32[np.ndarray, "h w 3"]:
    """Recoloured pictures: strokes along the picture's own edges on the person, along a pattern behind."""
    import cv2

    px = scene.px_per_cm
    flow = EdgeFlow.of(picture, BROAD_CM * px, _round_the_face(scene), FORM_EDGE / px)
    clean = smooth_along(coloured, EdgeFlow.of(picture, FINE_CM * px), 0.3 * px, 4)
    soft = cv2.GaussianBlur(clean, (0, 0), 0.10 * px)
    narrow = replace(narrow, varies=min(narrow.varies, 0.05), relief=min(narrow.relief, 0.28))
    return _painted(soft, clean, _behind(scene, flow.tangent, behind), scene, wide, narrow, salt)


def _painted(
    colours: Float32[np.ndarray, "h w 3"],
    clean: Float32[np.ndarray, "h w 3"],
    tangent: Float32[np.ndarray, "h w 2"],
    scene: Scene,
    wide: Brush,
    narrow: Brush,
    salt: int,
) -> Float32[np.ndarray, "h w 3"]:
    """All three layers; `clean` is what the smallest brush paints and what eyes and mouth keep."""
    detail = _detail(scene)
    fine = EdgeFlow.of(clean, FINE_CM * scene.px_per_cm)
    canvas = paint(colours, colours, tangent, scene, wide, salt, 1.0 - scene.regions.head)
    canvas = paint(canvas, colours, tangent, scene, narrow, salt + 1, scene.regions.head * (1.0 - detail))
    canvas = paint(canvas, clean, fine.tangent, scene, FEATURES, salt + 2, detail)
    return _keep_lips(canvas, clean, scene)


def _detail(scene: Scene) -> Float32[np.ndarray, "h w"]:
    """Where a painter takes the smallest brush: eyes, brows, and mouth."""
    import cv2

    parts = scene.regions
    features = np.maximum.reduce([parts.eye_rims, parts.brows, parts.lips, parts.mouth])
    grown = cv2.dilate(features, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), 0.35 * scene.px_per_cm), dtype=np.float32)


def _keep_lips(painted: Float32[np.ndarray, "h w 3"], clean: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Lips, teeth and eyes drawn with a pointed brush over the strokes, so that speech stays readable."""
    return mix(painted, clean, LIPS_KEPT * scene.lips_and_eyes)
