"""`python -m editing edit`: an avatar and an instruction become another avatar."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editing.edit.presets import PRESETS, preset_named
from editing.progress_bar import until_interrupted
from renderer.command_line import EXIT_INTERRUPTED, OneLineParser
from renderer.errors import BadInput

if TYPE_CHECKING:
    from editing.edit.refiner_training import RefinerTrainingConfig
    from renderer.refiner.config import RefinerConfig

NEEDED = ("torch", "scipy", "cv2", "mediapipe")
INSTRUCT, VT_SDS = "instruct", "vt-sds"


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
    p.add_argument("--method", default=INSTRUCT, help="instruct (default), or vt-sds: score distillation, with options of its own")
    p.add_argument("--instruction", help="what to change, in English")
    p.add_argument("--out", type=Path, help="avatar file to write (*.avatar)")
    p.add_argument("--list-instructions", action="store_true", help="print as JSON what can be asked for, and end")
    p.add_argument("--editor", default="builtin", help="builtin, ip2p, or an InstructPix2Pix hub name or folder")
    p.add_argument("--strength", type=float, default=1.0, help="of the edit, above 0, to 1 (default 1)")
    p.add_argument("--strategy", default="progressive", metavar="NAME", help="progressive, one-time or iterative")
    p.add_argument("--preset", default="standard", metavar="NAME", help="draft (a first look), standard (default), thorough or paper")
    p.add_argument("--rounds", type=int, help="dataset updates K (standard: 3)")
    p.add_argument("--frames", type=int, help="frames to edit N (standard: 200)")
    p.add_argument("--text-guidance", type=float, nargs=2, default=(3.0, 6.0), metavar=("LOW", "HIGH"), help="s_T (default 3 6)")
    p.add_argument("--diffusion-steps", type=int, nargs=2, default=(10, 20), metavar=("LOW", "HIGH"), help="t (default 10 20)")
    p.add_argument("--image-guidance", type=float, default=1.5, help="s_I (default 1.5)")
    p.add_argument("--inconsistency", type=float, default=0.0, help="builtin: frames differ on purpose, 0 to 2 (default 0)")
    for name, what in (("head", "random rays"), ("torso", "the torso"), ("patch", "whole patches"), ("lips", "lip patches")):
        p.add_argument(f"--{name}-steps", type=int, metavar="N", help=f"on {what}, all rounds together (default: the preset's)")
    p.add_argument("--no-refiner", action="store_true", help="no refinement network: the field alone")
    p.add_argument("--vgg", type=Path, metavar="FILE", help="torchvision's VGG-16, for the refiner's losses (default: fixed filters)")
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
    method = _method(argv)
    if method == VT_SDS:
        from editing.score_distillation.command import main as distil

        return distil(argv)
    arguments = parser().parse_args(argv)
    if arguments.list_instructions:
        raise BadInput("--list-instructions stands alone")
    for name in ("avatar", "instruction", "out"):
        if getattr(arguments, name) is None:
            raise BadInput(f"{name if name == 'avatar' else '--' + name} is missing; see python -m editing edit --help")
    preset = preset_named(arguments.preset)
    rounds = preset.rounds if arguments.rounds is None else arguments.rounds
    n_frames = preset.frames if arguments.frames is None else arguments.frames
    if arguments.out.suffix != ".avatar":
        raise BadInput(f"--out {arguments.out}: the name must end in .avatar")
    if not arguments.out.parent.is_dir():
        raise BadInput(f"--out {arguments.out}: the folder {arguments.out.parent} does not exist")
    if not 1 <= arguments.threads <= 256:
        raise BadInput(f"--threads {arguments.threads}: 1 to 256 are possible")

    from editing.edit.job import EditJob, EditRequest
    from editing.edit.job_folder import discard, job_folder
    from editing.edit.optimise import Learning, OptimisationSteps
    from editing.edit.schedule import EditSchedule
    from editing.image_editors import BUILTIN, open_image_editor
    from renderer.audio.export import load_encoder
    from renderer.avatar_file import load_avatar
    from renderer.library import find_avatar
    from renderer.render import check_encoder

    guidance, diffusion = tuple(arguments.text_guidance), tuple(arguments.diffusion_steps)
    schedule = EditSchedule(arguments.strategy, rounds, n_frames, guidance, diffusion)
    given = {"head": arguments.head_steps, "torso": arguments.torso_steps, "patches": arguments.patch_steps, "lips": arguments.lips_steps}
    of_preset = OptimisationSteps.of_preset(preset, n_frames)
    steps = dataclasses.replace(of_preset, **{name: value for name, value in given.items() if value is not None})
    learning = Learning.as_in_the_paper() if preset.as_paper else Learning()
    if arguments.no_refiner:
        learning = dataclasses.replace(learning, refiner=None)
    request = EditRequest(
        arguments.instruction, schedule, steps, arguments.image_guidance, arguments.strength, arguments.seed, arguments.threads, learning
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
        discard(job_folder(arguments.out))
    job = EditJob(path, avatar, arguments.out, request, editor, encoder, arguments.vgg)
    if avatar.refiner is not None:
        print(_refiner_fate(avatar.refiner.config, learning.refiner), flush=True)
    sha256 = until_interrupted(job.run)
    if sha256 is None:
        return EXIT_INTERRUPTED
    print(f"wrote {arguments.out} (SHA-256 {sha256[:12]}…)")
    return 0


def _method(argv: list[str]) -> str:
    """Each method has options of its own, so this one is looked for first."""
    p = OneLineParser(prog="python -m editing edit", add_help=False, allow_abbrev=False)
    p.add_argument("--method", default=INSTRUCT)
    method: str = p.parse_known_args(argv)[0].method
    if method not in (INSTRUCT, VT_SDS):
        raise BadInput(f"--method {method}: {INSTRUCT} or {VT_SDS} is possible")
    return method


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
        "presets": {name: {"rounds": preset.rounds, "frames": preset.frames} for name, preset in PRESETS.items()},
    }


def _refiner_fate(found: RefinerConfig, wanted: RefinerTrainingConfig | None) -> str:
    """What becomes of the refiner that the avatar has already."""
    shown = "the avatar has a refinement network: its frames are edited with their detail"
    if wanted is None:
        return f"{shown}; the edited avatar has none"
    if wanted.refiner == found:
        return f"{shown}, and the edited avatar's network begins with its weights"
    return f"{shown}; it has other sizes than this preset's, so the edited avatar's network begins anew"
