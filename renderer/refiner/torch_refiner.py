"""The refinement network in plain torch: the reference that trains, and what the native kernels are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from renderer.refiner.config import BLOCK_PX, KERNEL_PX, LEAK, N_CONVOLUTIONS, N_DENSE, RESIDUAL_SCALE, Refiner

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from renderer.refiner.config import RefinerConfig
    from renderer.refiner.window import RefineWindow

GREY = 0.5
INITIAL_SHARE = 0.1
"""Of He's scale, that weights begin with (ESRGAN, section 3.2)."""


class TorchRefiner(nn.Module):
    """g of equation 5; see `renderer.refiner.config` for its formula. Pictures are sRGB, 0...1, channels last."""

    def __init__(self, config: RefinerConfig, seed: int = 0) -> None:
        """With random weights; the last convolution is 0, so that g is the identity until it has learned something."""
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        for i, (n_in, n_out) in enumerate(config.channels()):
            convolution = nn.Conv2d(n_in, n_out, KERNEL_PX, padding=KERNEL_PX // 2)
            with torch.no_grad():
                scale = INITIAL_SHARE if 0 < i < N_CONVOLUTIONS - 1 else 1.0
                deviation = 0.0 if i == N_CONVOLUTIONS - 1 else scale * (2.0 / (n_in * KERNEL_PX**2)) ** 0.5
                convolution.weight.copy_(torch.randn(convolution.weight.shape, generator=generator) * deviation)
                assert convolution.bias is not None
                convolution.bias.zero_()
            self.add_module(f"conv{i}", convolution)

    def residual(self, pictures: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n h w 3"]:
        """r(I) = g(I) - I."""
        height, width = pictures.shape[1:3]
        x = pictures.permute(0, 3, 1, 2) - GREY
        if height % BLOCK_PX or width % BLOCK_PX:
            x = functional.pad(x, (0, width % BLOCK_PX, 0, height % BLOCK_PX), mode="replicate")
        x0 = self._convolution(0, functional.pixel_unshuffle(x, BLOCK_PX))
        known = x0
        for i in range(1, N_DENSE):
            known = torch.cat([known, functional.leaky_relu(self._convolution(i, known), LEAK)], dim=1)
        y = x0 + RESIDUAL_SCALE * self._convolution(N_DENSE, known)
        residual = functional.pixel_shuffle(self._convolution(N_DENSE + 1, y), BLOCK_PX)
        return residual[:, :, :height, :width].permute(0, 2, 3, 1)

    def forward(self, pictures: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n h w 3"]:
        """g(I)."""
        return pictures + self.residual(pictures)

    def refine(self, pictures: Float[Tensor, "n h w 3"], refine_weight: float) -> Float[Tensor, "n h w 3"]:
        """I_f of equation 5."""
        return pictures if refine_weight == 0.0 else pictures + refine_weight * self.residual(pictures)

    def refine_in(self, picture: Float[Tensor, "h w 3"], refine_weight: float, window: RefineWindow) -> Float[Tensor, "h w 3"]:
        """Equation 5 in a window of the picture only; the network sees nothing outside of it, as on the cpu backend."""
        if refine_weight == 0.0:
            return picture
        rows = slice(window.y, window.y + len(window.rows))
        columns = slice(window.x, window.x + len(window.columns))
        weights = torch.from_numpy(window.weights).to(picture)
        refined = picture.clone()
        refined[rows, columns] += refine_weight * weights[..., None] * self.residual(picture[None, rows, columns])[0]
        return refined

    def _convolution(self, i: int, x: Float[Tensor, "n c y x"]) -> Float[Tensor, "n c y x"]:
        return self.get_submodule(f"conv{i}")(x)

    def to_refiner(self) -> Refiner:
        """The part of an avatar that these weights make."""
        tensors = {f"refiner.{name}": tensor.detach().cpu().float().numpy().copy() for name, tensor in self.state_dict().items()}
        return Refiner(self.config, tensors)

    @classmethod
    def from_refiner(cls, refiner: Refiner) -> TorchRefiner:
        """With the weights of an avatar's refiner."""
        network = cls(refiner.config)
        network.load_state_dict({name.removeprefix("refiner."): torch.from_numpy(array.copy()) for name, array in refiner.tensors.items()})
        return network
