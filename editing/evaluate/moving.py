"""Metrics of moving pictures, which the self-driven and the cross-driven table share.

SyncNet and action units look at consecutive frames, whatever `--every` says. Positive lags and offsets: the picture is behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from editing.evaluate.judges import NEEDS_SYNCNET, Judges, missing
from editing.evaluate.metrics import MAX_LAG_FRAMES, best_correlation
from editing.evaluate.stillness import STILLNESS, mouth_stillness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from jaxtyping import Float, UInt8

    from editing.evaluate.driving import Drive

LEAST_CLIP_FRAMES = 125
"""Consecutive frames looked at, at the least, where single frames are few."""
LEAST_CURVE_FRAMES = 11
"""Fewer points say nothing of a correlation."""
SYNC = ("sync_confidence", "sync_distance", "sync_offset_frames")


def consecutive(frames: range) -> range:
    """As many consecutive frames as there are frames, from the same beginning."""
    return range(frames.start, min(frames.stop, frames.start + max(len(frames), LEAST_CLIP_FRAMES)))


def lag_scores(name: str, reference: Float[np.ndarray, " n"], curve: Float[np.ndarray, " n"], step: int) -> dict[str, Any]:
    """`<name>_correlation` at its best lag within ±6 frames, and `<name>_lag_frames`; points are `step` frames apart."""
    keys = (f"{name}_correlation", f"{name}_lag_frames")
    if len(curve) < LEAST_CURVE_FRAMES:
        return missing(keys, f"needs {LEAST_CURVE_FRAMES} frames with a face")
    if curve.std() < 1e-9 or reference.std() < 1e-9:
        return missing(keys, "one of the curves is flat")
    best = best_correlation(reference, curve, MAX_LAG_FRAMES // step)
    return {keys[0]: best.correlation, keys[1]: best.lag_frames * step}


class Heard(Protocol):
    """Something whose frames have a sound."""

    def sound(self, frames: range) -> Float[np.ndarray, " n_samples"]:
        """Of consecutive frames; -1…1 at 16 kHz."""
        ...


def sync_metrics(
    drive: Heard, judges: Judges, frames: range, clip: Callable[[], Iterable[UInt8[np.ndarray, "h w 3"]]], suffix: str = ""
) -> dict[str, Any]:
    """SyncNet's scores of a clip that shows consecutive `frames`."""
    keys = [key + suffix for key in SYNC]
    if judges.syncnet is None:
        return missing(keys, NEEDS_SYNCNET)
    if judges.detector is None:
        return missing(keys, judges.no_detector)
    from editing.evaluate.syncnet import MIN_FRAMES

    if len(frames) < MIN_FRAMES:
        return missing(keys, f"needs {MIN_FRAMES} consecutive frames")
    scores = judges.syncnet.scores(clip, drive.sound(frames), judges.detector)
    if scores is None:
        return missing(keys, "no face was found")
    return dict(zip(keys, (scores.confidence, scores.distance, scores.offset_frames), strict=True))


def stillness_metrics(drive: Drive, judges: Judges) -> dict[str, Any]:
    """What the mouth does in silence and in noise, as shares of its range in this drive's sound."""
    if judges.detector is None:
        return missing(STILLNESS, judges.no_detector)
    found = mouth_stillness(drive.avatar, drive.encoder, drive.samples, judges.detector, drive.backend, drive.threads)
    flat = [name for name, value in found.items() if value is None]
    return found | missing(flat, "speech moves nothing, or no face was found")
