"""`python -m editing capture`: a video of one person becomes a dataset to train from."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from renderer.command_line import EXIT_INTERRUPTED, OneLineParser

_PROG = "python -m editing capture"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog=_PROG, description=__doc__)
    p.add_argument("video", type=Path, help="any video with sound of one person who faces the camera and speaks; or see --emotions")
    p.add_argument("--out", type=Path, required=True, help="folder to write; OUT.partial until it is complete")
    p.add_argument("--size", type=int, default=512, help="width and height of the frames, px (default 512)")
    p.add_argument("--seconds", type=float, help="take the first seconds only (default: all)")
    p.add_argument(
        "--face", choices=("only", "largest"), default="only", help="with two people: an error, or the larger one (default only)"
    )
    p.add_argument("--parser", choices=("grabcut", "segformer"), default="grabcut", help="how head, torso and background are told apart")
    p.add_argument("--parser-model", default="jonathandinu/face-parsing", help="SegFormer's hub name or folder (default %(default)s)")
    p.add_argument(
        "--emotions",
        action="store_true",
        help="VIDEO is a folder: CATEGORY/level_1…3/CLIP.mp4, as MEAD's; one dataset with labels",
    )
    p.add_argument("--keep-offset", action="store_true", help="leave the sound where it is, even if it is off the lips")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    from editing.capture.capture import CaptureConfig, capture

    config = CaptureConfig(
        size_px=options.size,
        parser=options.parser,
        parser_model=options.parser_model,
        face=options.face,
        correct_offset=not options.keep_offset,
        seconds=options.seconds,
        emotions=options.emotions,
    )
    try:
        table = capture(options.video, options.out, config, options.jobs)
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    for verdict in table:
        print(f"{'ok' if verdict.good else '! '}  {verdict.name}: {verdict.value}{'' if verdict.good else ' – ' + verdict.advice}")
    print(f"wrote {options.out}; look at {options.out / 'report.html'}")
    return 0
