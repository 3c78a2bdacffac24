"""From a training checkpoint to the encoder file that ships with the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editing.audio_encoder.network import NetworkConfig, normalised
from editing.audio_encoder.training import averaged_network
from editing.phones import PHONES
from renderer.audio.encoder import BUNDLED, BUNDLED_PATH, EncoderSpec
from renderer.audio.export import write_onnx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class ExportConfig:
    """Geometry and packing of the exported encoder."""

    window_steps: int = 38
    """of one run of the network: 0.77 s"""
    future_steps: int = 3
    """heard after the last step of a hop: a look-ahead of 72.5 ms"""
    packed: bool = True
    """7-bit matrices and 16-bit convolutions"""


def export_bundled(
    checkpoints: Sequence[Path], config: ExportConfig, out: Path = BUNDLED_PATH, network: NetworkConfig | None = None
) -> EncoderSpec:
    """Write the mean of the checkpoints' averaged networks as the bundled encoder.

    Runs that began with the same weights lie in one valley of the loss, where the mean of their weights is better on
    speech unlike the training's than each of them (Wortsman et al. 2022, "Model soups").
    """
    return write_onnx(
        averaged_network(checkpoints, network or NetworkConfig()),
        normalised,
        BUNDLED,
        PHONES,
        out,
        config.window_steps,
        config.future_steps,
        packed=config.packed,
    )
