"""`run_server.py --virtual-camera` in a PipeWire of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from renderer.avatar_file import read_poster
from renderer.images import quantise, resize_picture
from renderer.library import find_avatar
from server.face_tracker import MODEL_VARIABLE
from server.virtual_camera.pulse import pactl
from server.virtual_camera.terminal_keys import HELP
from tests.end_to_end.camera_film import HEIGHT_PX, write_film
from tests.server.running_server import PROGRAM, RunningServer, start_server
from tests.server.virtual_camera.captured import write_beeps
from tests.server.virtual_camera.sound_session import LOUDSPEAKER, playing, sound_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Studio

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def beeps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = write_beeps(tmp_path_factory.mktemp("beeps") / "beeps.wav")
    with sound_session(), playing(path):
        yield path


def ask(url: str, method: str = "GET", body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}api/camera", data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def until(url: str, is_so: Callable[[dict[str, Any]], bool] = lambda _: True, **wanted: Any) -> dict[str, Any]:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        info = ask(url)
        if all(info[name] == value for name, value in wanted.items()) and is_so(info):
            return info
        assert time.monotonic() < deadline_s, (wanted, info)
        time.sleep(0.1)


def test_server_is_a_camera_for_as_long_as_it_runs_and_obeys_keys(beeps: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    keyboard, terminal = pty.openpty()
    command = [sys.executable, str(PROGRAM), "--avatar", str(studio.first), "--port", "0", "--size", "64", "--max-sessions", "1"]
    command += ["--virtual-camera", "pipewire", "--microphone", f"{LOUDSPEAKER}.monitor"]
    # A terminal of its own, which is what a shell gives.
    process = subprocess.Popen(
        [sys.executable, "-c", _IN_TERMINAL, *command], stdin=terminal, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    server = RunningServer(process)

    threading.Thread(target=server.read_lines, daemon=True).start()
    try:
        assert server.ready.wait(PATIENCE_S) and server.url, server.lines
        info = until(server.url, state="on")
        deadline_s = time.monotonic() + PATIENCE_S
        while HELP not in server.lines:
            assert time.monotonic() < deadline_s, server.lines
            time.sleep(0.1)
        info = ask(server.url)
        assert info["session"] and info["delay_ms"] > 200 and info["camera"] == "visavis" and info["size"] == [640, 360]
        assert any("virtual camera 'visavis' and microphone 'visavis microphone' · on · delay " in line for line in server.lines)
        os.write(keyboard, b"p")
        until(server.url, privacy=True)
        os.write(keyboard, b"xp")
        until(server.url, privacy=False)
        os.write(keyboard, b"+")
        held = until(server.url, holds_delay=True)
        os.write(keyboard, b"a")
        until(server.url, holds_delay=False)
        assert held["state"] == "on"
        os.write(keyboard, b"f")
        until_said(server, f"virtual camera: {MODEL_VARIABLE} is not set")
        assert any(line.startswith("virtual camera: delay ") for line in server.lines)
        # The session ends, the camera does not; another begins.
        request = urllib.request.Request(f"{server.url}api/sessions/{info['session']}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()
        deadline_s = time.monotonic() + PATIENCE_S
        while (now := ask(server.url))["session"] in (None, info["session"]):
            assert now["state"] == "on" and time.monotonic() < deadline_s, now
            time.sleep(0.1)
        assert server.stop(signal.SIGTERM) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(keyboard)
        os.close(terminal)
    assert "visavis" not in pactl("list", "short", "modules")
    assert not [line for line in server.lines if "Traceback" in line], server.lines


def change_sessions(url: str, method: str, path: str = "") -> dict[str, Any]:
    data = b"{}" if method == "POST" else None
    request = urllib.request.Request(f"{url}api/sessions{path}", data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def test_camera_shows_a_session_of_the_page_and_then_the_next_that_begins(beeps: Path, studio: Studio) -> None:
    with start_server(studio.first, "--size", "64", "--max-sessions", "1") as server:
        assert ask(server.url)["state"] == "off" and ask(server.url)["reason"] is None
        first = change_sessions(server.url, "POST")["id"]
        info = ask(server.url, "POST", {"session": first})
        assert (info["state"], info["session"], info["privacy"]) == ("on", first, False)
        assert ask(server.url, "PATCH", {"privacy": True, "delay_ms": 900})["privacy"]
        until(server.url, lambda now: now["delay_ms"] > info["delay_ms"], holds_delay=True)
        change_sessions(server.url, "DELETE", f"/{first}")
        assert until(server.url, session=None)["state"] == "on"
        second = change_sessions(server.url, "POST")["id"]
        assert until(server.url, session=second)["privacy"], "who hid is hidden still"
        assert ask(server.url, "DELETE")["state"] == "off"
        assert "visavis" not in pactl("list", "short", "modules")
        assert change_sessions(server.url, "GET")["sessions"][0]["id"] == second, "the session goes on"
        # And with the server's end in the midst of it, nothing stays.
        assert ask(server.url, "POST", {"session": second})["state"] == "on"
        assert server.stop(signal.SIGTERM) == 0
    assert "visavis" not in pactl("list", "short", "modules")


def speaking_and_following(studio: Studio, film: Path) -> contextlib.AbstractContextManager[RunningServer]:
    words = ("--size", "64", "--max-sessions", "1", "--virtual-camera", "pipewire", "--microphone", f"{LOUDSPEAKER}.monitor")
    return start_server(studio.first, *words, "--follow-camera", str(film))


def until_said(server: RunningServer, words: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not any(words in line for line in server.lines):
        assert time.monotonic() < deadline_s, server.lines
        time.sleep(0.1)


def test_avatar_that_cannot_follow_the_camera_speaks_on(
    beeps: Path, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, model = tmp_path / "wall.y4m", tmp_path / "other.task"
    write_film(film, [None] * 25)
    model.write_bytes(b"another model")
    monkeypatch.setenv(MODEL_VARIABLE, str(model))
    with speaking_and_following(studio, film) as server:
        until_said(server, "not the face_landmarker.task")
        info = until(server.url, state="on")
        assert info["session"]
        assert not [line for line in server.lines if "Traceback" in line], server.lines
        assert server.stop(signal.SIGTERM) == 0


@pytest.mark.skipif(not os.environ.get(MODEL_VARIABLE), reason=f"{MODEL_VARIABLE} is not set")
def test_avatar_follows_this_machines_camera_without_a_page(beeps: Path, studio: Studio, tmp_path: Path) -> None:
    still = read_poster(find_avatar("bundled"))
    assert still is not None
    film = tmp_path / "me.y4m"
    write_film(film, [quantise(resize_picture(still, HEIGHT_PX, HEIGHT_PX))] * 50)
    with speaking_and_following(studio, film) as server:
        until(server.url, state="on")
        deadline_s = time.monotonic() + PATIENCE_S
        while face_pictures(server) < 20:
            assert time.monotonic() < deadline_s, server.lines
            time.sleep(0.1)
        # Another session of the same call goes on following.
        session, before = ask(server.url)["session"], face_pictures(server)
        change_sessions(server.url, "DELETE", f"/{session}")
        until(server.url, lambda now: now["session"] not in (None, session))
        while face_pictures(server) < before + 20:
            assert time.monotonic() < deadline_s + PATIENCE_S, server.lines
            time.sleep(0.1)
        assert server.stop(signal.SIGTERM) == 0


def face_pictures(server: RunningServer) -> float:
    with urllib.request.urlopen(server.url + "metrics", timeout=10) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines()]
    return next(float(words[1]) for words in lines if words[0] == "visavis_face_pictures")


_IN_TERMINAL = "import fcntl, os, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nos.execv(sys.argv[1], sys.argv[1:])"


def test_server_says_in_one_line_which_microphone_it_cannot_have(beeps: Path, studio: Studio) -> None:
    command = [sys.executable, str(PROGRAM), "--avatar", str(studio.first), "--port", "0", "--virtual-camera", "pipewire"]
    for words, microphone in (
        ("microphone: this system has none that is its default (--microphone NAME); known: none", []),
        ("input device 'nobody': known are 'pulse'", ["--microphone", "nobody", "--size", "64"]),
    ):
        ended = subprocess.run([*command, *microphone], stderr=subprocess.PIPE, text=True, timeout=120, check=False)
        assert ended.returncode == 2
        assert f"run_server.py: {words}" in ended.stderr.splitlines()[-1]
    assert "visavis" not in pactl("list", "short", "modules")
