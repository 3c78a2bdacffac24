"""Rendering a take into a dataset: resumable, on several processes.

Everything is written to NAME.partial, whose `progress.npy` says which pictures are done; the folder gets its name when
it is complete. Pictures are rendered in worker processes that write straight into the memory-mapped arrays.
"""

from __future__ import annotations

import multiprocessing
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap
from tqdm import tqdm

from editing.dataset import (
    DatasetMeta,
    HeadBox,
    Region,
    Track,
    write_audio,
    write_meta,
    write_preview,
    write_track,
    write_transcript,
)
from editing.phones import VISEMES
from editing.request_file import REQUEST_NAME, note_request, was_begun_with
from editing.synthesize.emotions import EMOTION_NAMES
from editing.synthesize.performance import Expression, perform
from editing.synthesize.presenter import (
    AUDIO_REGION_CENTRE,
    AUDIO_REGION_RADII,
    EYE_REGION_CENTRE,
    EYE_REGION_RADII,
    HEAD_BOX_CENTRE,
    HEAD_BOX_HALF_EXTENT,
    LABELS,
    LANDMARK_NAMES,
    Presenter,
)
from editing.synthesize.speech import Speech, compose
from renderer import __version__
from renderer.errors import BadInput
from renderer.types import FPS

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int16

SUBJECT_NAME = "the visavis presenter"
MAX_SECONDS = 24 * 3600
_PROGRESS, _LANDMARKS, _EMOTIONS = "progress.npy", "landmarks.npy", "emotions.npz"
_EYE_PERCENTILE = 98


@dataclass(frozen=True)
class TakeConfig:
    """What is asked for."""

    seconds: float = 60.0
    """length of the take; rounded to whole pictures"""
    size_px: int = 256
    """width and height of the pictures"""
    supersample: int = 2
    """rays a pixel along each axis"""
    seed: int = 0
    """of sentences, voices and movement"""
    voices: tuple[str, ...] = ("en-us+m3", "en-us+f3", "en-us+m7", "en-us+f4")
    """espeak-ng voices, changing from sentence to sentence"""
    sentences: str = "train"
    """which set: train or heldout"""
    emotion: str = "neutral"
    """held through the take; or `all`, the fifteen labels of AED-NeRF in turn"""
    emotion_strength: float = 0.0
    """0 … 1, of one that is held"""
    lively: bool = False
    """gaze and brows move too; not for training a plain field"""

    def __post_init__(self) -> None:
        if not 1.0 / FPS <= self.seconds <= MAX_SECONDS:
            raise BadInput(f"seconds {self.seconds} is outside {1.0 / FPS}...{MAX_SECONDS}")
        if self.size_px % 2 or not 32 <= self.size_px <= 2048:
            raise BadInput(f"size {self.size_px} px must be even and within 32...2048")
        if not 1 <= self.supersample <= 8:
            raise BadInput(f"supersample {self.supersample} is outside 1...8")
        if self.seed < 0:
            raise BadInput(f"seed {self.seed} is negative; give 0 or more")
        self.expression  # noqa: B018 -- checks emotion and strength

    @property
    def n_frames(self) -> int:
        """Number of pictures."""
        return round(self.seconds * FPS)

    @property
    def expression(self) -> Expression:
        """What the face shows beyond speech."""
        return Expression(self.emotion, self.emotion_strength, self.lively, self.seed)


# ---- workers -------------------------------------------------------------------------------------------------------
class _Worker:
    """One process's presenter and open arrays; made once a process by `_start_worker`."""

    def __init__(self, folder: Path, config: TakeConfig, variant: str) -> None:
        self.presenter = Presenter(variant)
        self.config = config
        self.articulation = np.load(folder / "articulation.npy")
        self.frames = np.load(folder / "frames.npy", mmap_mode="r+")
        self.labels = np.load(folder / "labels.npy", mmap_mode="r+")
        self.landmarks = np.load(folder / _LANDMARKS, mmap_mode="r+")

    def render(self, index: int) -> int:
        row = self.articulation[index]
        size_px = self.config.size_px
        self.frames[index], self.labels[index] = self.presenter.render(row, size_px, self.config.supersample)
        self.landmarks[index] = self.presenter.landmarks(row, size_px).pixels
        return index


