"""Names and shapes of every tensor of a field: one list for the avatar file, the torch reference and the fast backends.

Matrices are [out, in] as in torch.nn.Linear, convolutions [out, in, width]. A name ending in `_condition` maps a per-frame condition
to the bias of the layer before it, so a frame's conditions cost nothing per sample.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from renderer.errors import BadAvatar

if TYPE_CHECKING:
    import numpy as np

    from renderer.field.config import FieldConfig

POSE_DIM = 6
SH_DIM = 16
"""Spherical harmonics up to degree 3 of the view direction."""
AUDIO_CHANNELS = (32, 32, 64, 64)
ATTENTION_CHANNELS = (16, 8, 4, 2, 1)
EMOTION_TENSORS = tuple(f"head.{layer}.emotion_condition" for layer in ("ambient0", "density0", "colour0"))
"""Of a field with emotion only. The audio coordinate takes e as well, since a smile changes what a mouth does while it speaks; AED-NeRF's
equation 1 gives e to density and colour."""


def parameter_shapes(config: FieldConfig) -> dict[str, tuple[int, ...]]:
    """Every learned tensor, float, by name."""
    c, torso, hidden = config, config.torso, config.hidden
    spatial, audio = c.spatial_grid.n_outputs, c.audio_grid.n_outputs
    shapes: dict[str, tuple[int, ...]] = {}
    channels: tuple[int, ...] = (c.feature_dim, *AUDIO_CHANNELS)
    for i, (n_in, n_out) in enumerate(pairwise(channels)):
        shapes[f"audio.conv{i}.weight"] = (n_out, n_in, 3)
        shapes[f"audio.conv{i}.bias"] = (n_out,)
    shapes["audio.fc0.weight"], shapes["audio.fc0.bias"] = (64, AUDIO_CHANNELS[-1]), (64,)
    shapes["audio.fc1.weight"], shapes["audio.fc1.bias"] = (c.audio_dim, 64), (c.audio_dim,)
    channels = (c.audio_dim, *ATTENTION_CHANNELS)
    for i, (n_in, n_out) in enumerate(pairwise(channels)):
        shapes[f"attention.conv{i}.weight"] = (n_out, n_in, 3)
        shapes[f"attention.conv{i}.bias"] = (n_out,)
    frames = c.audio_window.attention
    shapes["attention.fc.weight"], shapes["attention.fc.bias"] = (frames, frames), (frames,)

    shapes["head.spatial_grid"] = (c.spatial_grid.n_rows, 2)
    shapes["head.audio_grid"] = (c.audio_grid.n_rows, 2)
    shapes["head.ambient0.weight"] = (hidden, spatial)
    shapes["head.ambient0.audio_condition"] = (hidden, c.audio_dim)
    shapes["head.ambient0.bias"] = (hidden,)
    shapes["head.ambient1.weight"] = (hidden, hidden)
    shapes["head.ambient2.weight"] = (2, hidden)
    shapes["head.density0.weight"] = (hidden, spatial + audio)
    shapes["head.density0.eye"] = (hidden,)
    shapes["head.density0.bias"] = (hidden,)
    shapes["head.density1.weight"] = (hidden, hidden)
    shapes["head.density2.weight"] = (1 + c.geometry_dim, hidden)
    shapes["head.colour0.weight"] = (hidden, c.geometry_dim)
    shapes["head.colour0.direction_condition"] = (hidden, SH_DIM)
    shapes["head.colour0.appearance_condition"] = (hidden, c.appearance_dim)
    shapes["head.colour0.bias"] = (hidden,)
    shapes["head.colour1.weight"] = (3, hidden)
    shapes["head.appearance"] = (c.n_appearances, c.appearance_dim)
    if c.emotion_dim:
        shapes |= dict.fromkeys(EMOTION_TENSORS, (hidden, c.emotion_dim))

    shapes["torso.grid"] = (torso.grid.n_rows, 2)
    shapes["torso.deform0.weight"] = (torso.hidden, 2 + 4 * torso.position_octaves)
    shapes["torso.deform0.pose_condition"] = (torso.hidden, POSE_DIM * (1 + 2 * torso.pose_octaves))
    shapes["torso.deform0.bias"] = (torso.hidden,)
    shapes["torso.deform1.weight"] = (torso.hidden, torso.hidden)
    shapes["torso.deform2.weight"] = (2, torso.hidden)
    shapes["torso.colour0.weight"] = (torso.colour_hidden, torso.grid.n_outputs)
    shapes["torso.colour0.appearance_condition"] = (torso.colour_hidden, c.appearance_dim)
    shapes["torso.colour0.bias"] = (torso.colour_hidden,)
    shapes["torso.colour1.weight"] = (torso.colour_hidden, torso.colour_hidden)
    shapes["torso.colour2.weight"] = (4, torso.colour_hidden)
    shapes["torso.appearance"] = (c.n_appearances, c.appearance_dim)
    return shapes


def check_parameters(config: FieldConfig, tensors: dict[str, np.ndarray]) -> None:
    """Raise BadAvatar for the first tensor that is missing or has another shape than the configuration asks for."""
    for name, shape in parameter_shapes(config).items():
        if name not in tensors:
            raise BadAvatar(f"tensor {name!r} is missing; {shape} was expected")
        if tuple(tensors[name].shape) != shape:
            raise BadAvatar(f"tensor {name!r} has shape {tuple(tensors[name].shape)}; {shape} was expected")
