"""The losses of RAD-NeRF ("the paper"), as plain functions of tensors. Colours are 0...1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

SSIM_WINDOW_PX = 7
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def colour_loss(predicted: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
    """Mean squared error (equation 4, as a mean)."""
    return ((predicted - target) ** 2).mean()


def entropy_loss(opacity: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Pushes each pixel's opacity to 0 or 1 (equation 5)."""
    a = opacity.clamp(1e-4, 1.0 - 1e-4)
    return -(a * a.log() + (1.0 - a) * (1.0 - a).log()).mean()


def dynamic_loss(
    ambient: Float[Tensor, "n 2"], weights: Float[Tensor, " n"], outside_face: Bool[Tensor, " n"], n_rays: int
) -> Float[Tensor, ""]:
    """|x_a| of samples seen by rays outside the face, weighted by how much they show (equation 6)."""
    return (ambient.abs().sum(1) * weights * outside_face).sum() / max(1, n_rays)


def structural_loss(predicted: Float[Tensor, "n h w 3"], target: Float[Tensor, "n h w 3"]) -> Float[Tensor, ""]:
    """1 - SSIM over patches, 0...1: the structural part of equation 7.

    The paper takes LPIPS, whose VGG weights have to be fetched from a hub; SSIM asks for the same thing (edges in their place, not
    their mean) without weights.
    """
    x, y = predicted.permute(0, 3, 1, 2), target.permute(0, 3, 1, 2)

    def mean(z: Tensor) -> Tensor:
        return F.avg_pool2d(z, SSIM_WINDOW_PX, stride=1)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    ssim = (2 * mx * my + SSIM_C1) * (2 * cov + SSIM_C2) / ((mx * mx + my * my + SSIM_C1) * (vx + vy + SSIM_C2))
    return (1.0 - ssim).mean() / 2.0


def rate_at(step: int, n_steps: int, initial: float, final_share: float) -> float:
    """Exponential decay to `final_share` of the initial rate over the stage, after a linear warm-up of up to 100 steps."""
    warm_up = max(1, min(100, n_steps // 10))
    return initial * min(1.0, (step + 1) / warm_up) * math.pow(final_share, step / max(1, n_steps))