_worker: _Worker | None = None  # one to a worker process; multiprocessing offers no other place for its state


def _start_worker(folder: Path, config: TakeConfig, variant: str) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _worker = _Worker(folder, config, variant)


def _render(index: int) -> int:
    assert _worker is not None
    return _worker.render(index)


# ---- the take ------------------------------------------------------------------------------------------------------
def synthesize(out: Path, config: TakeConfig, jobs: int, show_progress: bool = True) -> None:
    """Write the take `out`; goes on where an interrupted run with the same options stopped."""
    if jobs < 1:
        raise BadInput(f"jobs {jobs} must be at least 1")
    if out.exists():
        raise BadInput(f"{out} exists already; choose another --out or remove it")
    if not out.parent.is_dir():
        raise BadInput(f"{out.parent} is not a folder; --out must lie in one that exists")
    presenter = Presenter()
    partial = out.with_name(out.name + ".partial")
    if not was_begun_with(partial, _request(config, presenter)):
        _prepare(partial, config, presenter)
    _render_missing(partial, config, presenter.variant, jobs, show_progress)
    _finish(partial, config, presenter)
    partial.replace(out)


def _request(config: TakeConfig, presenter: Presenter) -> dict[str, Any]:
    # Pictures differ in last bits between instruction sets, so a take stays with one.
    return {"version": __version__, "variant": presenter.variant, **asdict(config)}


def _prepare(partial: Path, config: TakeConfig, presenter: Presenter) -> None:
    """Speech, movement and empty arrays; the request is written last, so a half-made folder is made anew."""
    speech = compose(config.n_frames / FPS, config.seed, config.voices, config.sentences)
    partial.mkdir(exist_ok=True)
    n, size_px = config.n_frames, config.size_px
    # Movement has a stream of its own, so that another choice of voices does not change the head's path.
    rng = np.random.default_rng([config.seed, 1])
    rest_smile = float(presenter.rest[presenter.index["smile"]])
    performance = perform([s.stretch for s in speech.sentences], n, rng, config.expression, rest_smile)
    names = [parameter.name for parameter in presenter.parameters]
    np.save(partial / "articulation.npy", performance.articulation(names, presenter.rest))
    np.save(partial / "viseme.npy", performance.viseme)
    emotions = performance.emotions
    np.savez(partial / _EMOTIONS, emotion=emotions.emotion, intensity=emotions.intensity, steady=emotions.steady)
    np.save(partial / "background.npy", presenter.background(size_px))
    write_audio(partial / "audio.wav", speech.samples)
    write_transcript(partial, _transcript(speech))
    open_memmap(partial / "frames.npy", "w+", np.uint8, (n, size_px, size_px, 3)).flush()
    open_memmap(partial / "labels.npy", "w+", np.uint8, (n, size_px, size_px)).flush()
    open_memmap(partial / _LANDMARKS, "w+", np.float32, (n, len(LANDMARK_NAMES), 2)).flush()
    open_memmap(partial / _PROGRESS, "w+", np.bool_, (n,)).flush()
    note_request(partial, _request(config, presenter))


def _transcript(speech: Speech) -> dict[str, Any]:
    return {
        "visemes": list(VISEMES),
        "emotions": list(EMOTION_NAMES),
        "sentences": [
            {
                "text": sentence.text,
                "voice": sentence.voice,
                "start_s": round(sentence.start_s, 4),
                "end_s": round(sentence.end_s, 4),
                "phones": [[round(p.start_s, 4), round(p.end_s, 4), p.phone] for p in sentence.stretch.phones],
            }
            for sentence in speech.sentences
        ],
    }


