"""`python -m editing evaluate`: an avatar against a dataset that it has not seen, frame by frame."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.command_line import OneLineParser
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from jaxtyping import UInt8

    from editing.dataset import Dataset
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

DESCRIPTION = "Compare an avatar with a dataset: pictures and lips."


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog="python -m editing evaluate", description=DESCRIPTION)
    p.add_argument("avatar", help="avatar file or name")
    p.add_argument("--dataset", type=Path, required=True, help="dataset folder (a held-out one)")
    p.add_argument("--backend", default="auto", help="auto, cpu or torch (default auto)")
    p.add_argument("--threads", type=int, default=1, help="render threads (default 1)")
    p.add_argument("--every", type=int, default=1, help="look at every n-th frame only (default 1: all)")
    p.add_argument("--pictures", type=Path, help="write a sheet of truth (above) and rendering (below) to this PNG")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    arguments = parser().parse_args(argv)
    from editing.dataset import Dataset
    from renderer.audio.export import load_encoder
    from renderer.library import open_avatar
    from renderer.render import check_encoder

    if arguments.every < 1:
        raise BadInput(f"--every {arguments.every}: 1 or more is possible")
    avatar = open_avatar(arguments.avatar)
    dataset = Dataset.open(arguments.dataset)
    encoder = load_encoder(avatar.encoder.id)
    check_encoder(avatar, encoder)
    frames = range(0, dataset.meta.n_frames, arguments.every)
    result = evaluate(avatar, dataset, encoder, frames, arguments.backend, arguments.threads, arguments.pictures)
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24} {value if not isinstance(value, float) else round(value, 3)}")
    return 0


def evaluate(
    avatar: Avatar,
    dataset: Dataset,
    encoder: AudioEncoder,
    frames: range,
    backend: str = "auto",
    threads: int = 1,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """All metrics as one object; a metric without its weights is null and `<metric>_reason` says why."""
    import numpy as np

    from editing.evaluate.metrics import best_correlation, lip_landmark_distance, mouth_opening, psnr_db
    from editing.evaluate.stillness import mouth_stillness
    from editing.landmarks import LandmarkDetector
    from editing.train.clip import LIP_LABELS, TORSO_LABELS

    try:
        detector: LandmarkDetector | None = LandmarkDetector()
        no_landmarks = None
    except BadInput as error:
        detector, no_landmarks = None, str(error)
    values: dict[str, list[float]] = {key: [] for key in ("psnr_db", "psnr_head_db", "psnr_lips_db", "lmd_px")}
    openings: list[tuple[float, float, float]] = []
    missed = 0
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for index, rendered in zip(frames, render_clip(avatar, dataset, encoder, frames, backend, threads), strict=True):
        truth = np.asarray(dataset.frames[index])
        labels = dataset.labels[index]
        ids = dataset.meta.labels
        head = ~np.isin(labels, [ids["background"], *(ids[n] for n in TORSO_LABELS)])
        lips = np.isin(labels, [ids[n] for n in LIP_LABELS])
        values["psnr_db"].append(psnr_db(truth, rendered))
        values["psnr_head_db"].append(psnr_db(truth, rendered, head))
        if lips.any():
            values["psnr_lips_db"].append(psnr_db(truth, rendered, grow(lips)))
        if len(kept) < 8 and (index // frames.step) % max(1, len(frames) // 8) == 0:
            kept.append((truth, rendered))
        if detector is not None:
            a, b = detector.detect(truth), detector.detect(rendered)
            if a is None or b is None:
                missed += 1
                continue
            values["lmd_px"].append(lip_landmark_distance(a, b))
            openings.append((float(dataset.track.lip_opening[index]), mouth_opening(a), mouth_opening(b)))
    result: dict[str, Any] = {"frames": len(frames), "size": avatar.camera.height, "face_missed": missed}
    result |= {key: float(np.mean(v)) if v else None for key, v in values.items()}
    if len(openings) > 10:
        curve = np.array(openings)
        best = best_correlation(curve[:, 0], curve[:, 2])
        result |= {"opening_correlation": best.correlation, "opening_lag_frames": best.lag_frames}
        result["opening_correlation_lag0"] = float(np.corrcoef(curve[:, 0], curve[:, 2])[0, 1])
        result["opening_correlation_of_truth"] = float(np.corrcoef(curve[:, 0], curve[:, 1])[0, 1])
    if detector is not None:
        result |= mouth_stillness(avatar, encoder, dataset.audio(), detector, backend, threads)
    if no_landmarks:
        for metric in ("lmd_px", "opening_correlation", "mouth_moves_in_silence", "mouth_moves_in_noise"):
            result |= {metric: None, f"{metric}_reason": no_landmarks}
    for metric, model in (("lpips", "VGG"), ("sync_confidence", "SyncNet"), ("identity", "ArcFace")):
        result |= {metric: None, f"{metric}_reason": f"needs the weights of {model}, which are not installed"}
    if pictures is not None and kept:
        write_sheet(pictures, kept)
    if detector is not None:
        detector.close()
    return result


def render_clip(
    avatar: Avatar, dataset: Dataset, encoder: AudioEncoder, frames: range, backend: str, threads: int
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The avatar with the dataset's sound, poses and blinks."""
    from tqdm import tqdm

    from editing.train.clip import clip_windows
    from renderer.backends.base import RenderOptions, open_backend
    from renderer.types import FrameCondition

    if (dataset.meta.camera.width, dataset.meta.camera.height) != (avatar.camera.width, avatar.camera.height):
        raise BadInput(
            f"dataset of {dataset.meta.camera.width}x{dataset.meta.camera.height} pixels, "
            f"avatar of {avatar.camera.width}x{avatar.camera.height}; they must be of one size"
        )
    windows = clip_windows(dataset.audio(), encoder, avatar.field_config.audio_window, dataset.meta.n_frames)
    runner = open_backend(avatar, RenderOptions(size=avatar.camera.height, threads=threads), backend)
    try:
        for k in tqdm(frames, unit="frame", disable=not sys.stderr.isatty()):
            condition = FrameCondition(
                index=k,
                audio_window=windows[k],
                camera_from_head=dataset.track.camera_from_head[k],
                eye_ratio=float(dataset.track.eye_ratio[k]),
                background=dataset.background,
            )
            yield runner.render([condition])[0]
    finally:
        runner.close()


def grow(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_dilation(mask, iterations=3)


def write_sheet(path: Path, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Truth above, rendering below, as a PNG."""
    import numpy as np

    from renderer.images import encode_picture

    sheet = np.vstack([np.hstack([a for a, _ in pairs]), np.hstack([b for _, b in pairs])])
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(encode_picture(sheet, "png"))
    temporary.replace(path)
