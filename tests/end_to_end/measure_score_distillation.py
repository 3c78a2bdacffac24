"""`python -m tests.end_to_end.measure_score_distillation FOLDER --model MODEL`: edits by score distillation, and what they are worth.

MODEL is what `python -m editing style-diffusion train` writes: a small text-to-image model of the bundled avatar's person in a few styles,
with a judge of styles beside it. Two edits as they should be and the four ablations of AvatarStudio's section 4.6 are run, each through
`editing.score_distillation.job`; what was stopped goes on when the same command is given again. Runs that fine-tune on the same labels
share the fine-tuned network. FOLDER gets the avatars, `NAME.json` for each run and `distillation.jpg`: one row a run, the original first.

identifiers          share of samples (two noises for each keyframe's label) that are nearest to their own keyframe
style                similarity of keyframes to the style during the optimisation (`editing.evaluate.style_similarity`), and in the end
                     of frames of the clip at the avatar's own size
sharpness            mean step from pixel to pixel in these frames' heads, against the original's
face_px              mean distance of the 478 landmarks, edited against original, in pixels of a picture 256 high
lip_…, warping_…     of `python -m editing evaluate EDITED --original bundled`
cpu_minutes          of the optimisation, of the fine-tuning where it was not shared, and of looking at both

Options of `python -m editing edit --method vt-sds` may follow after `--`; they hold for every run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from editing.edit.originals import Moments
from editing.evaluate.style_similarity import StyleJudge
from editing.landmarks import LandmarkDetector
from editing.score_distillation.command import config_of, parser
from editing.score_distillation.identifiers import label
from editing.score_distillation.job import DistillationJob, DistillationRequest
from editing.score_distillation.latent_diffusion import LatentDiffusion
from renderer.audio.export import load_encoder
from renderer.avatar_file import load_avatar
from renderer.images import encode_picture, quantise, resize_picture
from renderer.library import find_avatar
from tests.end_to_end.measure_edits import split_options

if TYPE_CHECKING:
    from editing.score_distillation.appearance import Appearance
    from renderer.avatar import Avatar

JUDGE_NAME = "style_judge.safetensors"
AVATAR, CLASS_NOUN = "bundled", "man"
LOOKS, LOOKED_AT = 25, 6
"""How often in an optimisation the style is looked at, and on how many keyframes."""
SAMPLING_STEPS, NOISES = 25, 2
CLIP_FRAMES = 24
"""Looked at in the end, spread over the clip."""
EVALUATED = "0:50"
CELL_PX = 144


@dataclass(frozen=True)
class Run:
    """One edit."""

    style: str
    """The judge's name of it."""
    prompt: str
    ablations: tuple[str, ...] = ()


RUNS = {
    "bronze": Run("bronze statue", "bronze statue of a man"),
    "zombie": Run("zombie", "photo of a zombie man"),
    "single-token": Run("bronze statue", "bronze statue of a man", ("single-token",)),
    "no-time-stamps": Run("bronze statue", "bronze statue of a man", ("no-time-stamps",)),
    "no-pre-trained": Run("bronze statue", "bronze statue of a man", ("no-pre-trained",)),
    "no-annealing": Run("bronze statue", "bronze statue of a man", ("no-annealing",)),
}


