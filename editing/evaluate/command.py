"""`python -m editing evaluate`: an avatar against a dataset that it has not seen, or against the avatar that it is an edit of."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.command_line import OneLineParser
from renderer.errors import BadInput

if TYPE_CHECKING:
    from editing.evaluate.judges import JudgeFiles

DESCRIPTION = "Compare an avatar with a dataset: pictures and lips. With --speech: its lips with another sound. \
With --original: an edited avatar with what it was made from."
EDIT_FRAMES = 250
"""Frames of an edit that are compared unless --frames says how many."""
BACKGROUNDS = ("original", "own")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    prog = "python -m editing evaluate"
    usage = f"{prog} AVATAR --dataset DATASET [options]\n       {prog} EDITED --original AVATAR [options]"
    p = OneLineParser(prog=prog, usage=usage, description=DESCRIPTION)
    p.add_argument("avatar", help="avatar file or name")
    p.add_argument("--dataset", type=Path, help="dataset folder (a held-out one); needed unless --original is given")
    p.add_argument("--speech", "--audio", type=Path, metavar="WAV", help="this sound in place of the dataset's, with its head motion")
    p.add_argument("--frames", metavar="A:B", help="frames A to B - 1 of the dataset or the speech (all; an edit: the first 250)")
    p.add_argument("--every", type=int, default=1, metavar="N", help="look at every n-th of them only (default 1: all)")
    p.add_argument("--align-poses", action="store_true", help="first find the poses at which these frames fit best (the avatar is held)")
    p.add_argument("--backend", default="auto", help="auto, cpu or torch (default auto)")
    p.add_argument("--threads", type=int, default=1, help="render threads (default 1)")
    p.add_argument("--lpips-backbone", type=Path, metavar="FILE", help="torchvision's AlexNet or VGG-16 (or LPIPS_BACKBONE)")
    p.add_argument("--lpips-linear", type=Path, metavar="FILE", help="alex.pth or vgg.pth of lpips (or LPIPS_LINEAR)")
    p.add_argument("--syncnet", type=Path, metavar="FILE", help="syncnet_v2.model (or SYNCNET_MODEL)")
    p.add_argument("--openface", type=Path, metavar="FILE", help="OpenFace's FeatureExtraction (or OPENFACE_FEATURE_EXTRACTION)")
    p.add_argument("--arcface", type=Path, metavar="FILE", help="ArcFace as ONNX, w600k_r50.onnx (or ARCFACE_MODEL)")
    p.add_argument("--pictures", type=Path, metavar="PNG", help="write a sheet: real, rendered, difference, depth, mouths")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    edit = p.add_argument_group("an edited avatar")
    edit.add_argument("--original", metavar="AVATAR", help="what it was made from; without --speech and --dataset, in its training clip")
    edit.add_argument("--background", default="original", help="original: both before the original's; own: each before its own")
    edit.add_argument("--clip", metavar="MODEL", help="CLIP's folder or hub name (or CLIP_MODEL)")
    edit.add_argument("--instruction", help="to derive captions from (default: what the avatar was edited by)")
    edit.add_argument("--caption-before", metavar="TEXT", help="what the original shows, for CLIP")
    edit.add_argument("--caption-after", metavar="TEXT", help="what the edited avatar shows")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    arguments = parser().parse_args(argv)
    if arguments.pictures is not None and not arguments.pictures.parent.is_dir():
        raise BadInput(f"--pictures {arguments.pictures}: its folder does not exist")
    from editing.evaluate.table import table

    result = _against_dataset(arguments) if arguments.original is None else _against_original(arguments)
    print(json.dumps(result) if arguments.json else table(result))
    return 0


def _against_dataset(arguments: argparse.Namespace) -> dict[str, Any]:
    """The self-driven or the cross-driven table."""
    only = ("clip", "instruction", "caption_before", "caption_after")
    for option in only:
        if getattr(arguments, option) is not None:
            raise BadInput(f"--{option.replace('_', '-')}: belongs to the comparison of an edited avatar, which needs --original")
    if arguments.background != "original":
        raise BadInput("--background: belongs to the comparison of an edited avatar, which needs --original")
    if arguments.dataset is None:
        raise BadInput("--dataset is missing: a dataset folder, or --original for an edited avatar, is wanted")
    if arguments.align_poses and arguments.speech is not None:
        raise BadInput("--align-poses: with --speech there are no pictures to align to")
    import contextlib

    from editing.dataset import Dataset
    from editing.evaluate.cross_driven import cross_driven
    from editing.evaluate.driving import Drive
    from editing.evaluate.judges import Judges
    from editing.evaluate.pose_alignment import aligned
    from editing.evaluate.self_driven import self_driven
    from renderer.audio.export import load_encoder
    from renderer.audio.sound_file import read_sound_file
    from renderer.library import open_avatar
    from renderer.render import check_encoder

    avatar = open_avatar(arguments.avatar)
    dataset = Dataset.open(arguments.dataset)
    encoder = load_encoder(avatar.encoder.id)
    check_encoder(avatar, encoder)
    speech = None if arguments.speech is None else read_sound_file(arguments.speech)
    with contextlib.closing(Judges.open(_files(arguments))) as judges:
        drive = Drive.prepare(avatar, dataset, encoder, speech, arguments.backend, arguments.threads)
        frames = chosen_frames(arguments.frames or ":", arguments.every, drive.n_frames)
        if arguments.align_poses:
            drive = aligned(drive, frames)
        judge = self_driven if speech is None else cross_driven
        return judge(drive, frames, judges, arguments.pictures)


def _against_original(arguments: argparse.Namespace) -> dict[str, Any]:
    """The table of an edit."""
    if (arguments.caption_before is None) != (arguments.caption_after is None):
        raise BadInput("--caption-before and --caption-after: both are wanted, or none")
    if arguments.background not in BACKGROUNDS:
        raise BadInput(f"--background {arguments.background}: original or own is possible")
    if arguments.every != 1:
        raise BadInput(f"--every {arguments.every}: with --original frames follow each other; --frames shortens the clip")
    if arguments.align_poses:
        raise BadInput("--align-poses: with --original both avatars have the same poses")
    import contextlib
    import dataclasses

    from editing.dataset import Dataset
    from editing.evaluate.captions import Captions
    from editing.evaluate.edited import OriginalClip, check_pair, compare
    from editing.evaluate.judges import Judges
    from editing.evaluate.shared_drive import SharedDrive
    from renderer.audio.export import load_encoder
    from renderer.audio.sound_file import read_sound_file
    from renderer.library import open_avatar
    from renderer.render import check_encoder

    original, edited = open_avatar(arguments.original), open_avatar(arguments.avatar)
    check_pair(original, edited)
    encoder = load_encoder(original.encoder.id)
    check_encoder(original, encoder)
    speech = None if arguments.speech is None else read_sound_file(arguments.speech)
    if arguments.dataset is not None:
        drive = SharedDrive.of_dataset(original, encoder, Dataset.open(arguments.dataset), speech)
    elif speech is not None:
        drive = SharedDrive.of_speech(original, encoder, speech)
    else:
        drive = SharedDrive.of_training_clip(original, encoder)
    frames = chosen_frames(arguments.frames or f":{min(EDIT_FRAMES, drive.n_frames)}", 1, drive.n_frames)
    drive = dataclasses.replace(drive.cut(frames), backend=arguments.backend, threads=arguments.threads)
    if arguments.background == "own":
        drive = dataclasses.replace(drive, background=None)
    captions = None if arguments.caption_before is None else Captions(arguments.caption_before, arguments.caption_after)
    with contextlib.closing(Judges.open(_files(arguments))) as judges:
        clip = OriginalClip(original, drive, judges)
        result = compare(clip, edited, captions, arguments.instruction, arguments.pictures)
    return result | {"background": arguments.background}


def _files(arguments: argparse.Namespace) -> JudgeFiles:
    from editing.evaluate.judges import JudgeFiles

    return JudgeFiles(
        lpips_backbone=arguments.lpips_backbone,
        lpips_linear=arguments.lpips_linear,
        syncnet=arguments.syncnet,
        openface=arguments.openface,
        clip=arguments.clip,
        arcface=arguments.arcface,
    )


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
