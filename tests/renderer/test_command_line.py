from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from renderer.command_line import OneLineParser, dispatch
from renderer.errors import BadInput

ROOT = Path(__file__).parents[2]


def test_one_line_parser_names_the_option_and_where_help_is() -> None:
    with pytest.raises(BadInput, match=r"--colour.*see prog --help"):
        OneLineParser(prog="prog").parse_args(["--colour", "red"])


def test_dispatch_without_a_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch("prog", {"paint": ("nowhere", "paints")}, []) == 2
    assert "paint" in capsys.readouterr().out
    assert dispatch("prog", {"paint": ("nowhere", "paints")}, ["--help"]) == 0


def test_dispatch_rejects_an_unknown_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch("prog", {"paint": ("nowhere", "paints")}, ["pant"]) == 2
    assert capsys.readouterr().err == "unknown command 'pant'; known: paint\n"


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["renderer", "render", "--audio", "a.wav", "--out", "b.mp4", "--avatar", "nobody"], "nobody"),
        (["renderer", "render", "--audio", "none.wav", "--out", "b.mp4"], "none.wav"),
        (["renderer", "render", "--audio", "a.wav", "--out", "b.mp4", "--size", "250"], "250"),
        (["renderer", "render", "--audio", "a.wav"], "--out"),
        (["renderer", "bench", "--size", "7"], "7"),
        (["editing", "train", "none", "--out", "a.avatar"], "none"),
        (["editing", "train", "none", "--out", "a.avatar", "--device", "tpu"], "tpu"),
        (["editing", "evaluate", "nobody", "--dataset", "none"], "nobody"),
        (["editing", "look-ahead", "none", "--held-out", "none", "--look-aheads", "fast"], "fast"),
    ],
)
def test_commands_answer_bad_input_with_one_line(command: list[str], named: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and named in lines[0]
    assert list(tmp_path.iterdir()) == []


COMMANDS = [["renderer"], ["renderer", "render"], ["renderer", "bench"], ["editing"]]
COMMANDS += [["editing", name] for name in ("capture", "train", "edit", "evaluate", "synthesize", "look-ahead")]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen(command: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0
    assert 3 < len(result.stdout.splitlines()) <= 50
