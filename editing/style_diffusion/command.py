"""`python -m editing style-diffusion STEP`: train a small text-to-image model of one person in a few styles, and look at what it draws."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editing.progress_bar import until_interrupted
from renderer.command_line import EXIT_INTERRUPTED, OneLineParser
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from editing.progress_bar import ProgressBar

DESCRIPTION = "A small text-to-image latent diffusion model of an avatar's person in a few styles, for score distillation without a hub."


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog="python -m editing style-diffusion", description=DESCRIPTION)
    steps = p.add_subparsers(dest="step", required=True, metavar="STEP", parser_class=OneLineParser)

    train = steps.add_parser("train", help="render, train, judge; writes a folder for diffusers' StableDiffusionPipeline")
    train.add_argument("avatar", nargs="?", default="bundled", help="avatar file or name (default bundled)")
    train.add_argument("--out", type=Path, required=True, help="folder to write; must not be there yet")
    train.add_argument("--person", default="man", help="what captions call the person: man (default), woman or person")
    train.add_argument("--frames", type=int, help="of the avatar to learn from, each in six styles (default 200)")
    train.add_argument("--held-out", type=int, help="frames to be judged by (default 40)")
    train.add_argument("--autoencoder-steps", type=int, metavar="N", help="of the autoencoder (default 900)")
    train.add_argument("--denoiser-steps", type=int, metavar="N", help="of UNet and text encoder (default 1000)")
    train.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    train.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    train.add_argument("--restart", action="store_true", help="forget what an earlier run began")

    sample = steps.add_parser("sample", help="draw pictures by a prompt")
    sample.add_argument("model", type=Path, help="folder made by train, or of another Stable Diffusion pipeline")
    sample.add_argument("--prompt", required=True, help="such as “bronze statue of a man”")
    sample.add_argument("--out", type=Path, required=True, help="picture to write (*.png), all of them in a row")
    sample.add_argument("--count", type=int, default=4, help="pictures (default 4)")
    sample.add_argument("--guidance", type=float, default=4.0, help="classifier-free guidance (default 4; 1 is none)")
    sample.add_argument("--steps", type=int, default=25, help="of the reverse diffusion (default 25)")
    sample.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    sample.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    return p


def main(argv: list[str]) -> int:
    """Run one step."""
    arguments = parser().parse_args(argv)
    if not 1 <= arguments.threads <= 256:
        raise BadInput(f"--threads {arguments.threads}: 1 to 256 are possible")
    if not arguments.out.parent.is_dir():
        raise BadInput(f"--out {arguments.out}: the folder {arguments.out.parent} does not exist")
    steps: dict[str, Callable[[argparse.Namespace], int]] = {"train": _train, "sample": _sample}
    return steps[arguments.step](arguments)


def _train(arguments: argparse.Namespace) -> int:
    from editing.edit.job_folder import discard
    from editing.style_diffusion.model import StyleDiffusionConfig, StyleDiffusionTraining, training_folder
    from renderer.audio.export import load_encoder
    from renderer.avatar_file import load_avatar
    from renderer.library import find_avatar
    from renderer.render import check_encoder

    plain = StyleDiffusionConfig()
    autoencoder, denoiser = plain.autoencoder, plain.denoiser
    if arguments.autoencoder_steps is not None:
        autoencoder = dataclasses.replace(
            autoencoder, learning=dataclasses.replace(autoencoder.learning, steps=arguments.autoencoder_steps)
        )
    if arguments.denoiser_steps is not None:
        denoiser = dataclasses.replace(denoiser, learning=dataclasses.replace(denoiser.learning, steps=arguments.denoiser_steps))
    config = StyleDiffusionConfig(
        person=arguments.person,
        frames=plain.frames if arguments.frames is None else arguments.frames,
        held_out=plain.held_out if arguments.held_out is None else arguments.held_out,
        autoencoder=autoencoder,
        denoiser=denoiser,
        seed=arguments.seed,
    )
    path = find_avatar(arguments.avatar)
    avatar = load_avatar(path)
    encoder = load_encoder(avatar.encoder.id)
    check_encoder(avatar, encoder)
    if arguments.restart:
        discard(training_folder(arguments.out))
    training = StyleDiffusionTraining(path, avatar, encoder, arguments.out, config)

    def train(bar: ProgressBar) -> dict[str, Any]:
        def note(stage: str, done: int, total: int, loss: float | None) -> None:
            bar({"round": 1, "rounds": 1, "stage": stage, "step": done, "steps": total, "loss": loss})

        return training.run(arguments.threads, note)

    report = until_interrupted(train)
    if report is None:
        return EXIT_INTERRUPTED
    print(json.dumps(report, indent=2))
    print(f"wrote {arguments.out}")
    return 0


def _sample(arguments: argparse.Namespace) -> int:
    if arguments.out.suffix != ".png":
        raise BadInput(f"--out {arguments.out}: the name must end in .png")
    if not 1 <= arguments.count <= 64:
        raise BadInput(f"--count {arguments.count}: 1 to 64 are possible")
    if not 1 <= arguments.steps <= 1000:
        raise BadInput(f"--steps {arguments.steps}: 1 to 1000 are possible")
    if not 1.0 <= arguments.guidance <= 100.0:
        raise BadInput(f"--guidance {arguments.guidance:g}: 1 to 100 is possible")
    if not 0 <= arguments.seed < 2**31:
        raise BadInput(f"--seed {arguments.seed}: 0 to 2^31 - 1 is possible")
    import numpy as np
    import torch

    from editing.style_diffusion.pipeline_folder import open_pipeline, sample
    from editing.whole_files import write_whole
    from renderer.images import encode_picture

    torch.set_num_threads(arguments.threads)
    pipeline = open_pipeline(arguments.model)
    shown = sample(pipeline, [arguments.prompt] * arguments.count, arguments.seed, arguments.guidance, arguments.steps)
    write_whole(arguments.out, lambda path: path.write_bytes(encode_picture(np.hstack(list(shown)), "png")))
    print(f"wrote {arguments.out}")
    return 0
