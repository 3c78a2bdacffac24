"""Command lines that answer bad input with one line on stderr and exit status 2."""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from renderer.errors import BadInput, VisavisError

if TYPE_CHECKING:
    from collections.abc import Mapping

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line that ends with where the options are explained."""

    def __init__(self, **settings: Any) -> None:
        # Room for the longest option, so that most need one line of help.
        settings.setdefault("formatter_class", functools.partial(argparse.HelpFormatter, max_help_position=34))
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see {self.prog} --help")


def dispatch(prog: str, commands: Mapping[str, tuple[str, str]], argv: list[str]) -> int:
    """Run one of `commands`: name -> (module with `main(argv) -> exit status`, what it does).

    Modules are imported only when their command runs, so `--help` is quick.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: {prog} COMMAND [options]\n\ncommands:")
        for name, (_, what) in commands.items():
            print(f"  {name:<15} {what}")
        print(f"\n{prog} COMMAND --help tells its options.")
        return 0 if argv else EXIT_BAD_INPUT
    name, *rest = argv
    if name not in commands:
        print(f"unknown command {name!r}; known: {', '.join(commands)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    try:
        return int(importlib.import_module(commands[name][0]).main(rest))
    except VisavisError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
