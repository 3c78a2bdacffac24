"""The talking radiance field in plain torch: it trains, and every fast backend is held to its values.

Follows RAD-NeRF ("the paper"): section 3.2 for the head (audio coordinate, decomposed grids, eye feature, appearance), 3.3 for the
torso, appendix A for the audio feature extractor. Tensor names and shapes are those of `renderer.field.parameters`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F

from renderer.emotion import NEUTRAL, emotion_code
from renderer.errors import BadInput
from renderer.field.frame_codes import FEATURE_CENTRE, FEATURE_SCALE, LEAK, MAX_SMOOTHING
from renderer.field.hash_grid import encode_reference
from renderer.field.parameters import ATTENTION_CHANNELS, AUDIO_CHANNELS, EMOTION_TENSORS, parameter_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

    from renderer.field.config import FieldConfig, GridConfig, RegionConfig

    Encode = Callable[[Tensor, Tensor, GridConfig], Tensor]

LOG_DENSITY_RANGE = (-15.0, 12.0)
"""The truncated exponential's clamp."""


class HeadSamples(NamedTuple):
    """Values of the head at n samples."""

    sigmas: Float[Tensor, " n"]
    rgbs: Float[Tensor, "n 3"]
    ambient: Float[Tensor, "n 2"]
    """The audio coordinate x_a, -1...1."""


class HeadBiases(NamedTuple):
    """Per-frame biases; rows are frames, or a single frame's vectors."""

    ambient: Float[Tensor, "*frames hidden"]
    density: Float[Tensor, "*frames hidden"]
    eye: Float[Tensor, "*frames hidden"]
    """Added times the eye gate of the sample."""
    colour: Float[Tensor, "*frames hidden"]

    def frame(self, index: int) -> HeadBiases:
        return HeadBiases(*(b[index] for b in self))


