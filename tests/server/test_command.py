"""`run_server.py` from outside: exit codes, one line for what is wrong, and nothing left behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from server.command import main
from tests.server.peer import join
from tests.server.running_server import PROGRAM, start_server

if TYPE_CHECKING:
    from tests.server.conftest import Studio

PATIENCE_S = 20.0


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that exits with 2."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("run_server.py: ")
    return lines[0]


def shared_memory() -> set[str]:
    """Names of the machine's shared memory segments."""
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_command_rejects_a_wrong_path_and_a_file_that_is_no_avatar(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "neither a file nor one of the known names" in complaint(capsys, "--port", "0", "--avatar", "nowhere.avatar")
    text = tmp_path / "text.avatar"
    text.write_text("this is only text, and not an avatar")
    assert "not an avatar file" in complaint(capsys, "--port", "0", "--avatar", str(text))


def test_command_rejects_an_unknown_flag_and_an_impossible_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--frames" in complaint(capsys, "--frames", "7")
    assert "size 17" in complaint(capsys, "--size", "17")


def test_command_rejects_a_host_that_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert "198.51.100.7" in complaint(capsys, "--host", "198.51.100.7", "--port", "0")


def test_command_says_that_a_port_is_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "is in use" in complaint(capsys, "--port", str(taken.getsockname()[1]))


def test_command_rejects_an_avatar_for_another_encoder(studio: Studio) -> None:
    command = [sys.executable, str(PROGRAM), "--port", "0", "--avatar", str(studio.first), "--encoder", str(studio.folder / "other.onnx")]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=90, check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "was trained with encoder" in ended.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_command_leaves_nothing_behind_when_stopped(studio: Studio, number: int, code: int) -> None:
    before = shared_memory()
    with start_server(studio.first, "--size", "64") as server:
        processes = server.processes()
        async with join(server.socket_url) as peer:
            await peer.wait_for("hello")
            await peer.connect_media()
            assert server.stop(number) == code
        assert not [line for line in server.lines if "Traceback" in line or line.startswith("ERROR")], server.lines
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    assert not alive
    # Other programs of this machine come and go there; ours, or Python's own, must not be among what stays.
    assert not [name for name in shared_memory() - before if "visavis" in name or name.startswith("psm_")]


def test_command_killed_outright_takes_its_worker_along(studio: Studio) -> None:
    with start_server(studio.first, "--size", "64") as server:
        processes = server.processes()
        assert len(processes) == 2
        server.process.kill()
        deadline_s = time.monotonic() + PATIENCE_S
        while processes[1].is_running() and processes[1].status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline_s, "the worker outlived the server"
            time.sleep(0.05)
