"""What one frame's condition becomes before the first sample is taken: the audio code and the biases of the first layers.

numpy only, so the live server needs no torch; `torch_field.TorchField` is the twin that learns. A few hundred thousand multiplications
a frame. Shapes: windows are [n_frames, n_window_steps, feature_dim]; codes [n_frames, audio_dim]; biases float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.emotion import NEUTRAL, emotion_code
from renderer.errors import BadInput
from renderer.field.parameters import ATTENTION_CHANNELS, AUDIO_CHANNELS, EMOTION_TENSORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float

    from renderer.field.config import FieldConfig
    from renderer.types import FrameCondition

LEAK = 0.02
"""Slope of the leaky rectifiers of AD-NeRF's audio networks, which the paper takes over."""
FEATURE_CENTRE = -5.0
FEATURE_SCALE = 0.2
"""Features are log-probabilities clipped to -10...0; the network sees (x + 5) / 5."""
MAX_SMOOTHING = 0.7


@dataclass(frozen=True)
class FrameCodes:
    """Per-frame inputs of the sample networks."""

    ambient_bias: Float[np.ndarray, " hidden"]
    density_bias: Float[np.ndarray, " hidden"]
    eye_bias: Float[np.ndarray, " hidden"]
    """Added times the eye gate of the sample."""
    colour_bias: Float[np.ndarray, " hidden"]
    deform_bias: Float[np.ndarray, " torso_hidden"]
    torso_colour_bias: Float[np.ndarray, " torso_colour_hidden"]


def frame_codes(config: FieldConfig, tensors: Mapping[str, np.ndarray], condition: FrameCondition) -> FrameCodes:
    """All codes of one frame. Raises BadInput for a window of the wrong length or an unknown appearance."""
    t = tensors
    audio = audio_code(config, t, condition.audio_window, condition.smoothing)
    harmonics = spherical_harmonics(view_direction(condition.camera_from_head, config.head_centre))
    head_appearance = appearance_code(t["head.appearance"], condition.appearance)
    torso_appearance = appearance_code(t["torso.appearance"], condition.appearance)
    pose = pose_code(condition.camera_from_head, config)
    eye = 2.0 * float(np.clip(condition.eye_ratio, 0.0, 1.0)) - 1.0
    ambient, density, colour = emotion_biases(config, t, condition.emotion)
    return FrameCodes(
        ambient_bias=_f32(t["head.ambient0.audio_condition"] @ audio + t["head.ambient0.bias"] + ambient),
        density_bias=_f32(t["head.density0.bias"] + density),
        eye_bias=_f32(t["head.density0.eye"] * eye),
        colour_bias=_f32(
            t["head.colour0.direction_condition"] @ harmonics
            + t["head.colour0.appearance_condition"] @ head_appearance
            + t["head.colour0.bias"]
            + colour
        ),
        deform_bias=_f32(t["torso.deform0.pose_condition"] @ pose + t["torso.deform0.bias"]),
        torso_colour_bias=_f32(t["torso.colour0.appearance_condition"] @ torso_appearance + t["torso.colour0.bias"]),
    )


def emotion_biases(
    config: FieldConfig, tensors: Mapping[str, np.ndarray], emotion: Float[np.ndarray, " 8"] | None
) -> tuple[Float[np.ndarray, " hidden"] | float, Float[np.ndarray, " hidden"] | float, Float[np.ndarray, " hidden"] | float]:
    """What an emotion adds to the biases of the audio coordinate, density and colour (AED-NeRF, equation 1); 0 without emotion.

    None is neutral. Raises BadInput for a code of another size.
    """
    if not config.emotion_dim:
        return 0.0, 0.0, 0.0
    code = emotion_code(NEUTRAL) if emotion is None else np.asarray(emotion, np.float32)
    if code.shape != (config.emotion_dim,):
        raise BadInput(f"emotion code of shape {code.shape}; {(config.emotion_dim,)} was expected")
    ambient, density, colour = (tensors[name] @ code for name in EMOTION_TENSORS)
    return ambient, density, colour


def audio_code(
    config: FieldConfig, tensors: Mapping[str, np.ndarray], window: Float[np.ndarray, "n_steps dim"], smoothing: float = 0.0
) -> Float[np.ndarray, " audio_dim"]:
    """The audio feature extractor (paper, figure 7): convolutions over 16 steps, attention over frames, explicit smoothing."""
    shape = config.audio_window
    if window.shape != (shape.n_steps, config.feature_dim):
        raise BadInput(f"audio window of shape {window.shape}; this avatar takes {(shape.n_steps, config.feature_dim)}")
    n_windows = shape.attention + shape.smoothing_frames - 1
    steps = (window.astype(np.float32) - FEATURE_CENTRE) * FEATURE_SCALE
    x = np.stack([steps[2 * i : 2 * i + shape.window].T for i in range(n_windows)])
    for i in range(len(AUDIO_CHANNELS)):
        x = _leaky(_conv1d(x, tensors[f"audio.conv{i}.weight"], tensors[f"audio.conv{i}.bias"], stride=2))
    x = x[..., 0]
    x = _leaky(x @ tensors["audio.fc0.weight"].T + tensors["audio.fc0.bias"])
    x = x @ tensors["audio.fc1.weight"].T + tensors["audio.fc1.bias"]
    attended = []
    n_needed = shape.smoothing_frames if smoothing > 0 else 1
    for age in range(n_needed):
        first = n_windows - shape.attention - age
        attended.append(_attend(x[first : first + shape.attention], tensors))
    beta = float(np.clip(smoothing, 0.0, MAX_SMOOTHING))
    weights = np.array([beta**age for age in range(n_needed)], np.float32)
    return _f32((weights[:, None] * np.stack(attended)).sum(0) / weights.sum())


