"""The whole work, step by step in a folder beside the model that it makes, so that it can be stopped anywhere and go on.

OUT.training/request.json       what was asked for; another request does not go on from it
OUT.training/renders/           the styled renders, in portions
OUT.training/autoencoder.pt     checkpoint of the first network, denoiser.pt of the other two
OUT.training/latents.npz        of all pictures
OUT.training/progress.json      for whoever watches: `stage`, `step`, `steps` of the stage, `loss` (None where there is none)
OUT.training/spent.json         wall and processor seconds of all runs so far
OUT/                            the model, with `report.json` (its figures), `samples.png` (one row a style)
                                and the style judge; appears when it is whole

Nothing is ever half-written: files and folders appear under another name.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from editing.edit.job_folder import discard
from editing.evaluate.style_similarity import StyleJudge
from editing.request_file import note_request, was_begun_with
from editing.style_diffusion.autoencoder import AutoencoderConfig, encoded, reconstruction_psnr_db, train_autoencoder
from editing.style_diffusion.denoiser import Captioner, DenoiserConfig, train_denoiser
from editing.style_diffusion.pictures import Pictures, cut
from editing.style_diffusion.pipeline_folder import JUDGE_NAME, open_pipeline, sample, with_normal_latents, write_pipeline
from editing.style_diffusion.renders import make_renders
from editing.style_diffusion.styles import NAMES, PEOPLE, PHOTO, STYLES, vocabulary
from editing.style_diffusion.words import build_tokenizer
from editing.whole_files import write_array, write_whole
from renderer import __version__
from renderer.avatar_file import file_sha256
from renderer.errors import BadInput
from renderer.images import encode_picture

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

RENDERING, AUTOENCODER, DENOISER, SAMPLING = "rendering", "autoencoder", "denoiser", "sampling"
REPORT_NAME = "report.json"
PROGRESS_EVERY_S = 1.0
JUDGE_FRAMES = 60
"""Frames that the style judge learns from, more or less, each in every style."""

Note: TypeAlias = Callable[[str, int, int, "float | None"], None]
"""Called with the stage, what is done of it, all of it, and a loss where there is one."""


@dataclass(frozen=True)
class StyleDiffusionConfig:
    """What is asked for."""

    person: str = "man"
    """what captions call the person"""
    frames: int = 200
    """of the avatar to learn from, each in every style"""
    held_out: int = 40
    """frames to be judged by, from another part of the clip"""
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    samples: int = 16
    """pictures a style that the finished model is judged by"""
    guidance: float = 4.0
    """classifier-free, of these samples"""
    sampling_steps: int = 25
    """of DDIM"""
    seed: int = 0
    """of everything random"""

    def __post_init__(self) -> None:
        if self.person not in PEOPLE:
            raise BadInput(f"--person {self.person}: one of {', '.join(PEOPLE)} is possible")
        for name, value, most in (("frames", self.frames, 5000), ("held-out frames", self.held_out, 1000), ("samples", self.samples, 1000)):
            if not 2 <= value <= most:
                raise BadInput(f"{value} {name}: 2 to {most} are possible")
        if not 0 <= self.seed < 2**31:
            raise BadInput(f"--seed {self.seed}: 0 to 2^31 - 1 is possible")


def training_folder(out: Path) -> Path:
    """Where the making of `out` keeps what it needs to go on."""
    return out.with_name(f"{out.name}.training")


class StyleDiffusionTraining:
    """The making of one model."""

    def __init__(self, avatar_file: Path, avatar: Avatar, encoder: AudioEncoder, out: Path, config: StyleDiffusionConfig) -> None:
        """Raises BadInput where OUT is there already, or where OUT.training was begun with another request."""
        if out.exists():
            raise BadInput(f"--out {out} is there already; name another folder, or remove it")
        self._avatar, self._encoder, self._out, self._config = avatar, encoder, out, config
        self._folder = training_folder(out)
        wanted = {"avatar": file_sha256(avatar_file), "version": __version__, **dataclasses.asdict(config)}
        if not was_begun_with(self._folder, wanted, "pass --restart"):
            self._folder.mkdir(exist_ok=True)
            note_request(self._folder, wanted)

    def run(self, threads: int, note: Note) -> dict[str, Any]:
        """Make the model; returns its report.

        A KeyboardInterrupt or a fault leaves OUT.training as it is: the same request goes on from there.
        """
        import torch

        config, clock = self._config, _Clock(self._folder / "spent.json")
        note = self._also_in_file(note, clock)
        torch.set_num_threads(threads)
        try:
            learn_from, judge_by = make_renders(
                self._avatar,
                self._encoder,
                config.frames,
                config.held_out,
                self._folder / "renders",
                threads,
                config.seed,
                lambda done, total: note(RENDERING, done, total, None),
            )
            pictures = cut(learn_from, config.autoencoder.size_px, config.seed)
            held_out = cut(judge_by, config.autoencoder.size_px, config.seed, windows=0)
            autoencoder = train_autoencoder(
                pictures,
                config.autoencoder,
                config.seed,
                self._folder / "autoencoder.pt",
                lambda done, total, loss: note(AUTOENCODER, done, total, loss),
            )
            latents = self._normal_latents(autoencoder, pictures)
            tokenizer = build_tokenizer(vocabulary(config.person))
            unet, text_encoder = train_denoiser(
                latents,
                Captioner.of(pictures, learn_from, config.person),
                tokenizer,
                config.denoiser,
                config.seed,
                self._folder / "denoiser.pt",
                lambda done, total, loss: note(DENOISER, done, total, loss),
            )
            # Inside the training's folder first: what a kill leaves half-written must not lie where the model is expected.
            finished = self._folder / "model"
            shutil.rmtree(finished, ignore_errors=True)
            write_pipeline(finished, autoencoder, unet, text_encoder, tokenizer)
            report = self._judged(finished, pictures, held_out, note)
        finally:
            clock.write()
        report |= {f"{name}_min": round(seconds / 60.0, 1) for name, seconds in clock.spent_s().items()}
        (finished / REPORT_NAME).write_text(json.dumps(report, indent=1), encoding="utf-8")
        finished.rename(self._out)
        discard(self._folder)
        return report

    def _normal_latents(self, autoencoder: Any, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Means and deviations of all latents, once the autoencoder was given normal ones."""
        import torch

        path = self._folder / "latents.npz"
        if not path.is_file():
            means, deviations = encoded(autoencoder, pictures)
            write_array(path, means=means.numpy(), deviations=deviations.numpy())
        with np.load(path) as kept:
            means, deviations = torch.from_numpy(kept["means"]), torch.from_numpy(kept["deviations"])
        mean, deviation = means.mean((0, 2, 3)), means.std((0, 2, 3))
        with_normal_latents(autoencoder, mean, deviation)
        return (means - mean[:, None, None]) / deviation[:, None, None], deviations / deviation[:, None, None]

    def _also_in_file(self, note: Note, clock: _Clock) -> Note:
        """`note` that writes progress.json too, now and then."""
        path, written_s = self._folder / "progress.json", -PROGRESS_EVERY_S

        def both(stage: str, done: int, total: int, loss: float | None) -> None:
            nonlocal written_s
            note(stage, done, total, loss)
            if time.monotonic() - written_s > PROGRESS_EVERY_S or done == total:
                written_s = time.monotonic()
                state = json.dumps({"stage": stage, "step": done, "steps": total, "loss": loss})
                write_whole(path, lambda temporary: temporary.write_text(state, encoding="utf-8"))
                clock.write()

        return both

    def _judged(self, folder: Path, pictures: Pictures, held_out: Pictures, note: Note) -> dict[str, Any]:
        """Figures of the model as it lies in the folder: what others load is what is judged."""
        config = self._config
        some = np.flatnonzero(pictures.frame[: pictures.n_whole] % max(1, config.frames // JUDGE_FRAMES) == 0)
        judge = StyleJudge.learned(pictures.rgb[some], pictures.style[some], NAMES, PHOTO, config.seed)
        judge.save(folder / JUDGE_NAME)
        pipeline = open_pipeline(folder)
        total = len(STYLES) * config.samples
        styles = np.repeat(np.arange(len(STYLES)), config.samples)
        prompts = [STYLES[k].wordings[0].format(config.person) for k in styles]
        shown = sample(
            pipeline, prompts, config.seed, config.guidance, config.sampling_steps, lambda done: note(SAMPLING, done, total, None)
        )
        rows = np.vstack([np.hstack(list(shown[styles == k][:8])) for k in range(len(STYLES))])
        (folder / "samples.png").write_bytes(encode_picture(rows, "png"))
        nearest, nearest_held_out = judge.nearest(shown), judge.nearest(held_out.rgb)
        psnr = reconstruction_psnr_db(pipeline.vae, held_out)
        return {
            "autoencoder_psnr_db": round(float(psnr.mean()), 2),
            "autoencoder_psnr_db_by_style": {name: round(float(psnr[held_out.style == k].mean()), 2) for k, name in enumerate(NAMES)},
            "style_accuracy_held_out": round(float((nearest_held_out == held_out.style).mean()), 4),
            "style_accuracy_samples": round(float((nearest == styles).mean()), 4),
            "style_accuracy_samples_by_style": {name: round(float((nearest[styles == k] == k).mean()), 3) for k, name in enumerate(NAMES)},
            "style_similarity_samples": {
                name: round(float(judge.similarity(shown[styles == k], name).mean()), 3) for k, name in enumerate(NAMES) if name != PHOTO
            },
            "style_similarity_own": {name: round(float(judge.own[k]), 3) for k, name in enumerate(NAMES) if name != PHOTO},
            "parameters": sum(sum(p.numel() for p in part.parameters()) for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder)),
            "size_mb": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 2),
        }


class _Clock:
    """Time and processor time of all runs of one training, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"wall": 0.0, "cpu": 0.0}
        self._began = {"wall": time.monotonic(), "cpu": time.process_time()}

    def spent_s(self) -> dict[str, float]:
        now = {"wall": time.monotonic(), "cpu": time.process_time()}
        return {name: self._before[name] + now[name] - self._began[name] for name in now}

    def write(self) -> None:
        state = json.dumps(self.spent_s())
        write_whole(self._path, lambda temporary: temporary.write_text(state, encoding="utf-8"))
