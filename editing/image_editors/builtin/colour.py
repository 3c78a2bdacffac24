"""Colours: pictures are float32 sRGB in 0…1; Lab is CIE L*a*b* (L 0…100) of D65."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Float32

LUMA = (0.299, 0.587, 0.114)
Ramp = tuple[tuple[float, int], ...]
"""Colours 0xRRGGBB at rising values."""


def to_lab(picture: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """L, a, b."""
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture, np.float32), cv2.COLOR_RGB2LAB))


def from_lab(lab: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """sRGB, clipped to 0…1."""
    import cv2

    limited = np.ascontiguousarray(lab, np.float32)
    limited[..., 0] = limited[..., 0].clip(0.0, 100.0)
    return np.asarray(cv2.cvtColor(limited, cv2.COLOR_LAB2RGB)).clip(0.0, 1.0)


def lab_of(colour: int) -> Float32[np.ndarray, " 3"]:
    """Of one colour, 0xRRGGBB."""
    return np.asarray(to_lab(channels(colour).reshape(1, 1, 3))[0, 0])


def luma(picture: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """Brightness, 0…1."""
    return np.asarray(picture @ np.array(LUMA, np.float32))


def mix(
    a: Float32[np.ndarray, "h w 3"], b: Float32[np.ndarray, "h w 3"], share: Float32[np.ndarray, "h w"] | float
) -> Float32[np.ndarray, "h w 3"]:
    """a where `share` is 0, b where it is 1."""
    weight = share if isinstance(share, float) else share[..., None]
    return np.asarray(a + (b - a) * weight, dtype=np.float32)


def saturated(picture: Float32[np.ndarray, "h w 3"], factor: float) -> Float32[np.ndarray, "h w 3"]:
    """Farther from grey by `factor` (below 1: nearer)."""
    grey = luma(picture)[..., None]
    return np.asarray((grey + (picture - grey) * factor).clip(0.0, 1.0), dtype=np.float32)


def smoothstep(low: float, high: float, x: Float[np.ndarray, ...]) -> Float32[np.ndarray, ...]:
    """0 up to `low`, 1 from `high` on, smooth between; low > high turns it round."""
    t = ((x - low) / (high - low)).clip(0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def shoulder(value: Float32[np.ndarray, "h w"], knee: float, top: float) -> Float32[np.ndarray, "h w"]:
    """Values above `knee` are bent so that they never pass `top`."""
    bent = knee + (top - knee) * np.tanh((value - knee) / (top - knee))
    return np.asarray(np.where(value > knee, bent, value), dtype=np.float32)


def channels(colour: int) -> Float32[np.ndarray, " 3"]:
    """0xRRGGBB as red, green, blue in 0…1."""
    return np.array([colour >> 16 & 255, colour >> 8 & 255, colour & 255], np.float32) / 255.0


def through_ramp(value: Float[np.ndarray, "h w"], ramp: Ramp) -> Float32[np.ndarray, "h w 3"]:
    """Colour by value, interpolated between the ramp's."""
    at = [stop for stop, _ in ramp]
    colours = np.stack([channels(colour) for _, colour in ramp])
    return np.stack([np.interp(value, at, colours[:, k]) for k in range(3)], -1).astype(np.float32)


def plain(like: Float32[np.ndarray, "h w 3"], colour: int) -> Float32[np.ndarray, "h w 3"]:
    """One colour all over, in the shape of a picture."""
    return np.broadcast_to(channels(colour), like.shape)


def mean_in(values: Float32[np.ndarray, "h w c"], mask: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, " c"]:
    """Weighted by a mask; the picture's mean where the mask is empty."""
    total = float(mask.sum())
    if total < 1.0:
        return np.asarray(values.mean((0, 1)), dtype=np.float32)
    return np.asarray((values * mask[..., None]).sum((0, 1)) / total, dtype=np.float32)
