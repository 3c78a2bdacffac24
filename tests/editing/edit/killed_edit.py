"""`python -m tests.editing.edit.killed_edit SOURCE FOLDER KILLS [MODEL]`: one edit undisturbed, and one killed KILLS times; prints JSON.

With the folder of a Stable Diffusion pipeline it is an edit by score distillation, else one by instruction.
Every other time it kills itself at a file that it writes, before that has its name or after; else it is killed from outside at a random
time. The files to be killed at are taken from all parts of the undisturbed edit, however fast each part is on this machine. Each run is a
fork of this process, made before torch has started any thread, so that only one import of everything is waited for.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from editing.edit.job import EditJob, EditRequest
from editing.edit.optimise import OptimisationSteps
from editing.edit.schedule import EditSchedule
from editing.image_editors.guide import Guide
from renderer.audio.encoder import AudioEncoder
from renderer.avatar_file import file_sha256, load_avatar
from tests.editing.edit.conftest import Redder, completed_without_landmarks

REQUEST = EditRequest("red", EditSchedule(rounds=2, frames=4), OptimisationSteps(6, 4, 6, 6), threads=1)
NAME = "red.avatar"
ALLOWED = {NAME, "red.preview.png", "red.edit", ".red.edit.removed"}


@dataclass(frozen=True)
class Death:
    """Where a run kills itself."""

    file: str
    """The first time that this one is written."""
    named: bool
    """After the file has its name, else before that."""


def watch_files(written: Path, death: Death | None) -> None:
    """From now on: the name of every file is added to `written`, and `death` happens."""
    rename = Path.replace

    def replace(self: Path, target: Path) -> Path:
        name = Path(target).name
        if death and name == death.file and not death.named:
            os.kill(os.getpid(), signal.SIGKILL)
        result = rename(self, target)
        with written.open("a") as names:
            names.write(f"{name}\n")
        if death and name == death.file:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = replace  # type: ignore[method-assign, assignment]


def deaths(written: list[str], n: int, chance: random.Random) -> list[Death]:
    """`n` of them, one in each part of a whole edit that wrote these files, in random order."""
    names = list(dict.fromkeys(written))
    assert len(names) >= n, names
    ends = [len(names) * k // n for k in range(n + 1)]
    chosen = [Death(chance.choice(names[ends[k] : ends[k + 1]]), bool(k % 2)) for k in range(n)]
    return chance.sample(chosen, n)


def run_edit(source: Path, out: Path, model: Path | None) -> None:
    """Start or go on with the edit."""
    avatar, encoder = load_avatar(source), AudioEncoder.bundled()
    if model is None:
        Guide.completed = completed_without_landmarks  # type: ignore[method-assign]
        EditJob(source, avatar, out, REQUEST, Redder(), encoder).run(lambda _: None)
        return
    import torch

    from editing.score_distillation import job
    from editing.score_distillation.latent_diffusion import LatentDiffusion
    from tests.editing.score_distillation.conftest import BRIEF

    job.SAVE_EVERY_S = 0.0  # every step is a place to be killed at
    request = job.DistillationRequest("red man", "man", BRIEF, threads=1)
    pipeline = LatentDiffusion.load(str(model), torch.device("cpu"))
    job.DistillationJob(source, avatar, out, request, pipeline, encoder).run(lambda _: None)


def begin(source: Path, folder: Path, model: Path | None, death: Death | None = None) -> int:
    """Start or go on with the edit in a process of its own; returns its id."""
    child = os.fork()
    if child == 0:
        watch_files(folder.parent / f"{folder.name}.written", death)
        run_edit(source, folder / NAME, model)
        os._exit(0)
    return child


def oddities(folder: Path, whole: str) -> list[str]:
    """What should not be there."""
    found = [path.name for path in folder.iterdir() if path.name not in ALLOWED]
    if (folder / NAME).exists() and file_sha256(folder / NAME) != whole:
        found.append(f"another {NAME}")
    return found


def main(source: Path, parent: Path, kills: int, model: Path | None = None) -> None:
    if model is not None:  # imported once, before the forks
        from diffusers import StableDiffusionPipeline  # noqa: F401

        import editing.score_distillation.job  # noqa: F401
    undisturbed, disturbed = parent / "undisturbed", parent / "disturbed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
    began = time.monotonic()
    _, status = os.waitpid(begin(source, undisturbed, model), 0)
    assert status == 0, status
    whole_s, whole = time.monotonic() - began, file_sha256(undisturbed / NAME)
    chance = random.Random(7)
    own = deaths((parent / "undisturbed.written").read_text().split(), kills // 2, chance)
    seen: list[str] = []
    places: list[str] = []
    while len(places) < kills:
        death = own[len(places) // 2] if len(places) % 2 else None
        child = begin(source, disturbed, model, death)
        if death is None:
            time.sleep(chance.uniform(0.1, 0.9) * whole_s)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            places.append(f"{'after' if death.named else 'before'} {death.file}" if death else "from outside")
        seen += oddities(disturbed, whole)
        if not os.WIFSIGNALED(status):
            assert status == 0, status
            (disturbed / NAME).unlink()  # it came to its end between two kills: once more from the beginning
    _, status = os.waitpid(begin(source, disturbed, model), 0)
    assert status == 0, status
    seen += oddities(disturbed, whole)
    print(json.dumps({"places": places, "seen": seen, "whole": whole, "resumed": file_sha256(disturbed / NAME)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *(Path(model) for model in sys.argv[4:]))