def _render_missing(partial: Path, config: TakeConfig, variant: str, jobs: int, show_progress: bool) -> None:
    done = np.load(partial / _PROGRESS, mmap_mode="r+")
    missing = [int(index) for index in np.flatnonzero(~done)]
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    pool = context.Pool(min(jobs, len(missing)), _start_worker, (partial, config, variant))
    try:
        bar = tqdm(total=len(done), initial=len(done) - len(missing), unit="frame", disable=not show_progress)
        with bar:
            for index in pool.imap_unordered(_render, missing):
                done[index] = True
                bar.update()
        pool.close()
    except BaseException:
        pool.terminate()
        raise
    finally:
        pool.join()
        done.flush()


def _finish(partial: Path, config: TakeConfig, presenter: Presenter) -> None:
    articulation = np.load(partial / "articulation.npy")
    names = [parameter.name for parameter in presenter.parameters]
    measures = [presenter.measures(row) for row in articulation]
    opening = np.array([m.eye_opening for m in measures])
    poses = np.stack([presenter.pose(row, config.size_px)[0] for row in articulation])
    camera = presenter.pose(articulation[0], config.size_px)[1]
    n = config.n_frames
    with np.load(partial / _EMOTIONS) as file:
        emotion, intensity, steady = file["emotion"], file["intensity"], file["steady"]
    write_track(
        partial,
        Track(
            camera_from_head=poses.astype(np.float32),
            landmarks=np.load(partial / _LANDMARKS),
            eye_ratio=_ratio(opening, emotion, intensity),
            lip_opening=np.array([m.lip_opening for m in measures], np.float32),
            viseme=np.load(partial / "viseme.npy"),
            emotion=emotion,
            emotion_intensity=intensity,
            usable=None if steady.all() else steady,
            articulation=articulation,
            articulation_names=tuple(names),
        ),
    )
    write_meta(
        partial,
        DatasetMeta(
            fps=FPS,
            n_frames=n,
            camera=camera,
            subject={"kind": "synthetic", "name": SUBJECT_NAME},
            seed=config.seed,
            voices=config.voices,
            head_box=HeadBox(HEAD_BOX_CENTRE, HEAD_BOX_HALF_EXTENT),
            audio_region=Region(AUDIO_REGION_CENTRE, AUDIO_REGION_RADII),
            eye_region=Region(EYE_REGION_CENTRE, EYE_REGION_RADII),
            labels=LABELS,
            landmark_names=LANDMARK_NAMES,
            generator=f"visavis {__version__}",
        ),
    )
    frames = np.load(partial / "frames.npy", mmap_mode="r")
    write_preview(partial / "preview.mp4", frames, partial / "audio.wav")
    for name in ("articulation.npy", "viseme.npy", _LANDMARKS, _EMOTIONS, _PROGRESS, REQUEST_NAME):
        (partial / name).unlink()


def _ratio(
    opening: Float[np.ndarray, " n"], emotion: Int16[np.ndarray, " n"], intensity: Float32[np.ndarray, " n"]
) -> Float32[np.ndarray, " n"]:
    """0 closed … 1 as open as in the same emotion: how wide eyes are in fear is the emotion's affair, and a blink is a blink in any."""
    ratio = np.zeros(len(opening))
    for label in set(zip(emotion.tolist(), intensity.tolist(), strict=True)):
        here = (emotion == label[0]) & (intensity == label[1])
        ratio[here] = opening[here] / np.percentile(opening[here], _EYE_PERCENTILE)
    return np.asarray(np.clip(ratio, 0.0, 1.0), dtype=np.float32)


def frames_done(out: Path) -> tuple[int, int]:
    """How many pictures of an unfinished take are done, and of how many."""
    progress = out.with_name(out.name + ".partial") / _PROGRESS
    if not progress.is_file():
        return 0, 0
    done = np.load(progress, mmap_mode="r")
    return int(done.sum()), len(done)
