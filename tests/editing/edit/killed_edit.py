"""`python -m tests.editing.edit.killed_edit SOURCE FOLDER KILLS`: one edit undisturbed, and one killed KILLS times; prints JSON.

Each run is a fork of this process, made before torch has started any thread, so that only one import of everything is waited for.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from editing.edit.job import EditJob, EditRequest, job_folder
from editing.edit.optimise import OptimisationSteps
from editing.edit.schedule import EditSchedule
from editing.image_editors.guide import Guide
from renderer.audio.encoder import AudioEncoder
from renderer.avatar_file import file_sha256, load_avatar
from tests.editing.edit.conftest import Redder, completed_without_landmarks

REQUEST = EditRequest("red", EditSchedule(rounds=2, frames=4), OptimisationSteps(6, 4, 6, 6), threads=1)
NAME = "red.avatar"
ALLOWED = {NAME, "red.preview.png", "red.edit", ".red.edit.removed"}


def begin(source: Path, folder: Path) -> int:
    """Start or go on with the edit in a process of its own; returns its id."""
    child = os.fork()
    if child == 0:
        Guide.completed = completed_without_landmarks  # type: ignore[method-assign]
        job = EditJob(source, load_avatar(source), folder / NAME, REQUEST, Redder(), AudioEncoder.bundled())
        job.run(lambda _: None)
        os._exit(0)
    return child


def oddities(folder: Path, whole: str) -> list[str]:
    """What should not be there."""
    found = [path.name for path in folder.iterdir() if path.name not in ALLOWED]
    if (folder / NAME).exists() and file_sha256(folder / NAME) != whole:
        found.append(f"another {NAME}")
    return found


def main(source: Path, parent: Path, kills: int) -> None:
    undisturbed, disturbed = parent / "undisturbed", parent / "disturbed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
    began = time.monotonic()
    _, status = os.waitpid(begin(source, undisturbed), 0)
    assert status == 0, status
    whole_s, whole = time.monotonic() - began, file_sha256(undisturbed / NAME)
    chance = random.Random(7)
    seen: list[str] = []
    stages: list[str] = []
    done = 0
    while done < kills:
        child = begin(source, disturbed)
        time.sleep(chance.uniform(0.1, 0.9) * whole_s)
        ended, _ = os.waitpid(child, os.WNOHANG)
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done += 1
            progress = job_folder(disturbed / NAME) / "progress.json"
            state = json.loads(progress.read_text()) if progress.exists() else {}
            stages.append(f"{state.get('round')} {state.get('stage')}")
        seen += oddities(disturbed, whole)
        if ended and done < kills:
            (disturbed / NAME).unlink()  # it came to its end between two kills: once more from the beginning
    _, status = os.waitpid(begin(source, disturbed), 0)
    assert status == 0, status
    seen += oddities(disturbed, whole)
    print(json.dumps({"kills": done, "seen": seen, "stages": stages, "whole": whole, "resumed": file_sha256(disturbed / NAME)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