def _attend(codes: Float[np.ndarray, "attention dim"], tensors: Mapping[str, np.ndarray]) -> Float[np.ndarray, " dim"]:
    x = codes.T[None]
    for i in range(len(ATTENTION_CHANNELS)):
        x = _leaky(_conv1d(x, tensors[f"attention.conv{i}.weight"], tensors[f"attention.conv{i}.bias"], stride=1))
    scores = tensors["attention.fc.weight"] @ x[0, 0] + tensors["attention.fc.bias"]
    scores = np.exp(scores - scores.max())
    return (scores / scores.sum()) @ codes


def _conv1d(
    x: Float[np.ndarray, "n c_in width"], weight: Float[np.ndarray, "c_out c_in 3"], bias: Float[np.ndarray, " c_out"], stride: int
) -> Float[np.ndarray, "n c_out out_width"]:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    width = (x.shape[2] - 1) // stride + 1
    columns = np.stack([padded[:, :, k : k + stride * (width - 1) + 1 : stride] for k in range(3)], axis=2)
    n, c_in = x.shape[:2]
    columns = columns.reshape(n, c_in * 3, width)
    return weight.reshape(weight.shape[0], -1) @ columns + bias[:, None]


def _leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, LEAK * x)


def _f32(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, dtype=np.float32)


def appearance_code(table: Float[np.ndarray, "n dim"], index: int | None) -> Float[np.ndarray, " dim"]:
    """The embedding of a training frame, or the mean of all."""
    if index is None:
        return table.mean(0) if len(table) else np.zeros(table.shape[1], np.float32)
    if not 0 <= index < len(table):
        raise BadInput(f"appearance {index} is not one of the avatar's {len(table)}")
    return table[index]


def view_direction(camera_from_head: Float[np.ndarray, "4 4"], centre: tuple[float, float, float]) -> Float[np.ndarray, " 3"]:
    """Unit vector, head frame, from the head's centre to the camera.

    One direction a frame, where the paper takes one a ray: across a portrait the two differ by the pixel's own place, which the field
    knows from the sample's position, and the frame's direction costs nothing per sample.
    """
    rotation, translation = camera_from_head[:3, :3], camera_from_head[:3, 3]
    d = -rotation.T @ translation - np.asarray(centre)
    return _f32(d / np.linalg.norm(d))


def spherical_harmonics(d: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 16"]:
    """Real spherical harmonics of degree 0...3 of a unit vector."""
    x, y, z = (float(v) for v in d)
    xx, yy, zz = x * x, y * y, z * z
    return np.array(
        [
            0.28209479177387814,
            -0.48860251190291987 * y, 0.48860251190291987 * z, -0.48860251190291987 * x,
            1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.94617469575755997 * zz - 0.31539156525251999,
            -1.0925484305920792 * x * z, 0.54627421529603959 * (xx - yy),
            0.59004358992664352 * y * (-3.0 * xx + yy), 2.8906114426405538 * x * y * z, 0.45704579946446572 * y * (1.0 - 5.0 * zz),
            0.3731763325901154 * z * (5.0 * zz - 3.0), 0.45704579946446572 * x * (1.0 - 5.0 * zz),
            1.4453057213202769 * z * (xx - yy), 0.59004358992664352 * x * (-xx + 3.0 * yy),
        ],
        np.float32,
    )  # fmt: skip


def pose_code(camera_from_head: Float[np.ndarray, "4 4"], config: FieldConfig) -> Float[np.ndarray, " pose_features"]:
    """Head pose as the torso sees it: rotation vector from the frontal pose and translation, with sines and cosines of octaves."""
    frontal = np.diag([1.0, -1.0, -1.0])
    rotation = rotation_vector(frontal @ camera_from_head[:3, :3])
    translation = (camera_from_head[:3, 3] - np.asarray(config.torso.reference_translation)) / config.head_half_extent
    p = np.concatenate([rotation, translation])
    octaves = [f(p * 2.0**k) for k in range(config.torso.pose_octaves) for f in (np.sin, np.cos)]
    return _f32(np.concatenate([p, *octaves]))


def rotation_vector(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    """Axis times angle (radians) of a rotation by less than half a turn."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]) / 2.0
    sine = float(np.linalg.norm(skew))
    angle = float(np.arctan2(sine, (np.trace(rotation) - 1.0) / 2.0))
    return skew * (angle / sine if sine > 1e-8 else 1.0)
