"""`python -m editing edit --method vt-sds`: an avatar and a text-to-image model become another avatar (AvatarStudio)."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from editing.progress_bar import until_interrupted
from editing.score_distillation.config import (
    ABLATIONS,
    AppearanceConfig,
    DistillationConfig,
    FineTuningConfig,
    GuidanceConfig,
    KeyframeConfig,
    steps_named,
)
from renderer.command_line import EXIT_INTERRUPTED, OneLineParser
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """The method's options."""
    prog = "python -m editing edit"
    keyframes, guidance, appearance = KeyframeConfig(), GuidanceConfig(), AppearanceConfig()
    p = OneLineParser(
        prog=prog,
        usage=f'{prog} AVATAR --method vt-sds --prompt "…" --model HUB_NAME_OR_FOLDER --out B.avatar [options]',
        description="Edit an avatar by score distillation from a text-to-image model (AvatarStudio).",
    )
    p.add_argument("avatar", nargs="?", help="avatar file or name")
    p.add_argument("--method", default="vt-sds", help="this one: vt-sds")
    p.add_argument("--prompt", help="what it shall be a picture of, such as “bronze statue of a man”")
    p.add_argument("--instruction", help="in its place: what to change; the prompt is derived from it")
    p.add_argument("--class-noun", metavar="NOUN", help="what the person is: man, woman, … (default: as in the prompt, else person)")
    p.add_argument("--model", help="a Stable Diffusion pipeline of diffusers: hub name or folder")
    p.add_argument("--out", type=Path, help="avatar file to write (*.avatar)")
    p.add_argument("--preset", default="standard", metavar="NAME", help="draft, standard (default), thorough or paper: steps")
    p.add_argument("--views", type=int, nargs=2, default=(keyframes.yaws, keyframes.pitches), metavar=("N", "M"), help="yaws, pitches")
    p.add_argument("--time-stamps", type=int, default=keyframes.time_stamps, metavar="N", help="further frames of the clip (default 6)")
    p.add_argument("--fine-tuning-steps", type=int, metavar="N", help="of the diffusion model (default: the preset's)")
    p.add_argument("--fine-tuning-rate", type=float, default=FineTuningConfig().rate, metavar="X", help="Adam's (default 5e-5)")
    p.add_argument("--token-rate", type=float, default=FineTuningConfig().token_rate, metavar="X", help="of the labels (default 1e-3)")
    p.add_argument("--weight-limit", type=float, default=1.0, metavar="X", help="of w_t in equation 6 (default 1: the same for all t)")
    p.add_argument("--prior-pictures", type=int, metavar="N", help="for prior preservation (default: the preset's; 0: none)")
    p.add_argument("--steps", type=int, metavar="N", help="of the avatar (default: the preset's)")
    p.add_argument("--network-rate", type=float, default=appearance.network_rate, metavar="X", help="Adam's (default 1e-3)")
    p.add_argument("--grid-rate", type=float, default=appearance.grid_rate, metavar="X", help="Adam's (default 1e-3)")
    p.add_argument("--finest-cells", type=int, metavar="N", help="hold finer levels of the grids (default: the model's pixels)")
    p.add_argument("--last-rate", type=float, default=appearance.last_rate, metavar="X", help="share of both that is left in the end (1)")
    p.add_argument("--entropy-weight", type=float, default=appearance.entropy_weight, metavar="X", help="equation 9 (default 0.01)")
    p.add_argument("--guidance", type=float, default=guidance.guidance, metavar="W", help="w of equation 10 (default 10)")
    p.add_argument("--pretrained-share", type=float, default=guidance.pretrained_share, metavar="V", help="v where t > K (default 0.6)")
    p.add_argument("--personal-above", type=int, default=guidance.personal_above, metavar="K", help="K, of 1000 (default 600)")
    p.add_argument("--most-time", type=float, nargs=2, default=guidance.most_time, metavar="T", help="largest t, first and last (0.98 0.5)")
    p.add_argument("--least-time", type=float, default=guidance.least_time, metavar="T", help="smallest t (default 0.02)")
    p.add_argument("--draws", type=int, default=guidance.draws, metavar="N", help="noises a render (default 1)")
    p.add_argument("--way", default=guidance.way, metavar="NAME", help="from latent to render: encoder (default, the paper's) or decoder")
    p.add_argument("--hold-geometry", action="store_true", help="only colours change")
    p.add_argument("--growth", type=int, default=0, metavar="CELLS", help="by how much of 1/128 of the head's box it may grow (default 0)")
    p.add_argument("--hold-torso", action="store_true", help="the shoulders stay as they are")
    p.add_argument("--ablation", nargs="+", default=[], metavar="NAME", help=", ".join(ABLATIONS))
    p.add_argument("--render-size", type=int, metavar="PX", help="height of the renders (default: 256, or twice the model's if less)")
    p.add_argument("--model-size", type=int, metavar="PX", help="to which renders are brought (default: the model's own)")
    p.add_argument("--device", help="cpu, cuda or cuda:N (default: a GPU where there is one)")
    p.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    p.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    p.add_argument("--restart", action="store_true", help="forget what an earlier run began")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parser().parse_args(argv)
    for name in ("avatar", "model", "out"):
        if getattr(arguments, name) is None:
            raise BadInput(f"{name if name == 'avatar' else '--' + name} is missing; see python -m editing edit --method vt-sds --help")
    if arguments.out.suffix != ".avatar":
        raise BadInput(f"--out {arguments.out}: the name must end in .avatar")
    if not arguments.out.parent.is_dir():
        raise BadInput(f"--out {arguments.out}: the folder {arguments.out.parent} does not exist")
    if not 1 <= arguments.threads <= 256:
        raise BadInput(f"--threads {arguments.threads}: 1 to 256 are possible")
    prompt = prompt_of(arguments.prompt, arguments.instruction)
    config = config_of(arguments)

    from editing.edit.job_folder import discard, job_folder
    from editing.score_distillation.job import DistillationJob, DistillationRequest
    from editing.score_distillation.latent_diffusion import LatentDiffusion
    from editing.train.device import choose_device, describe_device
    from renderer.audio.export import load_encoder
    from renderer.avatar_file import load_avatar
    from renderer.library import find_avatar
    from renderer.render import check_encoder

    noun = arguments.class_noun or class_noun_of(prompt)
    request = DistillationRequest(prompt, noun, config, arguments.seed, arguments.threads)
    device = choose_device(arguments.device, "gpu")
    path = find_avatar(arguments.avatar)
    avatar = load_avatar(path)
    encoder = load_encoder(avatar.encoder.id)
    check_encoder(avatar, encoder)
    model = LatentDiffusion.load(arguments.model, device, config.model_px)
    if arguments.restart:
        discard(job_folder(arguments.out))
    job = DistillationJob(path, avatar, arguments.out, request, model, encoder)
    print(f"“{prompt}”, {noun}; {describe_device(device, arguments.device, 'gpu')}", flush=True)
    if avatar.refiner is not None:
        print("the avatar has a refinement network, made for its old look; the edited avatar has none", flush=True)
    sha256 = until_interrupted(job.run)
    if sha256 is None:
        return EXIT_INTERRUPTED
    print(f"wrote {arguments.out} (SHA-256 {sha256[:12]}…)")
    return 0


