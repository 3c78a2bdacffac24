"""`python -m editing edit`: an avatar and an instruction become another avatar."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from renderer.command_line import OneLineParser
from renderer.errors import BadInput

PRESETS: dict[str, dict[str, int]] = {
    "draft": {"rounds": 1, "frames": 40, "head_steps": 500, "lips_steps": 120, "torso_steps": 250},
    "standard": {"rounds": 3, "frames": 200},
    "thorough": {"rounds": 5, "frames": 300, "head_steps": 6000, "lips_steps": 1800, "torso_steps": 3000},
}
"""What --preset stands for; an option that is given wins, what is not named has its own default."""
NEEDED = ("torch", "scipy", "cv2", "mediapipe")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    prog = "python -m editing edit"
    p = OneLineParser(
        prog=prog,
        usage=f'{prog} AVATAR --instruction "…" --out B.avatar [options]',
        description="Edit an avatar by an instruction (Instruct-NeuralTalker).",
        epilog=_known(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("avatar", nargs="?", help="avatar file or name")
    p.add_argument("--instruction", help="what to change, in English")
    p.add_argument("--out", type=Path, help="avatar file to write (*.avatar)")
    p.add_argument("--list-instructions", action="store_true", help="print as JSON what can be asked for, and end")
    p.add_argument("--editor", default="builtin", help="builtin, ip2p, or an InstructPix2Pix hub name or folder")
    p.add_argument("--strength", type=float, default=1.0, help="of the edit, above 0, to 1 (default 1)")
    p.add_argument("--strategy", default="progressive", metavar="NAME", help="progressive, one-time or iterative")
    p.add_argument("--preset", default="standard", metavar="NAME", help="draft (a minute or two), standard or thorough")
    p.add_argument("--rounds", type=int, help="dataset updates K (default 3)")
    p.add_argument("--frames", type=int, help="frames to edit N (default 200)")
    p.add_argument("--text-guidance", type=float, nargs=2, default=(3.0, 6.0), metavar=("LOW", "HIGH"), help="s_T (default 3 6)")
    p.add_argument("--diffusion-steps", type=int, nargs=2, default=(10, 20), metavar=("LOW", "HIGH"), help="t (default 10 20)")
    p.add_argument("--image-guidance", type=float, default=1.5, help="s_I (default 1.5)")
    p.add_argument("--inconsistency", type=float, default=0.0, help="builtin: frames differ on purpose, 0 to 2 (default 0)")
    p.add_argument("--head-steps", type=int, help="of all rounds together (default 3000)")
    p.add_argument("--lips-steps", type=int, help="(default 900)")
    p.add_argument("--torso-steps", type=int, help="(default 1500)")
    p.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    p.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    p.add_argument("--restart", action="store_true", help="forget what an earlier run began")
    return p


def _known() -> str:
    from editing.image_editors import known_instructions

    return "builtin understands: " + "; ".join(look.name for look in known_instructions())


def main(argv: list[str]) -> int:
    """Run the command."""
    if argv == ["--list-instructions"]:
        # Before the parser, whose help names what only an install with the editing extra knows.
        print(json.dumps(possibilities()))
        return 0
    arguments = parser().parse_args(argv)
    if arguments.list_instructions:
        raise BadInput("--list-instructions stands alone")
    for name in ("avatar", "instruction", "out"):
        if getattr(arguments, name) is None:
            raise BadInput(f"{name if name == 'avatar' else '--' + name} is missing; see python -m editing edit --help")
    if arguments.preset not in PRESETS:
        raise BadInput(f"--preset {arguments.preset}: one of {', '.join(PRESETS)} is possible")
    for name, value in {**PRESETS["standard"], **PRESETS[arguments.preset]}.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.out.suffix != ".avatar":
        raise BadInput(f"--out {arguments.out}: the name must end in .avatar")
    if not arguments.out.parent.is_dir():
        raise BadInput(f"--out {arguments.out}: the folder {arguments.out.parent} does not exist")
    if not 1 <= arguments.threads <= 256:
        raise BadInput(f"--threads {arguments.threads}: 1 to 256 are possible")

    from editing.edit.job import EditJob, EditRequest
    from editing.edit.optimise import OptimisationSteps
    from editing.edit.schedule import EditSchedule
    from editing.image_editors import BUILTIN, open_image_editor
    from renderer.audio.export import load_encoder
    from renderer.avatar_file import load_avatar
    from renderer.library import find_avatar
    from renderer.render import check_encoder

    guidance, diffusion = tuple(arguments.text_guidance), tuple(arguments.diffusion_steps)
    schedule = EditSchedule(arguments.strategy, arguments.rounds, arguments.frames, guidance, diffusion)
    given = {name: getattr(arguments, f"{name}_steps") for name in ("head", "lips", "torso")}
    steps = OptimisationSteps(**{name: value for name, value in given.items() if value is not None})
    request = EditRequest(
        arguments.instruction, schedule, steps, arguments.image_guidance, arguments.strength, arguments.seed, arguments.threads
    )
    for round_ in schedule.plan(schedule.frames):
        request.settings(round_)
    if arguments.inconsistency and arguments.editor != BUILTIN:
        raise BadInput(f"--inconsistency {arguments.inconsistency:g}: only the built-in editor can be made inconsistent on purpose")
    options = {"inconsistency": arguments.inconsistency} if arguments.editor == BUILTIN else {}
    editor = open_image_editor(arguments.editor, **options)
    path = find_avatar(arguments.avatar)
    avatar = load_avatar(path)
    encoder = load_encoder(avatar.encoder.id)
    check_encoder(avatar, encoder)
    if arguments.restart:
        shutil.rmtree(arguments.out.with_name(f"{arguments.out.stem}.edit"), ignore_errors=True)
    job = EditJob(path, avatar, arguments.out, request, editor, encoder)
    bar = _Bar()
    try:
        sha256 = job.run(bar)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", flush=True)
        return 130
    finally:
        bar.close()
    print(f"wrote {arguments.out} (SHA-256 {sha256[:12]}…)")
    return 0


def possibilities() -> dict[str, Any]:
    """What can be asked for, and what is missing here, for a page or another program.

    `missing`: one line a thing without which no edit runs here; empty where it can.
    """
    from editing.edit.schedule import STRATEGIES
    from editing.landmarks import MODEL_VARIABLE

    packages = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    missing = [f"{', '.join(packages)} not installed: pip install 'visavis[editing]'"] if packages else []
    if not Path(os.environ.get(MODEL_VARIABLE, "")).is_file():
        missing.append(f"{MODEL_VARIABLE} must name MediaPipe's face_landmarker.task")
    known: list[dict[str, Any]] = []
    if not packages:
        from editing.image_editors import known_instructions

        known = [dataclasses.asdict(look) for look in known_instructions()]
    return {
        "missing": missing,
        "instructions": known,
        "editors": ["builtin", "ip2p"],
        "strategies": list(STRATEGIES),
        "presets": PRESETS,
    }


class _Bar:
    """A progress bar for each stage of each round."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, state: dict[str, Any]) -> None:
        from tqdm import tqdm

        stage = f"round {state['round']}/{state['rounds']}, {state['stage']}"
        if stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(total=state["steps"], desc=stage, file=sys.stderr, disable=not sys.stderr.isatty())
        self._bar.update(state["step"] - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
