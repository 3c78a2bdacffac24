"""Bronze and marble: the person as one material, lit from the upper left; the background stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import channels, mix, shoulder, smoothstep, through_ramp
from editing.image_editors.builtin.relief import find_relief

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

KEY_LIGHT = np.array([-0.45, 0.60, 0.66], np.float32)
RIM_LIGHT = np.array([0.85, 0.25, 0.10], np.float32)
"""Towards the lights, view axes."""
BRONZE = ((0.0, 0x100906), (0.25, 0x3E2414), (0.5, 0x80502A), (0.72, 0xC08448), (0.9, 0xEEBE78), (1.0, 0xFFECBE))
PATINA = 0x569680
MARBLE = ((0.0, 0x42424A), (0.3, 0x8C8A8C), (0.55, 0xC6C3BE), (0.8, 0xE8E5DF), (1.0, 0xFCFBF8))
VEIN = 0x70727C


def bronze_statue(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Dark polished bronze that mirrors sky and ground, green patina in the folds."""
    relief = find_relief(picture, scene, 0.65)
    normals = relief.normals
    facing = (normals @ _unit(KEY_LIGHT)).clip(0.0, None)
    rim = (normals @ _unit(RIM_LIGHT)).clip(0.0, None) * (1.0 - normals[..., 2].clip(0.0, 1.0))
    # The view vector mirrored at the surface: upwards it meets a bright sky, at the horizon a sharp edge.
    mirrored = 2.0 * normals[..., 2:] * normals - np.array([0.0, 0.0, 1.0], np.float32)
    sky = 0.45 * smoothstep(-0.15, 0.25, mirrored[..., 1]) + 0.35 * smoothstep(0.35, 0.95, mirrored[..., 1])
    ground = 0.18 * smoothstep(-0.3, -0.9, mirrored[..., 1])
    polish = _highlight(normals, KEY_LIGHT, 26.0)
    metal = (0.17 + 0.46 * facing + 0.27 * sky + ground) * relief.shade.clip(0.05, None) ** 0.85
    metal = metal + 0.5 * polish * relief.shade.clip(0.0, 1.2) + 0.45 * rim - 0.25 * relief.hollow
    metal = shoulder(metal.clip(0.0, None), 0.6, 1.0)
    coloured = through_ramp(metal, BRONZE)
    weathered = smoothstep(0.75, 2.2, 0.55 * scene.noise(91, 1.6, 3) + 3.4 * relief.hollow)
    coloured = mix(coloured, channels(PATINA) * (0.25 + 0.9 * metal)[..., None], 0.5 * weathered)
    return mix(picture, coloured.clip(0.0, 1.0), _cover(scene))


def marble_statue(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """White marble with grey veins; light goes a little way into it."""
    import cv2

    relief = find_relief(picture, scene, 0.85)
    facing = 0.5 + 0.5 * (relief.normals @ _unit(KEY_LIGHT))
    soft = cv2.GaussianBlur(facing, (0, 0), 0.35 * scene.px_per_cm)
    form = 0.4 * facing + 0.6 * soft
    stone = (0.86 * smoothstep(0.15, 1.1, form) + 0.08) * (0.25 + 0.75 * relief.shade**0.9)
    stone = stone + 0.18 * _highlight(relief.normals, KEY_LIGHT, 22.0) - 0.35 * relief.hollow
    stone = shoulder(stone.clip(0.0, None), 0.62, 0.97)
    coloured = through_ramp(stone, MARBLE)
    across = scene.anchored @ np.array([0.62, 0.40], np.float32)
    ridges = np.abs(np.sin(0.62 * across + 0.75 * scene.noise(101, 7.0, 2) + 0.12 * scene.noise(102, 2.0, 2)))
    veins = smoothstep(0.11, 0.0, ridges) * smoothstep(-0.9, 0.9, scene.noise(103, 4.0, 2))
    cloudy = 0.035 * scene.noise(104, 2.5, 3)
    coloured = coloured * (1.0 + cloudy[..., None])
    coloured = mix(coloured, channels(VEIN) * (0.45 + 0.8 * stone)[..., None], 0.42 * veins)
    return mix(picture, coloured.clip(0.0, 1.0), _cover(scene))


def _cover(scene: Scene) -> Float32[np.ndarray, "h w"]:
    """The whole person, its outline too: a rim of skin colour round a statue would be seen."""
    return smoothstep(0.05, 0.6, scene.regions.person)


def _unit(direction: Float32[np.ndarray, " 3"]) -> Float32[np.ndarray, " 3"]:
    return np.asarray(direction / np.linalg.norm(direction), dtype=np.float32)


def _highlight(normals: Float32[np.ndarray, "h w 3"], light: Float32[np.ndarray, " 3"], sharpness: float) -> Float32[np.ndarray, "h w"]:
    """Blinn's specular term for a viewer straight ahead."""
    half = _unit(_unit(light) + np.array([0.0, 0.0, 1.0], np.float32))
    return np.asarray((normals @ half).clip(0.0, None) ** sharpness, dtype=np.float32)
