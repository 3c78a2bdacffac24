"""The self-driven table: the avatar speaks the dataset's own sound, and every picture has its truth."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from editing import lpips
from editing.evaluate.driving import Drive
from editing.evaluate.judges import NEEDS_ARCFACE, NEEDS_OPENFACE, Judges, missing
from editing.evaluate.metrics import PAPERS_HEIGHT_PX, correlation, lip_landmark_distance, mouth_opening, psnr_db, ssim
from editing.evaluate.moving import LEAST_CURVE_FRAMES, consecutive, lag_scores, stillness_metrics, sync_metrics
from editing.evaluate.phone_opening import open_probability
from editing.evaluate.regions import regions
from editing.evaluate.sheet import SheetFrame, sheet_frames, write_sheet
from renderer.audio.encoder import AudioEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import UInt8

    from editing.dataset import Dataset
    from editing.landmarks import Face
    from renderer.avatar import Avatar

PICTURE = ("psnr_db", "psnr_head_db", "psnr_face_db", "psnr_mouth_db", "psnr_lips_db", "ssim")
LIPS = ("lmd_px", "lmd_512_px", "blendshape_error")
CURVES = (
    *("opening_correlation", "opening_lag_frames", "opening_correlation_lag0", "opening_correlation_of_truth"),
    *("phone_correlation", "phone_lag_frames", "phone_correlation_of_truth"),
)


def evaluate(
    avatar: Avatar,
    dataset: Dataset,
    encoder: AudioEncoder,
    frames: range,
    backend: str = "auto",
    threads: int = 1,
    pictures: Path | None = None,
    judges: Judges | None = None,
) -> dict[str, Any]:
    """All metrics as one object; a metric that cannot be had is null and `<metric>_reason` says why."""
    drive = Drive.prepare(avatar, dataset, encoder, None, backend, threads)
    if judges is not None:
        return self_driven(drive, frames, judges, pictures)
    with contextlib.closing(Judges.open()) as opened:
        return self_driven(drive, frames, opened, pictures)


def self_driven(drive: Drive, frames: range, judges: Judges, sheet: Path | None = None) -> dict[str, Any]:
    """As `evaluate`, of what is loaded already."""
    values: dict[str, list[float]] = defaultdict(list)
    faces: dict[int, tuple[Face, Face]] = {}
    identities: list[float] = []
    columns: list[SheetFrame] = []
    wanted = sheet_frames(frames) if sheet is not None else set()
    for index, rendered in zip(frames, drive.pictures(frames), strict=True):
        real = np.asarray(drive.dataset.frames[index])
        for name, value in picture_metrics(drive.dataset, index, real, rendered, judges).items():
            values[name].append(value)
        if index in wanted:
            columns.append(SheetFrame(index, rendered, real))
        if judges.detector is not None:
            pair = judges.detector.detect_face(real), judges.detector.detect_face(rendered)
            if pair[0] is not None and pair[1] is not None:
                faces[index] = pair[0], pair[1]
                if judges.arcface is not None:
                    identities.append(judges.arcface.distance(real, rendered, pair[0].landmarks, pair[1].landmarks))
    result: dict[str, Any] = {"setting": "self-driven", "frames": len(frames), "size": drive.avatar.camera.height}
    result["poses"] = drive.poses_from
    result["face_missed"] = len(frames) - len(faces) if judges.detector is not None else 0
    means = {name: float(np.mean(found)) for name, found in values.items()}
    result |= missing([name for name in PICTURE if name not in means], "the dataset's labels do not show it") | means
    if judges.lpips is None:
        result |= missing(("lpips",), lpips.NEEDS)
    else:
        result["lpips_network"] = judges.lpips.name
    result |= lip_metrics(drive, judges, faces, frames.step)
    if sheet is not None:
        write_sheet(sheet, drive, columns)
    clip = consecutive(frames)
    result |= sync_metrics(drive, judges, clip, lambda: drive.pictures(clip, "sync"))
    result |= sync_metrics(drive, judges, clip, lambda: (np.asarray(drive.dataset.frames[k]) for k in clip), "_of_truth")
    result |= action_unit_metrics(drive, judges, clip)
    result |= stillness_metrics(drive, judges)
    return result | identity_metric(judges, identities)


def identity_metric(judges: Judges, distances: Sequence[float]) -> dict[str, Any]:
    """ArcFace's mean distance of the frames with a face in both pictures."""
    if judges.arcface is None:
        return missing(("identity",), NEEDS_ARCFACE)
    if judges.detector is None:
        return missing(("identity",), judges.no_detector)
    return {"identity": float(np.mean(distances))} if distances else missing(("identity",), "no face was found")


