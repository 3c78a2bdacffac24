"""Hair and skin in another colour: lights and shadows stay, the colour that most of the region has moves to the one that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import from_lab, lab_of, mean_in, mix, shoulder, to_lab

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

HAIR_COLOURS: dict[str, int] = {
    "black": 0x221E20, "dark brown": 0x3E2A20, "brown": 0x62422C, "light brown": 0x926A48,
    "blonde": 0xD4B070, "platinum": 0xE8DCC4, "ginger": 0xBE602C, "red": 0xA8281E, "auburn": 0x783422,
    "grey": 0x9C9C9E, "silver": 0xC0C2C8, "white": 0xE8E7E4, "blue": 0x285ACD, "light blue": 0x6EB0EC,
    "dark blue": 0x1C2C78, "turquoise": 0x22B2B2, "green": 0x329642, "pink": 0xF078B2, "purple": 0x7E3EB0,
    "violet": 0x7E3EB0, "orange": 0xEE7C22, "yellow": 0xF4D642,
}  # fmt: skip
"""What most of the hair becomes."""
NATURAL = ("black", "dark brown", "brown", "light brown", "blonde", "platinum", "ginger", "auburn", "grey", "silver", "white")
"""Brows take these colours too, darker."""
SKIN_TONES: dict[str, int] = {
    "pale": 0xF4DCD0, "fair": 0xECCCB8, "olive": 0xC69E74, "tanned": 0xBE825C, "brown": 0x926244,
    "dark": 0x62402E, "green": 0x68A05C, "blue": 0x5C8ACC, "red": 0xCE4A3C, "purple": 0x9668BA,
    "golden": 0xE2B054, "grey": 0x969698,
}  # fmt: skip
"""What most of the skin becomes."""
LIGHT_RANGE = (0.55, 1.12)
"""How far contrast is scaled with lightness: dark hair has few lights, pale hair few shadows."""


def hair_colour(picture: Float32[np.ndarray, "h w 3"], scene: Scene, *, colour: str) -> Float32[np.ndarray, "h w 3"]:
    """Dye the hair in one of HAIR_COLOURS; brows follow natural colours half way."""
    parts = scene.regions
    lab = to_lab(picture)
    goal = lab_of(HAIR_COLOURS[colour])
    lab = mix(lab, _dyed(lab, mean_in(lab, parts.hair), goal), (parts.hair).astype(np.float32))
    if colour in NATURAL:
        darker = goal * np.array([0.75, 1.0, 1.0], np.float32)
        lab = mix(lab, _dyed(lab, mean_in(lab, parts.brows), darker), (0.5 * parts.brows).astype(np.float32))
    return from_lab(lab)


def skin_tone(picture: Float32[np.ndarray, "h w 3"], scene: Scene, *, colour: str) -> Float32[np.ndarray, "h w 3"]:
    """Skin in one of SKIN_TONES; lips follow part of the way, keeping their distance from the skin."""
    parts = scene.regions
    lab = to_lab(picture)
    goal = lab_of(SKIN_TONES[colour])
    mean = mean_in(lab, parts.skin)
    toned = _dyed(lab, mean, goal)
    lips = lab + (goal - mean) * np.array([0.75, 0.5, 0.5], np.float32)
    # Between eyes and skin there is skin too: everything of the face that is not eye, brow, lip or mouth.
    rims = (parts.eye_rims - parts.eyes).clip(0.0, 1.0) * parts.face * (1.0 - parts.brows)
    lab = mix(lab, toned, ((parts.skin + rims).clip(0.0, 1.0)).astype(np.float32))
    lab = mix(lab, lips, (parts.lips).astype(np.float32))
    brows = lab + (goal - mean) * np.array([0.6, 0.7, 0.7], np.float32)
    brows[..., 0] = np.minimum(brows[..., 0], goal[0] - 6.0)
    lab = mix(lab, brows, (parts.brows).astype(np.float32))
    return from_lab(lab)


def _dyed(
    lab: Float32[np.ndarray, "h w 3"], mean: Float32[np.ndarray, " 3"], goal: Float32[np.ndarray, " 3"]
) -> Float32[np.ndarray, "h w 3"]:
    """Every colour by as much off the goal as it is off the mean; chroma fades where it is very light or very dark, as in nature."""
    contrast = float(np.clip(np.sqrt((goal[0] + 12.0) / (mean[0] + 12.0)), *LIGHT_RANGE))
    off = lab - mean
    lightness = shoulder(goal[0] + off[..., 0] * contrast, min(88.0, float(goal[0])), 98.0)
    fade = (1.0 - ((lightness - goal[0]).clip(0.0, None) / (105.0 - goal[0])) ** 2).clip(0.0, 1.0)
    fade = fade * (lightness / max(float(goal[0]), 1.0)).clip(0.25, 1.0) ** 0.5
    result = np.empty_like(lab)
    result[..., 0] = lightness
    result[..., 1:] = goal[1:] * fade[..., None] + 0.35 * off[..., 1:]
    return result
