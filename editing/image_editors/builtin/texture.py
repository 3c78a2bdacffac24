"""Noise that tiles, looked up by sheet coordinates: grain, mottling, veins and paper that stay on what they lie on."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32

TILE_PX = 512
TILE_PERIODS = 32
"""A tile's finest noise has this many waves across; coarser octaves halve it."""


@lru_cache(maxsize=64)
def noise_tile(seed: int, octaves: int = 1) -> Float32[np.ndarray, "tile tile"]:
    """Smooth noise of mean 0 and standard deviation 1 that goes on at its borders; each further octave is twice as large and as strong."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(TILE_PX, 1.0 / TILE_PX)
    radius = np.hypot(*np.meshgrid(frequency, frequency, indexing="ij"))
    total = np.zeros((TILE_PX, TILE_PX))
    for octave in range(octaves):
        centre = TILE_PERIODS / 2**octave
        band = np.exp(-(((radius - centre) / (0.45 * centre)) ** 2))
        white = np.fft.fft2(rng.standard_normal((TILE_PX, TILE_PX)))
        wave = np.fft.ifft2(white * band).real
        total += 2.0**octave * wave / wave.std()
    return np.asarray(total / total.std(), dtype=np.float32)


def sample(
    tile: Float32[np.ndarray, "tile tile"],
    coordinates_cm: Float32[np.ndarray, "h w 2"],
    wave_cm: float | tuple[float, float],
    turn_deg: float = 0.0,
) -> Float32[np.ndarray, "h w"]:
    """A tile's value at sheet coordinates; one wave of its finest noise is `wave_cm` long (u, v), before the tile is turned."""
    import cv2

    wave_u, wave_v = (wave_cm, wave_cm) if isinstance(wave_cm, float) else wave_cm
    if turn_deg:
        cos, sin = float(np.cos(np.radians(turn_deg))), float(np.sin(np.radians(turn_deg)))
        coordinates_cm = coordinates_cm @ np.array([[cos, -sin], [sin, cos]], np.float32)
    scale = np.array([TILE_PX / TILE_PERIODS / wave_u, TILE_PX / TILE_PERIODS / wave_v], np.float32)
    # OpenCV's remap wraps only up to a few periods away: the remainder is taken here.
    at = np.mod(coordinates_cm * scale, np.float32(TILE_PX))
    return np.asarray(cv2.remap(tile, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))
