"""`python -m editing synthesize`: the synthetic presenter speaks; out comes a dataset with complete ground truth."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from renderer.command_line import OneLineParser
from renderer.errors import BadInput

_PROG = "python -m editing synthesize"
_DEFAULT_VOICES = "en-us+m3,en-us+f3,en-us+m7,en-us+f4"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog=_PROG, description=__doc__)
    p.add_argument("--out", type=Path, required=True, help="folder to write; OUT.partial until it is complete")
    p.add_argument("--seconds", type=float, default=60.0, help="length of the take, s (default 60)")
    p.add_argument("--size", type=int, default=256, help="width and height, px (default 256)")
    p.add_argument("--supersample", type=int, default=2, help="rays a pixel along each axis (default 2)")
    p.add_argument("--seed", type=int, default=0, help="same seed, options and CPU kind: same bytes (default 0)")
    p.add_argument("--voices", default=_DEFAULT_VOICES, help="espeak-ng voices, comma-separated (default %(default)s)")
    p.add_argument("--sentences", choices=("train", "heldout"), default="train", help="which set (default train)")
    p.add_argument(
        "--emotion", default="neutral:0", metavar="NAME:STRENGTH", help="held through the take, strength 0...1; or all: 15 labels in turn"
    )
    p.add_argument("--expressive", action="store_true", help="gaze and brows move too: to watch, not to train on")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def _emotion(text: str) -> tuple[str, float]:
    name, _, strength = text.partition(":")
    try:
        return name, float(strength) if strength else 1.0
    except ValueError as error:
        raise BadInput(f"emotion {text!r} is not NAME:STRENGTH, e.g. happy:0.6") from error


def main(argv: list[str]) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    from editing.synthesize.take import TakeConfig, frames_done, synthesize

    emotion, strength = _emotion(options.emotion)
    config = TakeConfig(
        seconds=options.seconds,
        size_px=options.size,
        supersample=options.supersample,
        seed=options.seed,
        voices=tuple(voice.strip() for voice in options.voices.split(",") if voice.strip()),
        sentences=options.sentences,
        emotion=emotion,
        emotion_strength=strength,
        lively=options.expressive,
    )
    try:
        synthesize(options.out, config, options.jobs, show_progress=not options.quiet)
    except KeyboardInterrupt:
        done, total = frames_done(options.out)
        print(f"stopped after {done} of {total} frames; run the same command again to go on", file=sys.stderr)
        return 130
    return 0