def main(argv: list[str]) -> int:
    """Run whatever is not there yet, then draw."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("folder", type=Path, help="where avatars, figures and pictures go")
    p.add_argument("--model", required=True, help="folder of the text-to-image model")
    p.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), help="some of the runs")
    p.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    here, options = split_options(argv)
    arguments = p.parse_args(here)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        if not (arguments.folder / f"{name}.json").exists():
            measured = Measured(arguments.folder, name, arguments.model, options, arguments.threads).figures()
            (arguments.folder / f"{name}.json").write_text(json.dumps(measured, indent=1))
        print(name, json.dumps(json.loads((arguments.folder / f"{name}.json").read_text())["figures"]), flush=True)
    draw(arguments.folder, [name for name in RUNS if (arguments.folder / f"{name}.avatar").exists()])
    return 0


class Measured:
    """One run and its figures."""

    def __init__(self, folder: Path, name: str, model: str, options: list[str], threads: int) -> None:
        self.folder, self.name, self.run, self.threads = folder, name, RUNS[name], threads
        self.judge = StyleJudge.load(Path(model) / JUDGE_NAME)
        given = parser().parse_args([*options, *(["--ablation", *self.run.ablations] if self.run.ablations else [])])
        self.config = config_of(given)
        self.model = LatentDiffusion.load(model, torch.device("cpu"), self.config.model_px)
        self.path = find_avatar(AVATAR)
        self.original, self.encoder = load_avatar(self.path), load_encoder("bundled")
        self.out = folder / f"{name}.avatar"
        self.curve: list[tuple[int, float]] = []
        self.found: dict[str, Any] = {}

    def figures(self) -> dict[str, Any]:
        """Of the whole run."""
        if not self.out.exists():
            request = DistillationRequest(self.run.prompt, CLASS_NOUN, self.config, 0, self.threads)
            job = DistillationJob(self.path, self.original, self.out, request, self.model, self.encoder)
            shared = self._shared()
            for file in shared.glob("*") if shared.is_dir() else ():
                (job.folder.path / file.name).write_bytes(file.read_bytes())
            began = time.process_time()
            job.run(_note, lambda step, appearance: self._watch(job, step, appearance))
            self.found["cpu_minutes"] = round((time.process_time() - began) / 60, 2)
        edited = load_avatar(self.out)
        self.found |= self._of_clip(edited) | self._evaluated()
        return {"run": self.run.__dict__, "figures": self.found, "style_curve": self.curve}

    def _shared(self) -> Path:
        """What the fine-tuning of other runs with the same labels and keyframes left."""
        labels = [name for name in self.run.ablations if name in ("single-token", "no-time-stamps")]
        return self.folder / "_".join(["fine_tuned", *labels])

    def _watch(self, job: DistillationJob, step: int, appearance: Appearance) -> None:
        n_steps = self.config.appearance.steps
        if step == 0 and not self._shared().is_dir():
            self._shared().mkdir()
            for name in ("prior.npy", "fine_tuning.state", "edited_1.png"):
                if (job.folder.path / name).is_file():
                    (self._shared() / name).write_bytes((job.folder.path / name).read_bytes())
        if step == 0:
            self.found |= self._identifiers(job, appearance)
        if step % max(1, n_steps // LOOKS) == 0 or step == n_steps:
            chosen = np.unique(np.linspace(0, appearance.n_keyframes - 1, LOOKED_AT).astype(int))
            with torch.no_grad():
                shown = np.stack([_picture(appearance.show(int(k)).picture) for k in chosen])
            self.curve.append((step, round(float(self.judge.similarity(shown, self.run.style).mean()), 4)))

    def _identifiers(self, job: DistillationJob, appearance: Appearance) -> dict[str, Any]:
        """Does each identifier give back its own keyframe?"""
        from safetensors.torch import load_file

        from editing.score_distillation.fine_tuning import FineTuner

        with torch.no_grad():
            latents = torch.cat([self.model.encode(appearance.show(k).picture) for k in range(appearance.n_keyframes)])
        truth = self.model.decode(latents)
        identifiers = job.identifiers(len(latents))
        given = self.model.words([label(word, CLASS_NOUN) for word in identifiers])
        tuner = FineTuner(self.model, latents, given, latents[:0], given[:1], self.config.fine_tuning, 0)
        tuner.load_state(load_file(job.folder.path / "fine_tuning.state"))
        network, words = tuner.network.requires_grad_(False).eval(), tuner.labels
        own, error = [], []
        for noise_seed in range(NOISES):
            noise = self.model.noise((noise_seed, 99), 1, latents).expand_as(latents)
            made = self.model.decode(self.model.sample(network, noise, words, SAMPLING_STEPS))
            apart = ((made[:, None] - truth) ** 2).mean((2, 3, 4))
            own += (apart.argmin(1) == torch.arange(len(latents))).tolist()
            error += apart.diagonal().tolist()
        psnr = -10.0 * float(np.log10(np.mean(error)))
        return {"identifiers_own": round(float(np.mean(own)), 4), "identifiers_psnr_db": round(psnr, 2), "keyframes": len(latents)}

    def _of_clip(self, edited: Avatar) -> dict[str, Any]:
        """Style, sharpness and landmarks of frames of the clip at the avatar's size."""
        moments = Moments.of(self.original, self.encoder, CLIP_FRAMES)
        frames = range(len(moments.indices))
        before, after = (moments.render(avatar, frames, self.threads) for avatar in (self.original, edited))
        head = moments.opacity(self.original.replace(torso_mask=np.zeros_like(self.original.torso_mask)), frames, self.threads) > 0.5
        similarity, probable = self.judge.similarity(after, self.run.style), self.judge.nearest(after)
        sharp = [np.abs(np.diff(p.astype(float).mean(-1), axis=2))[head[:, :, 1:]].mean() for p in (before, after)]
        found = {
            "style": round(float(similarity.mean()), 4),
            "style_of_original": round(float(self.judge.similarity(before, self.run.style).mean()), 4),
            "style_nearest": round(float((probable == self.judge.names.index(self.run.style)).mean()), 4),
            "sharpness": round(float(sharp[1] / sharp[0]), 3),
        }
        detector = LandmarkDetector()
        pairs = [(detector.detect(a), detector.detect(b)) for a, b in zip(before, after, strict=True)]
        detector.close()
        apart = [float(np.linalg.norm(a - b, axis=1).mean()) for a, b in pairs if a is not None and b is not None]
        return found | {"face_px": round(float(np.mean(apart)) * 256 / edited.camera.height, 3) if apart else None}

    def _evaluated(self) -> dict[str, Any]:
        command = [sys.executable, "-m", "editing", "evaluate", str(self.out), "--original", AVATAR, "--frames", EVALUATED, "--json"]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        wanted = ("lip_lmd_px", "lip_shape_px", "lip_opening_correlation", "faces_found_in_edited", "mouth_motion_correlation")
        return {key: told[key] for key in (*wanted, "mouth_motion_gain", "warping_error_by_original_flow", "warping_error_of_original")}


