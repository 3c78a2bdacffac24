"""`run_server.py` in a process of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROGRAM = Path(__file__).parents[2] / "run_server.py"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0


@dataclass
class RunningServer:
    process: subprocess.Popen[str]
    url: str = ""
    lines: list[str] = field(default_factory=list)
    """What it wrote to stderr."""
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1).partition("?")[0] + "ws"

    def processes(self) -> list[psutil.Process]:
        """It and all it started."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)

    def read_lines(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if match := re.search(r"ready: open (\S+)", line):
                self.url = match.group(1)
                self.ready.set()
        self.ready.set()


@contextlib.contextmanager
def start_server(avatar: Path, *arguments: str) -> Iterator[RunningServer]:
    """Yields when the server says it is ready, on a free port. It offers the avatars of the avatar's folder."""
    command = [sys.executable, str(PROGRAM), "--avatar", str(avatar), "--avatars", str(avatar.parent), "--port", "0", *arguments]
    # Started from elsewhere, as an installed program would be, with signals as a shell gives them.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=avatar.parent, env={**os.environ}, start_new_session=True)
    server = RunningServer(process)
    reader = threading.Thread(target=server.read_lines, daemon=True)
    reader.start()
    try:
        assert server.ready.wait(START_TIMEOUT_S) and server.url, f"the server did not start: {server.lines}"
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()