def picture_metrics(
    dataset: Dataset, index: int, real: UInt8[np.ndarray, "h w 3"], rendered: UInt8[np.ndarray, "h w 3"], judges: Judges
) -> dict[str, float]:
    """Of one frame; a region that it does not show is left out."""
    found = {"psnr_db": psnr_db(real, rendered), "ssim": ssim(real, rendered)}
    found |= {f"psnr_{name}_db": psnr_db(real, rendered, mask) for name, mask in regions(dataset, index).items() if mask.any()}
    if judges.lpips is not None:
        found["lpips"] = judges.lpips.distance(real, rendered)
    return found


def lip_metrics(drive: Drive, judges: Judges, faces: dict[int, tuple[Face, Face]], step: int) -> dict[str, Any]:
    """What the landmarks of the frames with a face in both pictures say."""
    from editing.evaluate.action_units import blendshape_error

    if judges.detector is None:
        return missing((*LIPS, *CURVES), judges.no_detector)
    if not faces:
        return missing((*LIPS, *CURVES), "no face was found")
    pairs = list(faces.values())
    lmd_px = float(np.mean([lip_landmark_distance(real.landmarks, rendered.landmarks) for real, rendered in pairs]))
    result: dict[str, Any] = {"lmd_px": lmd_px, "lmd_512_px": lmd_px * PAPERS_HEIGHT_PX / drive.avatar.camera.height}
    result["blendshape_error"] = float(np.mean([blendshape_error(real.blendshapes, rendered.blendshapes) for real, rendered in pairs]))

    seen = list(faces)
    true = np.asarray(drive.dataset.track.lip_opening)[seen]
    real, rendered = (np.array([mouth_opening(pair[which].landmarks) for pair in pairs]) for which in (0, 1))
    result |= lag_scores("opening", true, rendered, step)
    said = open_probability(AudioEncoder.bundled(), drive.samples, drive.n_frames)[seen]
    result |= lag_scores("phone", said, rendered, step)
    if len(pairs) < LEAST_CURVE_FRAMES:
        return result | missing([name for name in CURVES if name not in result], f"needs {LEAST_CURVE_FRAMES} frames with a face")
    at_once = {
        "opening_correlation_lag0": correlation(true, rendered),
        "opening_correlation_of_truth": correlation(true, real),
        "phone_correlation_of_truth": lag_scores("phone", said, real, step)["phone_correlation"],
    }
    return result | at_once | missing([name for name, value in at_once.items() if value is None], "one of the curves is flat")


def action_unit_metrics(drive: Drive, judges: Judges, clip: range) -> dict[str, Any]:
    """AUE of consecutive frames."""
    if judges.openface is None:
        return missing(("aue",), NEEDS_OPENFACE)
    from editing.evaluate.action_units import action_unit_error

    real = judges.openface.mouth_intensities(np.asarray(drive.dataset.frames[k]) for k in clip)
    error = action_unit_error(real, judges.openface.mouth_intensities(drive.pictures(clip, "action units")))
    return {"aue": error} if error is not None else missing(("aue",), "no frame shows a face in both clips")