def draw(folder: Path, names: list[str]) -> None:
    """The sheet: the original, then one row a run; views and time stamps alike from frames of the clip and turned ones."""
    from editing.score_distillation.config import KeyframeConfig
    from editing.score_distillation.keyframes import choose_keyframes
    from renderer.backends.base import RenderOptions, open_backend

    original, encoder = load_avatar(find_avatar(AVATAR)), load_encoder("bundled")
    keyframes = choose_keyframes(original, encoder, KeyframeConfig(3, 1, 3))
    rows = []
    for avatar in (original, *(load_avatar(folder / f"{name}.avatar") for name in names)):
        backend = open_backend(avatar, RenderOptions(avatar.camera.height))
        shown = backend.render([keyframe.condition for keyframe in keyframes])
        backend.close()
        rows.append(np.hstack([quantise(resize_picture(picture, CELL_PX, CELL_PX)) for picture in shown]))
    (folder / "distillation.jpg").write_bytes(encode_picture(np.vstack(rows), "mjpeg"))


def _picture(rendered: torch.Tensor) -> np.ndarray:
    return quantise(rendered[0].permute(1, 2, 0).cpu().numpy())


def _note(state: dict[str, Any]) -> None:
    if state["step"] == state["steps"] or state["step"] % 100 == 0:
        print(state["stage"], state["step"], state["steps"], state.get("loss", state.get("error", "")), flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
