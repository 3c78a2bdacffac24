"""A stand-in for `python -m editing edit` that keeps its promises at the outside (files, exit codes, Ctrl-C) and edits nothing.

What it does is in the instruction: "fail …" ends with that line, "crash" with a traceback, "slow" takes until it is stopped; a run that
was stopped goes on from its last step. Where the shelf holds a file HOLD, it stays at its last step until that is gone. It copies the
avatar under its new name, with the instruction in its lineage.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from pathlib import Path

STEPS, STEP_S = 4, 0.05
HOLD = ".hold"
POSSIBLE = {
    "missing": [],
    "editors": ["builtin", "ip2p"],
    "strategies": ["progressive", "one-time"],
    "presets": {"draft": {"rounds": 1, "frames": 4}, "standard": {"rounds": 2, "frames": 8}},
    "instructions": [
        {"name": "bronze statue", "example": "make him look like a bronze statue", "changes": "the whole person", "colours": []}
    ],
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("avatar", nargs="?", type=Path)
    parser.add_argument("--list-instructions", action="store_true")
    parser.add_argument("--out", type=Path)
    for name in ("instruction", "editor", "preset", "strategy", "rounds", "frames", "seed", "strength", "threads"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    if options.list_instructions:
        print(json.dumps(POSSIBLE))
        return 0
    words = options.instruction
    if words.startswith("fail"):
        print(f"a progress bar\rnoise\n{words}: one line for the user", file=sys.stderr)
        return 2
    if words == "crash":
        raise RuntimeError("a fault of the program")
    # The real one ends at the end of a step.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    folder = options.out.with_name(f"{options.out.stem}.edit")
    folder.mkdir(exist_ok=True)
    progress = folder / "progress.json"
    done = json.loads(progress.read_text())["step"] if progress.is_file() else 0
    steps = 10_000 if words == "slow" and done < 2 * STEPS else done + STEPS
    for step in range(done + 1, steps + 1):
        write_picture(folder / "edited_1.png", step)
        share = min(0.99, step / (4 * STEPS))
        state = {"round": 1, "rounds": 1, "stage": "head", "step": step, "steps": steps, "share": share, "eta_s": 1.0}
        replace(progress, json.dumps(state | {"previews": [], "preview": "edited_1.png"}).encode())
        time.sleep(STEP_S)
    while options.out.with_name(HOLD).exists():
        time.sleep(STEP_S)
    copy(options)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return 0


def copy(options: argparse.Namespace) -> None:
    from renderer.avatar_file import load_avatar, save_avatar

    avatar = load_avatar(options.avatar)
    lineage = dataclasses.replace(avatar.lineage, instruction=options.instruction, editor=options.editor)
    save_avatar(avatar.replace(name=options.out.stem, lineage=lineage), options.out)


def write_picture(path: Path, step: int) -> None:
    import numpy as np

    from renderer.images import encode_picture

    replace(path, encode_picture(np.full((32, 48, 3), 40 + 3 * step % 200, np.uint8), "png"))


def replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(data)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
