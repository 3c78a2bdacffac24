"""`python -m editing evaluate`: an avatar against a dataset that it has not seen, frame by frame."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from renderer.command_line import OneLineParser
from renderer.errors import BadInput

DESCRIPTION = "Compare an avatar with a dataset: pictures and lips. With --speech: its lips with another sound."


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog="python -m editing evaluate", description=DESCRIPTION)
    p.add_argument("avatar", help="avatar file or name")
    p.add_argument("--dataset", type=Path, required=True, help="dataset folder (a held-out one)")
    p.add_argument("--speech", type=Path, metavar="WAV", help="cross-driven: this sound in place of the dataset's, with its head motion")
    p.add_argument("--frames", default=":", metavar="A:B", help="frames A to B - 1 of the dataset or the speech (default all)")
    p.add_argument("--every", type=int, default=1, metavar="N", help="look at every n-th of them only (default 1: all)")
    p.add_argument("--align-poses", action="store_true", help="first find the poses at which these frames fit best (the avatar is held)")
    p.add_argument("--backend", default="auto", help="auto, cpu or torch (default auto)")
    p.add_argument("--threads", type=int, default=1, help="render threads (default 1)")
    p.add_argument("--lpips-backbone", type=Path, metavar="FILE", help="torchvision's AlexNet or VGG-16 (or LPIPS_BACKBONE)")
    p.add_argument("--lpips-linear", type=Path, metavar="FILE", help="alex.pth or vgg.pth of lpips (or LPIPS_LINEAR)")
    p.add_argument("--syncnet", type=Path, metavar="FILE", help="syncnet_v2.model (or SYNCNET_MODEL)")
    p.add_argument("--openface", type=Path, metavar="FILE", help="OpenFace's FeatureExtraction (or OPENFACE_FEATURE_EXTRACTION)")
    p.add_argument("--pictures", type=Path, metavar="PNG", help="write a sheet: real, rendered, difference, depth, mouths")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    arguments = parser().parse_args(argv)
    import contextlib

    from editing.dataset import Dataset
    from editing.evaluate.cross_driven import cross_driven
    from editing.evaluate.driving import Drive
    from editing.evaluate.judges import JudgeFiles, Judges
    from editing.evaluate.pose_alignment import aligned
    from editing.evaluate.self_driven import self_driven
    from editing.evaluate.table import table
    from renderer.audio.export import load_encoder
    from renderer.audio.sound_file import read_sound_file
    from renderer.library import open_avatar
    from renderer.render import check_encoder

    if arguments.align_poses and arguments.speech is not None:
        raise BadInput("--align-poses: with --speech there are no pictures to align to")
    if arguments.pictures is not None and not arguments.pictures.parent.is_dir():
        raise BadInput(f"--pictures {arguments.pictures}: its folder does not exist")
    avatar = open_avatar(arguments.avatar)
    dataset = Dataset.open(arguments.dataset)
    encoder = load_encoder(avatar.encoder.id)
    check_encoder(avatar, encoder)
    speech = None if arguments.speech is None else read_sound_file(arguments.speech)
    files = JudgeFiles(arguments.lpips_backbone, arguments.lpips_linear, arguments.syncnet, arguments.openface)
    with contextlib.closing(Judges.open(files)) as judges:
        drive = Drive.prepare(avatar, dataset, encoder, speech, arguments.backend, arguments.threads)
        frames = chosen_frames(arguments.frames, arguments.every, drive.n_frames)
        if arguments.align_poses:
            drive = aligned(drive, frames)
        judge = self_driven if speech is None else cross_driven
        result = judge(drive, frames, judges, arguments.pictures)
    print(json.dumps(result) if arguments.json else table(result))
    return 0


def chosen_frames(span: str, every: int, n_frames: int) -> range:
    """Every n-th frame of A:B; an end that is left out is the clip's."""
    if every < 1:
        raise BadInput(f"--every {every}: 1 or more is possible")
    first, colon, last = span.partition(":")
    try:
        start, stop = int(first or 0), int(last or n_frames)
    except ValueError as error:
        raise BadInput(f"--frames {span!r}: A:B with whole numbers was expected") from error
    if not colon or not 0 <= start < stop <= n_frames:
        raise BadInput(f"--frames {span}: A:B with 0 <= A < B <= {n_frames} is possible")
    return range(start, stop, every)
