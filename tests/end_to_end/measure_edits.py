"""`python -m tests.end_to_end.measure_edits FOLDER`: whole edits of the bundled avatar, their time, and one sheet of pictures.

Each edit is `python -m editing edit` as people run it, in a process of its own. What was stopped goes on when the same command is given
again; times of all its runs are added up. FOLDER gets the avatars, `times.json` and `edits.jpg`: rows are instructions; columns the
original, the field after rounds 1, 2 and 3, and the face in the end with omega 0, 0.4 and 0.8, twice as large. Options of
`editing edit`, such as `--preset draft`, may follow after `--`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np

from renderer.images import encode_picture, quantise, resize_picture
from renderer.library import open_avatar
from renderer.refiner.window import refine_window

INSTRUCTIONS = {
    "bronze": "make him look like a bronze statue",
    "sketch": "turn it into a pencil sketch",
    "van_gogh": "as a Van Gogh painting",
    "older": "make him look 80 years old",
    "zombie": "turn him into a zombie",
}
CELL_PX = 192


def main(argv: list[str]) -> int:
    """Edit whatever is not edited yet, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where avatars, times and pictures go")
    parser.add_argument("--avatar", default="bundled", help="avatar to edit (default bundled)")
    parser.add_argument("--only", nargs="+", choices=INSTRUCTIONS, default=list(INSTRUCTIONS), help="some of the edits")
    here, options = split_options(argv)
    arguments = parser.parse_args(here)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        if not (arguments.folder / f"{name}.avatar").exists():
            run_edit(arguments.folder, arguments.folder / f"{name}.avatar", arguments.avatar, INSTRUCTIONS[name], options)
    draw(arguments.folder, [name for name in INSTRUCTIONS if (arguments.folder / f"{name}.avatar").exists()], arguments.avatar)
    print((arguments.folder / "times.json").read_text())
    return 0


def split_options(argv: list[str]) -> tuple[list[str], list[str]]:
    """What is for the program, and what is for `editing edit`: everything after `--`."""
    end = argv.index("--") if "--" in argv else len(argv)
    return argv[:end], argv[end + 1 :]


def run_edit(folder: Path, out: Path, avatar: str, instruction: str, options: list[str]) -> None:
    """One edit, from where it stands; its time is noted in the folder's `times.json`, also if it is stopped."""
    times = folder / "times.json"
    began, spent = time.monotonic(), _cpu_s()
    try:
        command = [sys.executable, "-m", "editing", "edit", avatar, "--instruction", instruction, "--out", str(out), *options]
        subprocess.run(command, check=True)
    finally:
        known = json.loads(times.read_text()) if times.exists() else {}
        before = known.get(out.stem, {"minutes": 0.0, "cpu_minutes": 0.0})
        gone = {"minutes": (time.monotonic() - began) / 60, "cpu_minutes": (_cpu_s() - spent) / 60}
        known[out.stem] = {key: round(before[key] + value, 2) for key, value in gone.items()}
        times.write_text(json.dumps(known, indent=1))


def _cpu_s() -> float:
    """User time of the processes that have ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def draw(folder: Path, names: list[str], avatar: str) -> None:
    """The sheet, from the previews that the edits leave behind."""
    shown = open_avatar(avatar)
    window = refine_window("face", shown.field_config, shown.camera, shown.pose_track[len(shown.pose_track) // 2])
    assert window is not None, "the face is in the picture"
    side = shown.camera.height // 2
    # The window reaches to below the chin: eyes and mouth are above its middle.
    top = max(0, min(shown.camera.height - side, window.y + len(window.rows) // 2 - side * 5 // 8))
    left = max(0, min(shown.camera.width - side, window.x + len(window.columns) // 2 - side // 2))
    rows = []
    for name in names:
        with av.open(str(folder / f"{name}.preview.png")) as file:
            preview = next(file.decode(video=0)).to_ndarray(format="rgb24")
        cells = np.split(preview, preview.shape[1] // shown.camera.width, axis=1)
        faces = [cell[top : top + side, left : left + side] for cell in (cells[-3], *cells[-2:])]
        rows.append(np.hstack([quantise(resize_picture(cell, CELL_PX, CELL_PX)) for cell in (*cells[:-2], *faces)]))
    (folder / "edits.jpg").write_bytes(encode_picture(np.vstack(rows), "mjpeg"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
