"""`python -m tests.end_to_end.measure_edit_tables FOLDER --speech WAV`: the paper's tables 3 and 4 with the inconsistent built-in editor.

Every row is the mean over some instructions of what the edited avatar does to lips and to time, against the bundled avatar saying the same
(`editing.evaluate.edited`): lips in place of the paper's sync score, the warping error E_w as in the paper. Edits and figures that are in
FOLDER already are not made again. Refiners work on the whole picture. Options of `editing edit` may
follow after `--`, in place of SMALL.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from editing.evaluate.edited import OriginalClip, compare
from editing.evaluate.judges import Judges
from editing.evaluate.shared_drive import SharedDrive
from renderer.audio.export import load_encoder
from renderer.audio.sound_file import read_sound_file
from renderer.avatar_file import load_avatar
from renderer.library import find_avatar
from tests.end_to_end.measure_edits import run_edit, split_options

INSTRUCTIONS = {"bronze": "make him look like a bronze statue", "van_gogh": "as a Van Gogh painting"}
EDITS: dict[str, tuple[str, ...]] = {
    "progressive": (),
    "one-time": ("--strategy", "one-time"),
    "one-time, no refiner": ("--strategy", "one-time", "--no-refiner"),
    "progressive, no refiner": ("--no-refiner",),
    "iterative": ("--strategy", "iterative"),
}
SMALL = ("--frames", "60", "--head-steps", "900", "--torso-steps", "300", "--patch-steps", "180", "--lips-steps", "180")
PAPER_OMEGA, LOW_OMEGA = 0.8, 0.4
TABLES: dict[str, dict[str, tuple[str, float]]] = {
    "table 3": {
        "iterative dataset update": ("iterative", PAPER_OMEGA),
        "one time dataset update": ("one-time", PAPER_OMEGA),
        "progressive dataset update": ("progressive", PAPER_OMEGA),
    },
    "table 4": {
        "base": ("one-time, no refiner", PAPER_OMEGA),
        "base + PDU": ("progressive, no refiner", PAPER_OMEGA),
        "base + PDU + refiner, omega 0.4": ("progressive", LOW_OMEGA),
        "base + PDU + refiner, omega 0.8": ("progressive", PAPER_OMEGA),
    },
}
COLUMNS = ("lip_lmd_px", "lip_opening_correlation_lag0", "mouth_motion_correlation", "warping_error", "warping_error_by_original_flow")


def main(argv: list[str]) -> int:
    """Edit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where avatars and figures go")
    parser.add_argument("--speech", type=Path, required=True, help="sound that all avatars say")
    parser.add_argument("--frames", type=int, default=150, help="frames that are compared (default 150)")
    parser.add_argument("--avatar", default="bundled", help="avatar to edit (default bundled)")
    parser.add_argument("--inconsistency", type=float, default=1.0, help="of the editor, 0 to 2 (default 1)")
    here, options = split_options(argv)
    arguments = parser.parse_args(here)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    measured = arguments.folder / "figures.json"
    figures: dict[str, dict[str, Any]] = json.loads(measured.read_text()) if measured.exists() else {}
    original: OriginalClip | None = None
    for edit, manner in EDITS.items():
        for name, instruction in INSTRUCTIONS.items():
            path = arguments.folder / f"{edit.replace(', ', ' ').replace(' ', '_')}_{name}.avatar"
            if not path.exists():
                common = ("--inconsistency", f"{arguments.inconsistency:g}", *(options or SMALL))
                run_edit(arguments.folder, path, arguments.avatar, instruction, [*common, *manner])
            for omega in sorted({omega for rows in TABLES.values() for made, omega in rows.values() if made == edit}):
                key = f"{edit} | {name} | {omega:g}"
                if key in figures:
                    continue
                original = original or original_clip(arguments.avatar, arguments.speech, arguments.frames)
                original.drive = dataclasses.replace(original.drive, refine_weight=omega)
                figures[key] = compare(original, load_avatar(path))
                measured.write_text(json.dumps(figures, indent=1))
    print(json.dumps(tables(figures), indent=1))
    return 0


def original_clip(avatar: str, speech: Path, n_frames: int) -> OriginalClip:
    """The unedited avatar saying the beginning of a sound."""
    found = load_avatar(find_avatar(avatar))
    drive = SharedDrive.of_speech(found, load_encoder(found.encoder.id), read_sound_file(speech)).cut(range(n_frames))
    # Without the whole sound there is no measuring of the mouth in silence, which costs more than all the rest.
    return OriginalClip(found, dataclasses.replace(drive, speech=None, refine_scope="picture"), Judges.open())


def tables(figures: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Rows of both tables, each figure the mean over the instructions; None where one of them could not be measured."""

    def mean(edit: str, omega: float, column: str) -> float | None:
        values = [figures[f"{edit} | {name} | {omega:g}"][column] for name in INSTRUCTIONS]
        return None if None in values else round(sum(values) / len(values), 4)

    return {
        table: {row: {column: mean(edit, omega, column) for column in COLUMNS} for row, (edit, omega) in rows.items()}
        for table, rows in TABLES.items()
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
