"""The network: wav2vec 2.0 with a connectionist head, scaled down, and a quicker way to run it in training.

`build_network` returns transformers' own `Wav2Vec2ForCTC`: that class, its configuration and its parameters are what is
saved and exported. `frame_logits` computes the same function from the same parameters with channels last, so that the
convolutions are plain matrix products and nothing is transposed; a test holds it to the class's own forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from editing.phones import PHONES

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor
    from transformers import Wav2Vec2ForCTC

# wav2vec 2.0's framing: every step sees 400 samples, a step every 320.
CONV_KERNELS = (10, 3, 3, 3, 3, 2, 2)
CONV_STRIDES = (5, 2, 2, 2, 2, 2, 2)
LEVEL_FLOOR = 2e-3
"""RMS (-54 dBFS) below which a window is not brought up to full level: the noise of a quiet room stays quiet."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network."""

    conv_channels: tuple[int, ...] = (32, 64, 96, 160, 192, 224, 256)
    """of the seven convolutions, from 3200 Hz down to 50 Hz; wav2vec2-base has 512 everywhere"""
    hidden: int = 256
    """width of the transformer"""
    layers: int = 4
    """of the transformer"""
    heads: int = 4
    """of attention"""
    feed_forward: int = 768
    """width of the transformer's inner layer"""
    position_kernel: int = 15
    """steps that the relative position embedding spans"""
    dropout: float = 0.0
    """inside the transformer's layers, in training; slow, and the corpus is augmented enough to do without"""
    outer_dropout: float = 0.1
    """before and after the transformer, in training"""

    def __post_init__(self) -> None:
        if len(self.conv_channels) != len(CONV_KERNELS):
            raise ValueError(f"conv_channels has {len(self.conv_channels)} entries; there are {len(CONV_KERNELS)}")
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not divisible by heads {self.heads}")
        if self.position_kernel % 2 == 0:
            raise ValueError(f"position_kernel {self.position_kernel} must be odd")


def build_network(config: NetworkConfig) -> Wav2Vec2ForCTC:
    """A network with random weights whose classes are `PHONES`."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    make_config: Any = Wav2Vec2Config  # its signature leaves out what the base class takes
    return Wav2Vec2ForCTC(
        make_config(
            vocab_size=len(PHONES),
            hidden_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.feed_forward,
            conv_dim=config.conv_channels,
            conv_kernel=CONV_KERNELS,
            conv_stride=CONV_STRIDES,
            conv_bias=True,
            feat_extract_norm="layer",
            do_stable_layer_norm=True,
            num_conv_pos_embeddings=config.position_kernel,
            num_conv_pos_embedding_groups=8,
            hidden_dropout=config.dropout,
            attention_dropout=config.dropout,
            activation_dropout=config.dropout,
            feat_proj_dropout=config.outer_dropout,
            final_dropout=config.outer_dropout,
            layerdrop=0.0,
            apply_spec_augment=False,
            mask_time_prob=0.0,
            hidden_act="gelu",
            attn_implementation="eager",  # at 50 steps quicker than the fused kernel's backward
        )
    )


def normalised(windows: Float[Tensor, "n n_samples"]) -> Float[Tensor, "n n_samples"]:
    """Each window without its mean and at an RMS of 1; below `LEVEL_FLOOR` it stays quieter than that."""
    centred = windows - windows.mean(1, keepdim=True)
    return centred * (centred.square().mean(1, keepdim=True) + LEVEL_FLOOR**2).rsqrt()


def _strided_linear() -> Any:
    """A 1-D convolution with channels last as one matrix product; its own backward, for torch's of `unfold` is slow."""
    import torch

    class StridedLinear(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, kernel: int, stride: int) -> Tensor:
            n, length, channels = hidden.shape
            steps = (length - kernel) // stride + 1
            # A window of `kernel` samples with all their channels is one contiguous stretch: im2col is a strided view.
            columns = hidden.contiguous().view(n, -1).unfold(1, kernel * channels, stride * channels)[:, :steps]
            columns = columns.reshape(n * steps, kernel * channels)
            ctx.save_for_backward(columns, weight)
            ctx.geometry = (n, length, channels, steps, kernel, stride)
            return torch.addmm(bias, columns, weight.t()).view(n, steps, -1)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            columns, weight = ctx.saved_tensors
            n, length, channels, steps, kernel, stride = ctx.geometry
            grad = grads[0].reshape(n * steps, -1)
            grad_hidden = None
            if ctx.needs_input_grad[0]:
                grad_columns = (grad @ weight).view(n, steps, kernel, channels)
                grad_hidden = grad.new_zeros(n, length, channels)
                for first in range(0, kernel, stride):  # at most two overlapping parts
                    part = grad_columns[:, :, first : first + stride]
                    width = part.shape[2]
                    for offset in range(width):
                        begin = first + offset
                        grad_hidden[:, begin : begin + (steps - 1) * stride + 1 : stride] += part[:, :, offset]
            return grad_hidden, grad.t() @ columns, grad.sum(0), None, None

    return StridedLinear


def frame_logits(network: Any, windows: Float[Tensor, "n n_samples"], half: bool = False) -> Float[Tensor, "n n_steps n_phones"]:
    """`network(windows).logits`, computed with channels last; `half`: the convolutions in bfloat16."""
    import torch
    import torch.nn.functional as functional

    strided_linear = _strided_linear()
    model = network.wav2vec2
    kind = torch.bfloat16 if half else torch.float32
    hidden = windows.unsqueeze(-1).to(kind)
    for layer, kernel, stride in zip(model.feature_extractor.conv_layers, CONV_KERNELS, CONV_STRIDES, strict=True):
        weight = layer.conv.weight.permute(0, 2, 1).flatten(1).to(kind)
        hidden = strided_linear.apply(hidden, weight, layer.conv.bias.to(kind), kernel, stride)
        norm = layer.layer_norm
        hidden = functional.layer_norm(hidden, norm.normalized_shape, norm.weight.to(kind), norm.bias.to(kind), norm.eps)
        hidden = functional.gelu(hidden)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        hidden, _ = model.feature_projection(hidden)
        logits = network.lm_head(network.dropout(model.encoder(hidden).last_hidden_state))
    single: Tensor = logits.float()
    return single
