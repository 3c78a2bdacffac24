"""The refinement network g of Instruct-NeuralTalker ("the paper" below): its sizes, and the names and shapes of its tensors.

g adds high-frequency detail to a rendered picture I_r, and equation 5 weighs it with a live omega:

    I_f = omega g(I_r) + (1 - omega) I_r

g(I_r) = I_r + r(I_r): the outermost of the block's "multi-level residual networks" (the paper, section "Refinement Network") starts at the
picture itself, so I_f = I_r + omega r(I_r). r is one residual dense block (supplement; ESRGAN, Wang et al. 2018, figure 4) between a
convolution from the picture and one back:

    u  = unshuffle(I_r - 1/2)                       [12, h/2, w/2]: each 2 x 2 block of pixels becomes one place
    x0 = conv0(u)                                   [features]
    xi = lrelu(convi([x0, ..., x(i-1)]))            [growth], i = 1 ... 4; slope 0.2
    y  = x0 + 0.2 conv5([x0, ..., x4])              [features]
    r  = shuffle(conv6(y))                          [3, h, w]

Convolutions are 3 x 3 with zeros around the picture (which the subtraction makes grey), matrices [out, in, 3, 3] as in torch. The
unshuffling is that of Real-ESRGAN (Wang et al. 2021, section 3.3): nothing of the picture is lost, and a place costs the network a quarter;
channel c, row dy, column dx of a block is channel 4c + 2dy + dx.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from renderer.errors import BadAvatar, BadInput

BLOCK_PX = 2
"""Edge of the blocks of pixels that become one place."""
BLOCK_CHANNELS = 3 * BLOCK_PX**2
N_DENSE = 5
"""Convolutions of the residual dense block."""
N_CONVOLUTIONS = N_DENSE + 2
KERNEL_PX = 3
LEAK = 0.2
RESIDUAL_SCALE = 0.2
"""Both after ESRGAN."""
REACH_PX = BLOCK_PX * N_CONVOLUTIONS + BLOCK_PX - 1
"""A pixel of the result depends on none farther away."""
MAX_BYTES = 1 << 20
"""Of the tensors in float32 (the paper: "a compact size of just 1MB")."""
CHANNEL_STEP = 16


@dataclass(frozen=True)
class RefinerConfig:
    """Sizes of the network. The defaults let one core refine a mouth within a frame; 64 and 32, ESRGAN's own, are the 1 MB of the paper."""

    features: int = 32
    """Channels of the block's input and output, a multiple of 16."""
    growth: int = 16
    """Channels that each of the block's first four convolutions adds, a multiple of 16."""

    def __post_init__(self) -> None:
        for name, value in (("features", self.features), ("growth", self.growth)):
            if not isinstance(value, int) or value < CHANNEL_STEP or value % CHANNEL_STEP:
                raise BadInput(f"refiner {name} {value!r}: a multiple of {CHANNEL_STEP} is possible")
        if self.n_bytes > MAX_BYTES:
            sizes = f"{self.features} features and {self.growth} growth"
            raise BadInput(f"a refiner of {sizes} takes {self.n_bytes} bytes; {MAX_BYTES} are possible")

    @property
    def n_bytes(self) -> int:
        """Size of all tensors."""
        return 4 * sum(math.prod(shape) for shape in self.shapes().values())

    def channels(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each convolution."""
        dense = [(self.features + i * self.growth, self.growth) for i in range(N_DENSE - 1)]
        last = (self.features + (N_DENSE - 1) * self.growth, self.features)
        return ((BLOCK_CHANNELS, self.features), *dense, last, (self.features, BLOCK_CHANNELS))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (n_in, n_out) in enumerate(self.channels()):
            shapes[f"refiner.conv{i}.weight"] = (n_out, n_in, KERNEL_PX, KERNEL_PX)
            shapes[f"refiner.conv{i}.bias"] = (n_out,)
        return shapes

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RefinerConfig:
        """The inverse of `to_json`. Raises BadInput for a field that is unknown or out of range."""
        try:
            return cls(**values)
        except TypeError as error:
            raise BadInput(f"refiner: {error}") from error


@dataclass(frozen=True)
class Refiner:
    """A trained refinement network, part of an avatar."""

    config: RefinerConfig
    tensors: dict[str, np.ndarray] = field(repr=False)
    """By the names of `RefinerConfig.shapes`; float32."""

    def __post_init__(self) -> None:
        """Raises BadAvatar for a tensor that is missing, of another shape, or not finite."""
        for name, shape in self.config.shapes().items():
            if name not in self.tensors:
                raise BadAvatar(f"tensor {name!r} is missing; {shape} was expected")
            if tuple(self.tensors[name].shape) != shape:
                raise BadAvatar(f"tensor {name!r} has shape {tuple(self.tensors[name].shape)}; {shape} was expected")
            if not np.isfinite(self.tensors[name]).all():
                raise BadAvatar(f"tensor {name!r} holds values that are not finite")
