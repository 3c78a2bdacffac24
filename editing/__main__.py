"""`python -m editing COMMAND …`: the offline commands."""

from __future__ import annotations

import sys

from renderer.command_line import dispatch

COMMANDS = {
    "synthesize": ("editing.synthesize.command", "the synthetic presenter: video, sound and complete ground truth"),
    "capture": ("editing.capture.command", "a video of one person becomes a dataset"),
    "merge": ("editing.merge", "datasets of one subject become one"),
    "audio-encoder": ("editing.audio_encoder.command", "make, train, export and judge the bundled audio encoder"),
    "train": ("editing.train.command", "train an avatar from a dataset"),
    "edit": ("editing.edit.command", "change an avatar by an instruction"),
    "style-diffusion": ("editing.style_diffusion.command", "train a small text-to-image model of a person in a few styles"),
    "look-ahead": ("editing.evaluate.look_ahead", "what the lips gain from hearing further ahead"),
    "emotions": ("editing.evaluate.emotion_report", "whether an avatar shows the emotions that it is told to"),
    "evaluate": ("editing.evaluate.command", "compare an avatar with a dataset that it has not seen"),
}


def main(argv: list[str]) -> int:
    """Run one command; bad input is one line on stderr and exit status 2."""
    return dispatch("python -m editing", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