class TorchField(torch.nn.Module):
    """Parameters by the names of the avatar file, and the networks as pure functions of them.

    `encode` interpolates a grid; the default is the reference, training passes a fast one.
    `network_dtype` is the precision of the head's hidden layers. The torso's stay in float32: they are small, and bfloat16 would round a
    coordinate of the picture by up to half a pixel of 256.
    """

    def __init__(self, config: FieldConfig, encode: Encode = encode_reference, network_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.encode = encode
        self.network_dtype = network_dtype
        self.tensors = torch.nn.ParameterDict()
        for name, shape in parameter_shapes(config).items():
            self.tensors[name.replace(".", "/")] = torch.nn.Parameter(torch.zeros(shape))

    def __getitem__(self, name: str) -> Tensor:
        return cast("Tensor", self.tensors[name.replace(".", "/")])

    @property
    def device(self) -> torch.device:
        """Where the parameters lie; what comes in has to lie there too."""
        return self["head.density0.bias"].device

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """He initialisation; small weights on conditions, so that geometry is learned before what moves.

        Drawn on the CPU, so that a seed means the same weights on every device.
        """
        for name, shape in parameter_shapes(self.config).items():
            tensor = torch.empty(shape)
            if name.endswith("grid"):
                bound = 1e-1 if name == "head.audio_grid" else 1e-2
                tensor.uniform_(-bound, bound, generator=generator)
            elif name.endswith(("bias", "appearance")):
                tensor.zero_()
            elif name.endswith(("condition", "eye")):
                tensor.normal_(0.0, 0.1, generator=generator)
            elif name == "head.ambient2.weight" or name == "torso.deform2.weight":
                tensor.normal_(0.0, 0.02, generator=generator)
            else:
                fan_in = math.prod(tensor.shape[1:])
                last = name in ("head.density2.weight", "head.colour1.weight", "torso.colour2.weight", "audio.fc1.weight")
                tensor.normal_(0.0, math.sqrt((1.0 if last else 2.0) / fan_in), generator=generator)
            self[name].copy_(tensor)

    @torch.no_grad()
    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name in parameter_shapes(self.config):
            self[name].copy_(torch.from_numpy(arrays[name].astype("float32")))

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: self[name].detach().float().cpu().numpy().copy() for name in parameter_shapes(self.config)}

    # --- audio feature extractor -------------------------------------------------------------------------------------------

    def audio_codes(self, windows: Float[Tensor, "frames steps dim"], smoothing: float = 0.0) -> Float[Tensor, "frames audio_dim"]:
        """Audio codes of frames from their windows; twin of `frame_codes.audio_code`."""
        shape = self.config.audio_window
        n_windows = shape.attention + shape.smoothing_frames - 1
        steps = (windows - FEATURE_CENTRE) * FEATURE_SCALE
        used = range(n_windows) if smoothing > 0 else range(n_windows - shape.attention, n_windows)
        x = torch.stack([steps[:, 2 * i : 2 * i + shape.window] for i in used], dim=1)
        n_frames, n_used = x.shape[:2]
        x = x.flatten(0, 1).transpose(1, 2)
        for i in range(len(AUDIO_CHANNELS)):
            x = F.leaky_relu(F.conv1d(x, self[f"audio.conv{i}.weight"], self[f"audio.conv{i}.bias"], stride=2, padding=1), LEAK)
        x = F.leaky_relu(F.linear(x[..., 0], self["audio.fc0.weight"], self["audio.fc0.bias"]), LEAK)
        x = F.linear(x, self["audio.fc1.weight"], self["audio.fc1.bias"]).reshape(n_frames, n_used, -1)
        beta = min(max(smoothing, 0.0), MAX_SMOOTHING)
        n_needed = shape.smoothing_frames if smoothing > 0 else 1
        total, weight_sum = x.new_zeros(n_frames, self.config.audio_dim), 0.0
        for age in range(n_needed):
            first = n_used - shape.attention - age
            total = total + beta**age * self._attend(x[:, first : first + shape.attention])
            weight_sum += beta**age
        return total / weight_sum

    def _attend(self, codes: Float[Tensor, "frames attention dim"]) -> Float[Tensor, "frames dim"]:
        x = codes.transpose(1, 2)
        for i in range(len(ATTENTION_CHANNELS)):
            x = F.leaky_relu(F.conv1d(x, self[f"attention.conv{i}.weight"], self[f"attention.conv{i}.bias"], padding=1), LEAK)
        scores = torch.softmax(F.linear(x[:, 0], self["attention.fc.weight"], self["attention.fc.bias"]), dim=1)
        return (scores[..., None] * codes).sum(1)

    # --- head --------------------------------------------------------------------------------------------------------------

    def head_biases(
        self,
        audio: Float[Tensor, "frames audio_dim"],
        eye_ratio: Float[Tensor, " frames"],
        harmonics: Float[Tensor, "frames 16"],
        appearance: Float[Tensor, "frames appearance_dim"],
        emotion: Float[Tensor, "frames 8"] | None = None,
    ) -> HeadBiases:
        """What the conditions of frames become: biases of the first layers; twin of `frame_codes.frame_codes`.

        `emotion` are codes of `renderer.emotion`; None is neutral, and a field without emotion takes no notice of them.
        """
        biases = self._head_biases(audio, eye_ratio, harmonics, appearance)
        if not self.config.emotion_dim:
            return biases
        if emotion is None:
            emotion = torch.from_numpy(emotion_code(NEUTRAL)).to(audio).expand(len(audio), -1)
        added = (emotion @ self[name].t() for name in EMOTION_TENSORS)
        ambient, density, colour = (bias + more for bias, more in zip((biases.ambient, biases.density, biases.colour), added, strict=True))
        return HeadBiases(ambient, density, biases.eye, colour)

    def _head_biases(
        self,
        audio: Float[Tensor, "frames audio_dim"],
        eye_ratio: Float[Tensor, " frames"],
        harmonics: Float[Tensor, "frames 16"],
        appearance: Float[Tensor, "frames appearance_dim"],
    ) -> HeadBiases:
        return HeadBiases(
            ambient=audio @ self["head.ambient0.audio_condition"].t() + self["head.ambient0.bias"],
            density=self["head.density0.bias"].expand(len(audio), -1),
            eye=(2.0 * eye_ratio.clamp(0.0, 1.0) - 1.0)[:, None] * self["head.density0.eye"],
            colour=harmonics @ self["head.colour0.direction_condition"].t()
            + appearance @ self["head.colour0.appearance_condition"].t()
            + self["head.colour0.bias"],
        )

    def head(self, x: Float[Tensor, "n 3"], biases: HeadBiases) -> HeadSamples:
        """Density and colour of samples at head-frame positions `x` (paper, equation 2).

        x_a = MLP(a, f); g = E_audio(x_a); (c, sigma) = MLP(f, g, e, i). `biases` are those of the samples' frame, each [hidden], or of
        every sample's own, each [n, hidden].
        """
        dtype = self.network_dtype
        c = self.config
        x01 = (x - x.new_tensor(c.head_centre)) * (0.5 / c.head_half_extent) + 0.5
        f = self.encode(x01, self["head.spatial_grid"], c.spatial_grid).to(dtype)

        h = torch.relu(f @ self._w("head.ambient0") + biases.ambient.to(dtype))
        h = torch.relu(h @ self._w("head.ambient1"))
        ambient = torch.tanh((h @ self._w("head.ambient2")).float()) * gate(x, c.audio_region)[:, None]
        g = self.encode(ambient * 0.5 + 0.5, self["head.audio_grid"], c.audio_grid).to(dtype)

        bias = biases.density + gate(x, c.eye_region)[:, None] * biases.eye
        h = torch.relu(torch.cat([f, g], 1) @ self._w("head.density0") + bias.to(dtype))
        h = torch.relu(h @ self._w("head.density1"))
        weight = self["head.density2.weight"].to(dtype)
        log_density = (h @ weight[:1].t())[:, 0].float()
        sigmas = torch.exp(log_density.clamp(*LOG_DENSITY_RANGE))
        # No nonlinearity lies between the geometry features and the colour layer, so their product is one matrix.
        folded = weight[1:].t() @ self._w("head.colour0")
        h = torch.relu(h @ folded + biases.colour.to(dtype))
        rgbs = torch.sigmoid((h @ self._w("head.colour1")).float())
        return HeadSamples(sigmas, rgbs, ambient)

    def head_of_frames(self, positions: Float[Tensor, "n 3"], ends: Sequence[int], biases: HeadBiases) -> HeadSamples:
        """`head` of many frames' samples at once: those up to `ends[k]` belong to the frame of row k of `biases`, [n_frames, hidden].

        Raises BadInput if `ends` does not ascend to n.
        """
        begins = (0, *ends[:-1])
        if not ends or any(a > b for a, b in zip(begins, ends, strict=True)) or ends[-1] != len(positions):
            raise BadInput(f"ends {list(ends)} must ascend to the number of samples, {len(positions)}")
        if len(ends) == 1:
            return self.head(positions, biases.frame(0))
        index = torch.arange(len(positions), device=positions.device)[:, None]
        # Rows are chosen by a product with ones and zeros, so that the gradient of a bias is a product too, not a scattered sum.
        chosen = ((index >= index.new_tensor(begins)) & (index < index.new_tensor(ends))).to(self.network_dtype)
        return self.head(positions, HeadBiases(*(chosen @ b.to(self.network_dtype) for b in biases)))

    def _w(self, layer: str) -> Tensor:
        return self[f"{layer}.weight"].to(self.network_dtype).t()

    # --- torso -------------------------------------------------------------------------------------------------------------

    def torso(
        self, x_t: Float[Tensor, "n 2"], pose: Float[Tensor, " pose_features"], appearance: Float[Tensor, " appearance_dim"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"], Float[Tensor, "n 2"]]:
        """Colour, alpha and deformation of torso pixels at picture coordinates 0...1 (paper, equation 3)."""
        torso = self.config.torso
        weights = {layer: self[f"torso.{layer}.weight"].t() for layer in ("deform0", "deform1", "deform2", "colour0", "colour1", "colour2")}
        waves = [f(x_t * (math.pi * 2.0**k)) for k in range(torso.position_octaves) for f in (torch.sin, torch.cos)]
        position = torch.cat([x_t, *waves], dim=1)
        bias = self["torso.deform0.pose_condition"] @ pose + self["torso.deform0.bias"]
        h = torch.relu(position @ weights["deform0"] + bias)
        h = torch.relu(h @ weights["deform1"])
        shift = torch.tanh(h @ weights["deform2"]) * torso.max_deformation
        f = self.encode(x_t + shift, self["torso.grid"], torso.grid)
        bias = self["torso.colour0.appearance_condition"] @ appearance + self["torso.colour0.bias"]
        h = torch.relu(f @ weights["colour0"] + bias)
        h = torch.relu(h @ weights["colour1"])
        rgba = torch.sigmoid(h @ weights["colour2"])
        return rgba[:, :3], rgba[:, 3], shift


def gate(x: Float[Tensor, "n 3"], region: RegionConfig) -> Float[Tensor, " n"]:
    """How much a condition may act at `x`: 0 outside the region, 1 well inside."""
    r = ((x - x.new_tensor(region.centre)) / x.new_tensor(region.radii)).norm(dim=1)
    t = ((1.0 - r) / region.softness).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
