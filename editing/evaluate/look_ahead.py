"""`python -m editing look-ahead`: how much the lips gain from hearing further ahead.

For each look-ahead the audio feature extractor of the field (RAD-NeRF, figure 7) with a linear read-out learns the mouth's opening of
a dataset from its sound, and is judged on a held-out one. No picture is rendered: it isolates what the audio side can know in time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.command_line import OneLineParser
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from editing.dataset import Dataset
    from renderer.audio.encoder import AudioEncoder

DEFAULT_LOOK_AHEADS_MS = "93,120,140,160,200,240,320"
BATCH_FRAMES = 256
LEARNING_RATE = 2e-3


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog="python -m editing look-ahead", description=__doc__.splitlines()[0])
    p.add_argument("dataset", type=Path, help="dataset folder to learn from")
    p.add_argument("--held-out", type=Path, required=True, help="dataset folder to judge on")
    p.add_argument("--look-aheads", default=DEFAULT_LOOK_AHEADS_MS, help="ms, comma-separated (default %(default)s)")
    p.add_argument("--encoder", default="bundled", help="audio encoder (default bundled)")
    p.add_argument("--steps", type=int, default=600, help="training steps for each (default 600)")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    from editing.dataset import Dataset
    from renderer.audio.export import load_encoder

    options = parser().parse_args(argv)
    try:
        look_aheads = [float(x) for x in options.look_aheads.split(",")]
    except ValueError as error:
        raise BadInput(f"--look-aheads {options.look_aheads!r}: numbers of ms with commas between them were expected") from error
    if options.steps < 1:
        raise BadInput(f"--steps {options.steps}: 1 or more is possible")
    curve = look_ahead_curve(
        Dataset.open(options.dataset), Dataset.open(options.held_out), load_encoder(options.encoder), look_aheads, options.steps
    )
    if options.json:
        print(json.dumps({"look_ahead": curve}))
    else:
        for row in curve:
            print(f"{row['look_ahead_ms']:5.0f} ms  correlation {row['correlation']:.3f}  lag {row['lag_frames']:+d} frames")
    return 0


def look_ahead_curve(
    train: Dataset, held_out: Dataset, encoder: AudioEncoder, look_aheads_ms: Sequence[float], n_steps: int
) -> list[dict[str, Any]]:
    """Correlation of predicted with true mouth opening on the held-out dataset, for each look-ahead."""
    import dataclasses

    import numpy as np
    import torch

    from editing.evaluate.metrics import best_correlation
    from editing.train.clip import clip_windows
    from renderer.field.config import AudioWindowConfig, FieldConfig, GridConfig
    from renderer.field.torch_field import TorchField

    small = GridConfig(2, n_levels=1, finest_resolution=16)
    rows = []
    for look_ahead_ms in look_aheads_ms:
        shape = AudioWindowConfig(look_ahead_ms=look_ahead_ms, encoder_look_ahead_ms=encoder.spec.look_ahead_ms)
        config = FieldConfig(
            feature_dim=encoder.spec.feature_dim,
            audio_window=shape,
            spatial_grid=dataclasses.replace(small, n_dims=3),
            audio_grid=small,
        )
        windows = [torch.from_numpy(clip_windows(d.audio(), encoder, shape, d.meta.n_frames)) for d in (train, held_out)]
        target = torch.from_numpy(np.asarray(train.track.lip_opening))
        scale = float(target.std())
        field = TorchField(config)
        field.initialise(torch.Generator().manual_seed(0))
        read_out = torch.nn.Linear(config.audio_dim, 1)
        torch.nn.init.zeros_(read_out.weight)
        optimiser = torch.optim.Adam([*field.parameters(), *read_out.parameters()], lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_steps)
        random = torch.Generator().manual_seed(0)
        for _ in range(n_steps):
            chosen = torch.randint(len(target), (BATCH_FRAMES,), generator=random)
            predicted = read_out(field.audio_codes(windows[0][chosen]))[:, 0]
            loss = ((predicted - target[chosen] / scale) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        with torch.inference_mode():
            predicted = read_out(field.audio_codes(windows[1]))[:, 0]
        best = best_correlation(np.asarray(held_out.track.lip_opening), predicted.numpy())
        rows.append({"look_ahead_ms": look_ahead_ms, "correlation": round(best.correlation, 4), "lag_frames": best.lag_frames})
    return rows
