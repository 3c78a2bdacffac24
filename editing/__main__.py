"""`python -m editing COMMAND …`: the offline commands. Each is a module with `main(argv) -> exit status`."""

from __future__ import annotations

import importlib
import sys

from renderer.errors import VisavisError

# Name -> (module, what it does); modules are imported only when their command runs, so that --help is quick.
COMMANDS: dict[str, tuple[str, str]] = {
    "synthesize": ("editing.synthesize.command", "the synthetic presenter: video, sound and complete ground truth"),
}

_BAD_INPUT = 2
_INTERRUPTED = 130


def usage() -> str:
    """The list of commands."""
    lines = ["usage: python -m editing COMMAND [options]", "", "commands:"]
    lines += [f"  {name:<14} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join([*lines, "", "python -m editing COMMAND --help tells its options."])


def main(argv: list[str]) -> int:
    """Run one command; bad input is one line on stderr and exit status 2."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else _BAD_INPUT
    name, *rest = argv
    if name not in COMMANDS:
        print(f"unknown command {name!r}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return _BAD_INPUT
    try:
        return int(importlib.import_module(COMMANDS[name][0]).main(rest))
    except VisavisError as error:
        print(error, file=sys.stderr)
        return _BAD_INPUT
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
