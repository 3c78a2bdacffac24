"""`python -m editing merge`: several datasets of one subject and one camera become one.

What is merged has to agree in everything that the field takes as fixed: camera, background, head box, regions, labels, landmarks. Takes of
the presenter do. Captures do not, since each has a head shape and a focal length of its own: their clips are captured together
(`capture FOLDER --emotions`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.dataset import (
    Dataset,
    DatasetMeta,
    Track,
    write_audio,
    write_meta,
    write_preview,
    write_track,
    write_transcript,
)
from editing.joints import away_from_joints
from renderer import __version__
from renderer.command_line import OneLineParser
from renderer.errors import BadInput
from renderer.types import FPS

if TYPE_CHECKING:
    from collections.abc import Sequence

PROG = "python -m editing merge"
SHARED = ("camera", "subject", "head_box", "audio_region", "eye_region", "labels", "landmark_names", "fps")
"""Of the meta data: what must be the same in all."""
SAME_BACKGROUND = 1.0
"""Mean difference of two backgrounds, of 255, up to which they are one."""
COPIED_FRAMES = 100


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog=PROG, description="Put datasets of one subject and one camera together, one after the other.")
    p.add_argument("datasets", type=Path, nargs="+", metavar="DATASET", help="dataset folders, at least two")
    p.add_argument("--out", type=Path, required=True, help="folder to write; OUT.partial until it is complete")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    n_frames = merge(options.datasets, options.out)
    print(f"wrote {options.out}: {n_frames} frames, {n_frames / FPS:.0f} s")
    return 0


def merge(paths: Sequence[Path], out: Path) -> int:
    """Write the dataset `out`; returns its number of frames. Raises BadInput where the datasets do not belong together."""
    if len(paths) < 2:
        raise BadInput(f"{len(paths)} dataset: at least two are needed to merge")
    if out.exists():
        raise BadInput(f"{out} exists already; choose another --out or remove it")
    if not out.parent.is_dir():
        raise BadInput(f"{out.parent} is not a folder; --out must lie in one that exists")
    datasets = [Dataset.open(path) for path in paths]
    for dataset in datasets[1:]:
        _check_pair(datasets[0], dataset)
    partial = out.with_name(out.name + ".partial")
    # Copying takes seconds: what an earlier run left behind is not worth going on with.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _write(partial, datasets)
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return sum(dataset.meta.n_frames for dataset in datasets)


def _check_pair(first: Dataset, other: Dataset) -> None:
    for dataset in (first, other):
        if dataset.meta.subject.get("kind") != "synthetic":
            raise BadInput(
                f"{dataset.path} was captured, with a head shape of its own; capture the clips together: capture FOLDER --emotions"
            )
    for name in SHARED:
        if getattr(first.meta, name) != getattr(other.meta, name):
            raise BadInput(
                f"{other.path} has {name} {getattr(other.meta, name)!r}, {first.path} {getattr(first.meta, name)!r}; they must be the same"
            )
    apart = float(np.abs(first.background.astype(np.int16) - other.background).mean())
    if apart > SAME_BACKGROUND:
        raise BadInput(f"{other.path} shows another background than {first.path} (they differ by {apart:.0f} of 255)")
    if first.track.articulation_names != other.track.articulation_names:
        raise BadInput(f"{other.path} has other articulation parameters than {first.path}; synthesize both with this program")


def _write(folder: Path, datasets: Sequence[Dataset]) -> None:
    from numpy.lib.format import open_memmap
    from tqdm import tqdm

    lengths = [dataset.meta.n_frames for dataset in datasets]
    begins = [int(begin) for begin in np.cumsum([0, *lengths[:-1]])]
    n, first = sum(lengths), datasets[0]
    with tqdm(total=n, unit="frame", disable=not sys.stderr.isatty()) as bar:
        pictures = open_memmap(folder / "frames.npy", "w+", np.uint8, (n, *first.frames.shape[1:]))
        labels = open_memmap(folder / "labels.npy", "w+", np.uint8, (n, *first.labels.shape[1:]))
        for begin, dataset in zip(begins, datasets, strict=True):
            for k in range(0, dataset.meta.n_frames, COPIED_FRAMES):
                part = slice(k, min(k + COPIED_FRAMES, dataset.meta.n_frames))
                pictures[begin + part.start : begin + part.stop] = dataset.frames[part]
                labels[begin + part.start : begin + part.stop] = dataset.labels[part]
                bar.update(part.stop - part.start)
        pictures.flush()
        labels.flush()
    np.save(folder / "background.npy", first.background)
    write_audio(folder / "audio.wav", np.concatenate([dataset.audio() for dataset in datasets]))
    joints = tuple(sorted({*begins[1:], *(begin + j for begin, d in zip(begins, datasets, strict=True) for j in d.meta.joints)}))
    emotions = tuple(dict.fromkeys(str(name) for dataset in datasets for name in dataset.transcript.get("emotions", [])))
    write_track(folder, _track(datasets, emotions, joints))
    write_meta(folder, _meta(datasets, n, joints))
    sentences = [
        sentence
        for begin, dataset in zip(begins, datasets, strict=True)
        for sentence in (_moved(said, begin / FPS) for said in dataset.transcript.get("sentences", []))
    ]
    write_transcript(folder, {**first.transcript, "emotions": list(emotions), "sentences": sentences})
    write_preview(folder / "preview.mp4", pictures, folder / "audio.wav")


def _meta(datasets: Sequence[Dataset], n_frames: int, joints: tuple[int, ...]) -> DatasetMeta:
    voices = tuple(dict.fromkeys(voice for dataset in datasets for voice in dataset.meta.voices))
    return replace(datasets[0].meta, n_frames=n_frames, voices=voices, generator=f"visavis {__version__} merge", joints=joints)


def _track(datasets: Sequence[Dataset], emotions: tuple[str, ...], joints: tuple[int, ...]) -> Track:
    values: dict[str, Any] = {
        field.name: np.concatenate([getattr(dataset.track, field.name) for dataset in datasets])
        for field in fields(Track)
        if field.name not in ("usable", "emotion", "articulation", "articulation_names")
    }
    usable = np.concatenate([dataset.usable() for dataset in datasets])
    usable &= away_from_joints(len(usable), joints)
    if not usable.any():
        raise BadInput("the datasets are so short that no frame is left which belongs to one of them alone")
    values["usable"] = usable
    values["emotion"] = np.concatenate([_renumbered(dataset, emotions) for dataset in datasets])
    if datasets[0].track.articulation is not None:
        values["articulation"] = np.concatenate([dataset.track.articulation for dataset in datasets])
        values["articulation_names"] = datasets[0].track.articulation_names
    return Track(**values)


def _renumbered(dataset: Dataset, emotions: tuple[str, ...]) -> np.ndarray:
    """The emotion of each frame as an index into `emotions`."""
    own = dataset.transcript.get("emotions", [])
    found = dataset.track.emotion
    if len(found) and not 0 <= int(found.min()) <= int(found.max()) < len(own):
        raise BadInput(f"{dataset.path}: its frames have emotions {found.min()}...{found.max()}, its transcript names {len(own)}")
    return np.array([emotions.index(str(name)) for name in own], np.int16)[found]


def _moved(sentence: dict[str, Any], by_s: float) -> dict[str, Any]:
    moved = {**sentence, "start_s": round(sentence["start_s"] + by_s, 4), "end_s": round(sentence["end_s"] + by_s, 4)}
    if "phones" in sentence:
        moved["phones"] = [[round(start + by_s, 4), round(end + by_s, 4), phone] for start, end, phone in sentence["phones"]]
    return moved
