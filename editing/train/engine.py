"""What a training computes with: the operators whose speed decides, on a CPU by native kernels or in plain torch on any device.

Both engines take and give the same tensors on their own device, float32; everything else of a training is torch and follows its tensors.
Pictures, audio windows and the head poses' updates stay in main memory, whatever the engine: a step sends its batch over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from renderer.field import grid_table, native_ops, torch_ops
from renderer.field.native_head import NativeHead
from renderer.field.torch_field import TorchField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float
    from torch import Tensor

    from renderer.field.config import FieldConfig
    from renderer.field.rays import PackedSamples
    from renderer.field.torch_field import HeadBiases, HeadSamples

FIRST_BFLOAT16_CAPABILITY = (8, 0)
"""NVIDIA's compute capability from which on bfloat16 is multiplied by hardware (Ampere)."""


class Head(Protocol):
    """A field's head over samples of many frames."""

    def __call__(self, positions: Float[Tensor, "n 3"], ends: Sequence[int], biases: HeadBiases) -> HeadSamples:
        """Values at head-frame `positions`: those up to `ends[k]` belong to row k of `biases`. Differentiable in positions, biases,
        networks and grids. Raises BadInput if `ends` does not ascend to n."""
        ...


class Engine(Protocol):
    """See the module."""

    @property
    def device(self) -> torch.device:
        """Where everything that is passed in must lie."""
        ...

    def field(self, config: FieldConfig) -> TorchField:
        """A field of zeros on the device, whose functions this engine speeds up."""
        ...

    def head(self, field: TorchField) -> Head:
        """The head of this field as it is at every call. Memory that a call needs may be kept for the next one."""
        ...

    def grid_table(self, table: Float[Tensor, "rows 2"]) -> grid_table.GridTable:
        """The optimiser of a grid's table."""
        ...

    def march(
        self,
        rays_o: Float[Tensor, "rays 3"],
        rays_d: Float[Tensor, "rays 3"],
        occupancy: Bool[Tensor, "z y x"],
        config: FieldConfig,
        jitter: Float[Tensor, " rays"],
    ) -> PackedSamples:
        """The first samples of each ray in occupied cells; see `renderer.field.rays.march_reference`."""
        ...

    def composite(
        self, sigmas: Float[Tensor, " n"], rgbs: Float[Tensor, "n 3"], samples: PackedSamples, step: float
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"], Float[Tensor, " n"]]:
        """Colour and opacity of each ray, weight of each sample; see `renderer.field.rays.composite_reference`."""
        ...

    def distortion(self, weights: Float[Tensor, " n"], samples: PackedSamples, step: float) -> Float[Tensor, " rays"]:
        """The distortion loss of each ray; see `renderer.field.rays.distortion_reference`."""
        ...


class NativeEngine:
    """The native kernels: the engine of a CPU. They raise BackendUnavailable at their first use where the library is missing."""

    device = torch.device("cpu")
    march = staticmethod(native_ops.march)
    composite = staticmethod(native_ops.composite)
    distortion = staticmethod(native_ops.distortion)
    grid_table = staticmethod(native_ops.GridTable)

    def field(self, config: FieldConfig) -> TorchField:
        return TorchField(config, encode=native_ops.encode)

    def head(self, field: TorchField) -> Head:
        native = NativeHead(field.config)
        return lambda positions, ends, biases: native(positions, ends, field, biases)


class TorchEngine:
    """Plain torch on any device: the engine of a GPU, and what the native one is held to."""

    march = staticmethod(torch_ops.march)
    composite = staticmethod(torch_ops.composite)
    distortion = staticmethod(torch_ops.distortion)
    grid_table = staticmethod(grid_table.GridTable)

    def __init__(self, device: torch.device, network_dtype: torch.dtype | None = None) -> None:
        """`network_dtype` is the precision of hidden layers; by default bfloat16 where the device multiplies it, else float32."""
        self.device = device
        self.network_dtype = network_dtype or _network_dtype(device)

    def field(self, config: FieldConfig) -> TorchField:
        return TorchField(config, torch_ops.encode, self.network_dtype).to(self.device)

    def head(self, field: TorchField) -> Head:
        return field.head_of_frames


def engine_of(device: torch.device) -> Engine:
    """The fastest engine of a device."""
    return NativeEngine() if device.type == "cpu" else TorchEngine(device)


def _network_dtype(device: torch.device) -> torch.dtype:
    fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= FIRST_BFLOAT16_CAPABILITY
    return torch.bfloat16 if fast else torch.float32
