"""Pencil sketch, cartoon, neon: the whole picture as lines and tones. Lines are the picture's own edges, so they follow what moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import from_lab, luma, mix, plain, saturated, smoothstep, through_ramp, to_lab
from editing.image_editors.builtin.flow import EdgeFlow, ink_lines, smooth_along

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

GRAPHITE, PAPER, INK = 0x29292E, 0xF7F5ED, 0x120D14
CARTOON_LEVELS = 6.0
TUBES = ((-11.0, 0x1EFAFF), (-3.0, 0x4696FF), (2.0, 0xC85AFF), (7.0, 0xFF32BE), (13.0, 0xFF506E))
"""Colours of neon light by u on the sheet, cm."""
DARK_ROOM = ((0.0, 0x05030F), (0.3, 0x1A0B40), (0.6, 0x4A2290), (0.85, 0x8C4CCE), (1.0, 0xC896F0))


def _line_px(scene: Scene) -> float:
    """Half a pen's width: in proportion to the picture."""
    return 0.0031 * scene.size[0] / scene.fineness


def _line_source(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w"]:
    """Brightness in which lips and head stand out from what they lie on, even where they are as bright."""
    parts = scene.regions
    raised = 0.10 * parts.face - 0.09 * parts.lips - 0.10 * parts.mouth - 0.05 * parts.hair - 0.05 * parts.neck
    return np.asarray(luma(picture) + raised, dtype=np.float32)


def _tone(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w"]:
    """Brightness spread so that the face's own range fills 0…1."""
    brightness = luma(picture)
    face = brightness[scene.regions.skin > 0.5]
    light = float(np.percentile(face, 90)) if face.size else 0.8
    return np.asarray((brightness / max(light, 0.05)).clip(0.0, 1.15) / 1.15, dtype=np.float32)


def pencil_sketch(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Graphite on paper: contour lines, and two directions of hatching where it is dark."""
    import cv2

    flow = EdgeFlow.of(picture, 2.2 * _line_px(scene))
    source = _line_source(picture, scene)
    lines = ink_lines(source, flow, _line_px(scene), 22.0, 0.006)
    broad = ink_lines(source, flow, 2.2 * _line_px(scene), 10.0, 0.012)
    tone = cv2.GaussianBlur(_tone(picture, scene), (0, 0), _line_px(scene))
    shade = 1.0 - tone
    hatch = 0.5 + 0.28 * scene.noise(11, (scene.pen_cm, 9.0 * scene.pen_cm), 1, 38.0)
    cross = 0.5 + 0.28 * scene.noise(12, (scene.pen_cm, 8.0 * scene.pen_cm), 1, -28.0)
    grain = scene.still_noise(13, scene.pen_cm)
    first = smoothstep(-0.18, 0.22, shade - 0.12 - 0.42 * hatch) * 0.42
    second = smoothstep(-0.15, 0.25, shade - 0.42 - 0.35 * cross) * 0.42
    parts = scene.regions
    hatched = (first + second) * (1.0 - 0.45 * parts.face)
    # Lips, teeth and eyes are small: hatching would break them up.
    toned = 0.55 * smoothstep(0.2, 1.0, shade) + 0.24 * parts.lips
    depth = 1.0 - 0.62 * parts.background
    graphite = (hatched + (toned - hatched) * scene.lips_and_eyes + 0.25 * shade**2) * depth * (1.0 + 0.10 * grain)
    graphite = 1.0 - (1.0 - graphite.clip(0.0, 0.95)) * (1.0 - 0.85 * lines) * (1.0 - 0.45 * broad)
    paper = plain(picture, PAPER) * (1.0 + 0.012 * grain)[..., None]
    drawn = mix(paper, plain(picture, GRAPHITE), graphite.clip(0.0, 1.0))
    return drawn.clip(0.0, 1.0)


def cartoon(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Flat, saturated colours in few steps of brightness, and ink outlines."""
    import cv2

    line = _line_px(scene)
    flow = EdgeFlow.of(picture, 2.5 * line)
    flat = picture
    for _ in range(2):
        flat = cv2.bilateralFilter(flat, 0, 0.10, 3.0 * line)
        flat = smooth_along(flat, flow, 4.0 * line, 4)
    lab = to_lab(flat)
    scaled = lab[..., 0] / 100.0 * CARTOON_LEVELS
    step = np.floor(scaled)
    # A soft stair: a hard one flickers where brightness lies on an edge.
    lab[..., 0] = (step + smoothstep(0.25, 0.75, scaled - step)) / CARTOON_LEVELS * 100.0
    lab[..., 0] = lab[..., 0] * 1.05 + 3.0
    lab[..., 1:] *= 1.35
    flat = from_lab(lab)
    source = _line_source(picture, scene)
    lines = ink_lines(source, flow, 1.05 * line, 40.0, 0.014)
    lines = np.maximum(lines, 0.8 * ink_lines(source, flow, 2.0 * line, 20.0, 0.03))
    return mix(flat, plain(flat, INK), 0.92 * lines)


def neon(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """A dark room, glowing tubes along the edges: cyan on one side of the face, magenta on the other."""
    import cv2

    line = _line_px(scene)
    flow = EdgeFlow.of(picture, 2.2 * line)
    source = _line_source(picture, scene)
    edges = np.maximum(ink_lines(source, flow, 1.1 * line, 26.0, 0.008), 0.7 * ink_lines(1.0 - source, flow, 1.4 * line, 22.0, 0.02))
    parts = scene.regions
    # A mouth full of light can no longer be read.
    edges *= (1.0 - 0.55 * parts.background) * (1.0 - 0.25 * parts.eyes - 0.2 * parts.lips - 0.8 * parts.mouth).clip(0.0, 1.0)
    hue = through_ramp(scene.anchored[..., 0], TUBES)
    dark = through_ramp(0.35 * luma(picture) + 0.65 * _tone(picture, scene) * parts.person, DARK_ROOM)
    dark = mix(dark, hue * luma(picture)[..., None] ** 2, 0.35)
    glow = np.zeros_like(picture)
    for widen, gain in ((2.2, 0.75), (6.0, 0.75), (14.0, 0.6)):
        glow += gain * cv2.GaussianBlur(edges, (0, 0), widen * line)[..., None] * hue
    tube = edges[..., None] * (0.35 * hue + 0.65)
    lit = 1.0 - (1.0 - dark.clip(0, 1)) * (1.0 - glow.clip(0, 1)) * (1.0 - tube.clip(0, 1))
    return saturated(lit.astype(np.float32), 1.15)
