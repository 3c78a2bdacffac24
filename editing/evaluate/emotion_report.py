"""`python -m editing emotions`: whether an avatar shows the emotions that it is told to, against a labelled dataset that it has not seen.

The avatar speaks the dataset's sound with its head and its labels. A judge (`emotion_judge`) that has learned from the pictures of
`--truth` (other sentences) says what the rendered pictures show, and what the true ones do. Strength is compared at moments of the dataset
that are rendered in all three intensities of each category. Without labels (`train --no-emotion`) the same is measured as AED-NeRF's
ablation (figure 9); strengths are then missing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.evaluate.judges import missing
from editing.evaluate.metrics import correlation, mouth_opening, psnr_db
from editing.evaluate.regions import regions
from renderer.backends.base import RenderOptions, open_backend
from renderer.command_line import OneLineParser
from renderer.emotion import EMOTIONS, INTENSITIES, NEUTRAL, Emotion, emotion_code
from renderer.errors import BadInput
from renderer.images import encode_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import UInt8

    from editing.evaluate.driving import Drive
    from editing.evaluate.emotion_judge import EmotionJudge
    from editing.landmarks import LandmarkDetector

PROG = "python -m editing emotions"
MOMENTS = 40
"""Rendered in all intensities of all categories."""
NO_EMOTION = "the avatar takes no emotion"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog=PROG, description="Measure whether an avatar shows the emotions that it is told to.")
    p.add_argument("avatar", help="avatar file or name")
    p.add_argument("--dataset", type=Path, required=True, help="labelled dataset that it has not seen (synthesize --emotion all)")
    p.add_argument("--truth", type=Path, required=True, help="labelled dataset with other sentences, for the judge to learn from")
    p.add_argument("--every", type=int, default=1, metavar="N", help="look at every n-th frame only (default 1: all)")
    p.add_argument("--moments", type=int, default=MOMENTS, help="moments to compare strengths at (default %(default)s)")
    p.add_argument("--backend", default="auto", help="auto, cpu or torch (default auto)")
    p.add_argument("--threads", type=int, default=1, help="render threads (default 1)")
    p.add_argument("--pictures", type=Path, metavar="JPG", help="write a sheet: categories across, intensities down")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    if options.every < 1 or options.moments < 1:
        raise BadInput(f"--every {options.every} and --moments {options.moments}: 1 or more is possible")
    if options.pictures is not None and not options.pictures.parent.is_dir():
        raise BadInput(f"--pictures {options.pictures}: its folder does not exist")
    from editing.dataset import Dataset
    from editing.evaluate.driving import Drive
    from editing.evaluate.emotion_judge import EmotionJudge
    from editing.landmarks import LandmarkDetector
    from renderer.audio.export import load_encoder
    from renderer.library import open_avatar
    from renderer.render import check_encoder

    avatar, dataset, truth = open_avatar(options.avatar), Dataset.open(options.dataset), Dataset.open(options.truth)
    encoder = load_encoder(avatar.encoder.id)
    check_encoder(avatar, encoder)
    drive = Drive.prepare(avatar, dataset, encoder, None, options.backend, options.threads)
    with contextlib.closing(LandmarkDetector()) as detector:
        judge = EmotionJudge.learn(truth, detector)
        result = emotion_metrics(drive, judge, detector, options.every, options.moments)
    if options.pictures is not None:
        write_sheet(options.pictures, drive)
    print(json.dumps(result) if options.json else table(result))
    return 0


def emotion_metrics(
    drive: Drive, judge: EmotionJudge, detector: LandmarkDetector, every: int = 1, moments: int = MOMENTS
) -> dict[str, Any]:
    """All figures as one object. Of the dataset's usable frames every `every`-th is looked at.

    accuracy, accuracy_of_truth                shares of the rendered and of the true pictures whose category is recognised
    strength_ordered                           share of moments and categories where weak < medium < strong
    strength_at                                mean strength that the judge sees at each intensity
    psnr_db, psnr_head_db                      of all frames
    by_emotion                                 the same of each category, and the lips' correlation with the dataset's own curve
    """
    dataset, avatar = drive.dataset, drive.avatar
    frames = [int(k) for k in np.flatnonzero(dataset.usable())][::every]
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for k, rendered in zip(frames, drive.pictures(frames), strict=True):
        category = dataset.emotion(k).category
        values, real = found[category], np.asarray(dataset.frames[k])
        values["psnr_db"].append(psnr_db(real, rendered))
        values["psnr_head_db"].append(psnr_db(real, rendered, regions(dataset, k)["head"]))
        faces = detector.detect_face(real), detector.detect_face(rendered)
        values["missed"].append(float(faces[1] is None))
        values["accuracy"].append(float(faces[1] is not None and judge.category(faces[1]) == category))
        if faces[0] is not None:
            values["accuracy_of_truth"].append(float(judge.category(faces[0]) == category))
        if faces[1] is not None:
            values["opening"].append(mouth_opening(faces[1].landmarks))
            values["true_opening"].append(float(dataset.track.lip_opening[k]))
    means = ("accuracy", "accuracy_of_truth", "psnr_db", "psnr_head_db", "missed")
    by_emotion: dict[str, dict[str, float | None]] = {}
    for name in (emotion for emotion in EMOTIONS if emotion in found):
        values = found[name]
        row: dict[str, float | None] = {key: float(np.mean(values[key])) for key in means}
        row["frames"] = len(values["psnr_db"])
        row["opening_correlation"] = correlation(np.array(values["true_opening"]), np.array(values["opening"]))
        by_emotion[name] = row
    result: dict[str, Any] = {"avatar": avatar.name, "frames": len(frames), "size": avatar.camera.height}
    result |= {key: float(np.mean([v for values in found.values() for v in values[key]])) for key in means}
    result["by_emotion"] = by_emotion
    if not avatar.is_emotional:
        return result | missing(("strength_ordered", "strength_at"), NO_EMOTION)
    chosen = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, moments).astype(int))]
    return result | strength_metrics(drive, judge, detector, chosen)


def strength_metrics(drive: Drive, judge: EmotionJudge, detector: LandmarkDetector, frames: Sequence[int]) -> dict[str, Any]:
    """Whether weak < medium < strong, at each of `frames` in each category that the judge knows; a face that is not found is no order."""
    from tqdm import tqdm

    levels = [(level + 1) / len(INTENSITIES) for level in range(len(INTENSITIES))]
    seen: dict[str, list[list[float]]] = {category: [] for category in EMOTIONS if category in judge.strength}
    options = RenderOptions(size=drive.avatar.camera.height, threads=drive.threads)
    with contextlib.closing(open_backend(drive.avatar, options, drive.backend)) as backend:
        for k in tqdm(frames, "strengths", unit="moment", disable=not sys.stderr.isatty()):
            for category, rows in seen.items():
                row = []
                for strength in levels:
                    condition = dataclasses.replace(drive.condition(k), emotion=emotion_code(Emotion(category, strength)))
                    face = detector.detect_face(backend.render([condition])[0])
                    row.append(float("nan") if face is None else judge.strength_of(face, category))
                rows.append(row)
    ordered = {category: float(np.mean([row[0] < row[1] < row[2] for row in rows])) for category, rows in seen.items()}
    return {
        "strength_ordered": float(np.mean(list(ordered.values()))),
        "strength_ordered_by_emotion": ordered,
        "strength_at": {c: [float(value) for value in np.nanmean(rows, axis=0)] for c, rows in seen.items()},
    }


def write_sheet(path: Path, drive: Drive) -> None:
    """Categories across, weak, medium and strong down; one moment of the dataset with an open mouth, eyes open."""
    dataset = drive.dataset
    score = np.asarray(dataset.track.eye_ratio) - np.abs(np.asarray(dataset.track.lip_opening) - 0.15) - 9.0 * ~dataset.usable()
    k = int(np.argmax(score))
    options = RenderOptions(size=drive.avatar.camera.height, threads=drive.threads)
    rows: list[UInt8[np.ndarray, "h w 3"]] = []
    with contextlib.closing(open_backend(drive.avatar, options, drive.backend)) as backend:
        for level in range(len(INTENSITIES)):
            emotions = [NEUTRAL if name == "neutral" else Emotion(name, (level + 1) / len(INTENSITIES)) for name in EMOTIONS]
            conditions = [dataclasses.replace(drive.condition(k), emotion=emotion_code(emotion)) for emotion in emotions]
            rows.append(np.hstack(list(backend.render(conditions))))
    unfinished = path.with_suffix(".partial")
    unfinished.write_bytes(encode_picture(np.vstack(rows), "png" if path.suffix == ".png" else "mjpeg"))
    unfinished.replace(path)


def table(result: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{result['avatar']}: {result['frames']} frames of {result['size']} px"]
    lines.append("                recognised  of the true  PSNR dB  head dB  lips, corr.  strength ordered (seen at weak, medium, strong)")
    ordered = result.get("strength_ordered_by_emotion", {})
    for name, row in result["by_emotion"].items():
        strengths = ", ".join(f"{value:.2f}" for value in (result["strength_at"] or {}).get(name, []))
        lips = "–" if row["opening_correlation"] is None else f"{row['opening_correlation']:.3f}"
        shown = f"{ordered[name]:.2f} ({strengths})" if name in ordered else "–"
        lines.append(
            f"{name:<16}{row['accuracy']:>10.3f}{row['accuracy_of_truth']:>13.3f}{row['psnr_db']:>9.2f}{row['psnr_head_db']:>9.2f}"
            f"{lips:>13}  {shown}"
        )
    overall = "–" if result["strength_ordered"] is None else f"{result['strength_ordered']:.3f}"
    lines.append(
        f"{'all':<16}{result['accuracy']:>10.3f}{result['accuracy_of_truth']:>13.3f}{result['psnr_db']:>9.2f}{result['psnr_head_db']:>9.2f}"
        f"{'':>13}  {overall}"
    )
    if result["strength_ordered"] is None:
        lines.append(str(result["strength_ordered_reason"]))
    return "\n".join(lines)
