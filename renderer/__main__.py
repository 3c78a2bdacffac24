"""`python -m renderer COMMAND …`: offline rendering and the benchmark."""

from __future__ import annotations

import sys

from renderer.command_line import dispatch

COMMANDS = {
    "render": ("renderer.render", "render a video of an avatar that speaks a sound file"),
    "bench": ("renderer.bench", "measure how fast an avatar's frames are rendered"),
}


def main(argv: list[str]) -> int:
    """Run one command; bad input is one line on stderr and exit status 2."""
    return dispatch("python -m renderer", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