def config_of(arguments: argparse.Namespace) -> DistillationConfig:
    """What the options say. Raises BadInput."""
    steps = steps_named(arguments.preset)

    def given(value: int | None, of_preset: int) -> int:
        return of_preset if value is None else value

    guidance = GuidanceConfig(
        guidance=arguments.guidance,
        pretrained_share=arguments.pretrained_share,
        personal_above=arguments.personal_above,
        least_time=arguments.least_time,
        most_time=tuple(arguments.most_time),
        draws=arguments.draws,
        way=arguments.way,
    )
    fine_tuning = FineTuningConfig(
        steps=given(arguments.fine_tuning_steps, steps.fine_tuning),
        rate=arguments.fine_tuning_rate,
        token_rate=arguments.token_rate,
        weight_limit=arguments.weight_limit,
        prior_pictures=given(arguments.prior_pictures, steps.prior_pictures),
    )
    appearance = AppearanceConfig(
        steps=given(arguments.steps, steps.appearance),
        network_rate=arguments.network_rate,
        grid_rate=arguments.grid_rate,
        finest_cells=arguments.finest_cells,
        last_rate=arguments.last_rate,
        entropy_weight=arguments.entropy_weight,
        geometry=not arguments.hold_geometry,
        torso=not arguments.hold_torso,
        growth_cells=arguments.growth,
    )
    yaws, pitches = arguments.views
    keyframes = KeyframeConfig(yaws, pitches, arguments.time_stamps)
    config = DistillationConfig(keyframes, fine_tuning, guidance, appearance)
    config = dataclasses.replace(config, render_px=arguments.render_size, model_px=arguments.model_size)
    for ablation in arguments.ablation:
        config = config.without(ablation)
    return config


def prompt_of(prompt: str | None, instruction: str | None) -> str:
    """The prompt, or what a picture shows once an instruction was followed. Raises BadInput where neither can be had."""
    from editing.evaluate.captions import derived_captions

    if prompt is not None and instruction is not None:
        raise BadInput("--prompt and --instruction: one of the two is wanted")
    if prompt is not None:
        return prompt
    if instruction is None:
        raise BadInput("--prompt is missing; see python -m editing edit --method vt-sds --help")
    captions = derived_captions(instruction)
    if captions is None:
        raise BadInput(f"--instruction {instruction!r}: no prompt can be derived from it; say with --prompt what the picture shall show")
    return captions.after


def class_noun_of(prompt: str) -> str:
    """Man or woman if the prompt speaks of one, else person."""
    from editing.evaluate.captions import WHOM

    words = set(re.findall(r"[a-z']+", prompt.lower()))
    return next((noun for noun, names in WHOM if words & set(names)), "person")
