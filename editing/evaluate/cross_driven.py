"""The cross-driven table: the avatar speaks another sound, so there is no true picture; the sound itself is what lips are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from editing.evaluate.judges import Judges, missing
from editing.evaluate.metrics import mouth_opening
from editing.evaluate.moving import SYNC, consecutive, lag_scores, stillness_metrics, sync_metrics
from editing.evaluate.phone_opening import open_probability
from editing.evaluate.self_driven import CURVES, LIPS, PICTURE
from editing.evaluate.sheet import SheetFrame, sheet_frames, write_sheet
from renderer.audio.encoder import AudioEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from editing.evaluate.driving import Drive

NO_TRUTH = "cross-driven, there are no true pictures of this speech"
PHONE = ("phone_correlation", "phone_lag_frames")


def cross_driven(drive: Drive, frames: range, judges: Judges, sheet: Path | None = None) -> dict[str, Any]:
    """Metrics that need no truth; the others are null with the reason."""
    seen: list[int] = []
    openings: list[float] = []
    columns: list[SheetFrame] = []
    wanted = sheet_frames(frames) if sheet is not None else set()
    for index, rendered in zip(frames, drive.pictures(frames), strict=True):
        if index in wanted:
            columns.append(SheetFrame(index, rendered, None))
        if judges.detector is not None:
            landmarks = judges.detector.detect(rendered)
            if landmarks is not None:
                seen.append(index)
                openings.append(mouth_opening(landmarks))
    result: dict[str, Any] = {"setting": "cross-driven", "frames": len(frames), "size": drive.avatar.camera.height}
    result["face_missed"] = len(frames) - len(seen) if judges.detector is not None else 0
    result |= missing((*PICTURE, "lpips", *LIPS, *(name for name in CURVES if name not in PHONE)), NO_TRUTH)
    if judges.detector is None:
        result |= missing(PHONE, judges.no_detector)
    else:
        said = open_probability(AudioEncoder.bundled(), drive.samples, drive.n_frames)[seen]
        result |= lag_scores("phone", said, np.array(openings), frames.step)
    if sheet is not None:
        write_sheet(sheet, drive, columns)
    clip = consecutive(frames)
    result |= sync_metrics(drive, judges, clip, lambda: drive.pictures(clip, "sync"))
    result |= missing([f"{name}_of_truth" for name in SYNC], NO_TRUTH)
    result |= missing(("aue",), NO_TRUTH) | stillness_metrics(drive, judges)
    return result | missing(("identity",), NO_TRUTH)
