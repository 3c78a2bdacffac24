"""`python -m tests.editing.edit.killed_edit SOURCE OUT N`: a small edit that kills itself at its N-th file (0: never).

Before the file gets its name where N is odd, after that where it is even.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from editing.edit.job import EditJob, EditRequest
from editing.edit.optimise import OptimisationSteps
from editing.edit.schedule import EditSchedule
from editing.image_editors.guide import Guide
from renderer.audio.encoder import AudioEncoder
from renderer.avatar_file import load_avatar
from tests.editing.edit.conftest import Redder, completed_by_halves

REQUEST = EditRequest("red", EditSchedule(rounds=2, frames=4), OptimisationSteps(20, 4, 20), threads=1)


def main(source: Path, out: Path, kill_at: int) -> None:
    Guide.completed = completed_by_halves  # type: ignore[method-assign]
    rename, count = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == kill_at and kill_at % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        result = rename(self, target)
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = replace  # type: ignore[method-assign, assignment]
    EditJob(source, load_avatar(source), out, REQUEST, Redder(), AudioEncoder.bundled()).run(lambda state: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
