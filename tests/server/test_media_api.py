"""Recordings, publications, texts and programs, with the whole server in its own process."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from websockets.asyncio.client import connect

from tests.server.listening import free_port, rtmp_receiver, stalled_rtmp_server
from tests.server.peer import bursts, join
from tests.server.running_server import PROGRAM, RunningServer, start_server
from tests.server.sinks.played import play

if TYPE_CHECKING:
    from tests.server.conftest import Studio

PATIENCE_S = 100.0


def ask(server: RunningServer, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Raises AssertionError with the server's own words."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return {"status": error.code, **json.load(error)}


async def ask_soon(*arguments: Any) -> dict[str, Any]:
    return await asyncio.to_thread(ask, *arguments)


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s for {what}"
        await asyncio.sleep(0.1)


def recorded(server: RunningServer, seconds: float, state: str = "running") -> Callable[[], bool]:
    """Whether the newest recording has so many seconds."""

    def condition() -> bool:
        newest = ask(server, "GET", "api/recordings")["recordings"][0]
        assert newest["state"] == state, newest
        return bool(newest["seconds"] > seconds)

    return condition


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def download(url: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read()


@pytest.fixture(scope="module")
def tone_command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A text-to-speech engine: half a second of a tone for a text, whatever it says."""
    path = tmp_path_factory.mktemp("engine") / "tone.wav"
    samples = (12_000 * np.sin(2 * np.pi * 500 * np.arange(11_025) / 22_050)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(samples.tobytes())
    return f"cat {path}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def server(studio: Studio, folder: Path, tone_command: str) -> Iterator[RunningServer]:
    options = ("--size", "64", "--max-sessions", "2", "--recordings", str(folder), "--speech-command", tone_command)
    with start_server(studio.first, *options) as running:
        yield running


async def test_recording_of_a_person_speaking_plays(server: RunningServer, folder: Path) -> None:
    async with join(server.socket_url) as peer:
        await peer.wait_for("hello")
        session = (await peer.connect_media(bursts))["session"]
        made = await ask_soon(server, "POST", "api/recordings", {"session": session, "format": "mkv"})
        assert made["state"] == "running" and made["file"] is None
        again = await ask_soon(server, "POST", "api/recordings", {"session": session})
        assert again["status"] == 409 and "already" in again["detail"]
        path = f"api/recordings/{made['id']}"
        await until(recorded(server, 4), "4 s of recording")
        early = await ask_soon(server, "GET", f"{path}/file")
        assert early["status"] == 409
        ended = await ask_soon(server, "DELETE", path)
        assert ended["state"] == "ended" and ended["reason"] is None
        assert (await ask_soon(server, "DELETE", path)) == ended, "ending it twice harms nothing"
    assert names(folder) == [ended["name"]]
    played = await asyncio.to_thread(play, folder / ended["name"])
    assert played.size == (64, 64)
    assert played.seconds == pytest.approx(ended["seconds"], abs=0.1)
    assert len(played.sound) / 48_000 == pytest.approx(played.seconds, abs=0.2)
    beeps_s = played.beeps_s()
    # The peer's microphone is as punctual as this machine is idle.
    assert len(beeps_s) >= 2
    assert np.median(np.diff(beeps_s)) == pytest.approx(1.0, abs=0.2)
    kind, content = await asyncio.to_thread(download, server.url + ended["file"])
    assert kind == "video/x-matroska" and len(content) == ended["n_bytes"]
    (folder / ended["name"]).unlink()


async def test_recording_ends_with_its_session(server: RunningServer, folder: Path) -> None:
    session = (await ask_soon(server, "POST", "api/sessions", {}))["id"]
    made = await ask_soon(server, "POST", "api/recordings", {"session": session})
    path = f"api/recordings/{made['id']}"
    await until(recorded(server, 1), "1 s of recording")
    await ask_soon(server, "DELETE", f"api/sessions/{session}")
    await until(lambda: ask(server, "GET", path)["state"] == "ended", "the end of the recording")
    assert play(folder / made["name"]).seconds > 1
    (folder / made["name"]).unlink()


async def test_publication_arrives_at_a_stream_server(server: RunningServer) -> None:
    session = (await ask_soon(server, "POST", "api/sessions", {}))["id"]
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/key"
    # Nobody listens yet: it must go on trying.
    made = await ask_soon(server, "POST", "api/publications", {"session": session, "url": url})
    assert made["url"] == f"rtmp://127.0.0.1:{port}/live/…", "a stream key is a secret"

    def info() -> dict[str, Any]:
        return next(entry for entry in ask(server, "GET", "api/publications")["publications"] if entry["id"] == made["id"])

    await until(lambda: info()["tries"] >= 2, "a second try")
    assert "refused" in info()["reason"]
    with rtmp_receiver(port) as received:
        await until(lambda: len(received.pictures_s) >= 50, "2 s of pictures")
        assert info()["state"] == "live"
        await ask_soon(server, "POST", f"api/sessions/{session}/say", {"text": "Hello there. And more."})
        await until(lambda: received.loudest > 0.2, "the tone of the text")
    assert np.median(np.diff(received.pictures_s)) == pytest.approx(0.04, abs=0.002)
    assert abs(received.pictures_s[0] - received.voice_s[0]) < 0.06
    ended = await ask_soon(server, "DELETE", f"api/publications/{made['id']}")
    assert ended["state"] == "ended"
    assert [s["id"] for s in (await ask_soon(server, "DELETE", f"api/sessions/{session}"))["sessions"]] == []


async def test_stalled_stream_server_does_not_touch_a_viewer(server: RunningServer) -> None:
    with stalled_rtmp_server() as stalled:
        async with join(server.socket_url) as peer:
            await peer.wait_for("hello")
            session = (await peer.connect_media(bursts))["session"]
            await peer.until(lambda: len(peer.pictures) >= 150, "6 s of pictures")
            seen, alone = len(peer.pictures), _rate(peer.pictures[25:])
            url = f"rtmp://127.0.0.1:{stalled.port}/live/key"
            made = await ask_soon(server, "POST", "api/publications", {"session": session, "url": url})
            await until(lambda: stalled.connections >= 2, "the stalled connection to be given up and made again")
            info = (await ask_soon(server, "GET", "api/publications"))["publications"][0]
            assert info["id"] == made["id"] and info["dropped_pictures"] > 0 and "nothing was taken" in info["reason"]
            beside = _rate(peer.pictures[seen:])
            # The machine is busy with other work; how good it is, `measure_stalled_sink` tells.
            assert beside > 0.75 * alone, f"{beside:.1f} pictures a second, {alone:.1f} before"


def _rate(pictures: list[tuple[float, int]]) -> float:
    """Arrivals a second."""
    arrivals_s = [arrival_s for arrival_s, _ in pictures]
    return (len(arrivals_s) - 1) / (arrivals_s[-1] - arrivals_s[0])


async def test_text_is_said_and_interrupted(server: RunningServer) -> None:
    async with join(server.socket_url) as peer:
        await peer.wait_for("hello")
        await peer.connect_media()
        await peer.until(lambda: len(peer.voice) >= 50, "a second of voice")
        await peer.say(type="say", text="One. Two. Three.")
        await peer.wait_for("speech", speaking=True)
        await peer.until(lambda: any(np.abs(samples).max() > 6000 for _, samples in peer.voice[-20:]), "the tone")
        await peer.wait_for("speech", speaking=False)
        seen = len(peer.messages)
        await peer.say(type="say", text=". ".join("again and again" for _ in range(40)))
        await peer.say(type="say", text="and then this")
        await peer.wait_for("speech", after=seen, waiting=1)
        await asyncio.sleep(1.5)
        await peer.say(type="stop")
        await peer.wait_for("speech", after=seen, speaking=False)
        await asyncio.sleep(1.0)
        heard = len(peer.voice)
        await peer.until(lambda: len(peer.voice) >= heard + 100, "2 s of silence")
        assert max(int(np.abs(samples).max()) for _, samples in peer.voice[heard + 25 :]) < 300


async def test_feed_speaks_a_programs_sound_and_returns_video(server: RunningServer, tmp_path: Path) -> None:
    rate_hz = 16_000
    tone = (12_000 * np.sin(2 * np.pi * 400 * np.arange(rate_hz // 2) / rate_hz)).astype("<i2")
    chunks, texts = [], []
    async with connect(server.socket_url.removesuffix("ws") + "api/feed") as socket:
        await socket.send(json.dumps({"type": "begin", "rate": rate_hz, "format": "mp4"}))
        begun = json.loads(await socket.recv())
        assert begun["type"] == "begun" and (begun["video"], begun["audio"]) == ("libx264", "aac")
        await socket.send(tone.tobytes() + bytes(rate_hz))
        await socket.send(tone.tobytes())
        await socket.send(b"odd")
        deadline_s = time.monotonic() + 7
        while time.monotonic() < deadline_s:
            message = await asyncio.wait_for(socket.recv(), PATIENCE_S)
            if isinstance(message, bytes):
                chunks.append(message)
            else:
                texts.append(json.loads(message))
        assert any(text["type"] == "error" and "int16" in text["message"] for text in texts)
        sessions = (await ask_soon(server, "GET", "api/sessions"))["sessions"]
        assert [entry["id"] for entry in sessions] == [begun["session"]]
    (tmp_path / "feed.mp4").write_bytes(b"".join(chunks))
    played = play(tmp_path / "feed.mp4")
    assert played.seconds > 3
    beeps_s = played.beeps_s()
    assert len(beeps_s) == 2
    assert beeps_s[1] - beeps_s[0] == pytest.approx(1.0, abs=0.05), "the program's own silence between its tones"
    await until(lambda: not ask(server, "GET", "api/sessions")["sessions"], "the end of the program's session")


async def test_feed_refuses_in_one_line(server: RunningServer) -> None:
    url = server.socket_url.removesuffix("ws") + "api/feed"
    for begin, words in (
        ("{", "must be begin"),
        (json.dumps({"type": "begin", "rate": 7}), "rate"),
        (json.dumps({"type": "begin", "session": "nobody"}), "no session 'nobody'"),
        (json.dumps({"type": "begin", "avatar": "nobody"}), "first, second"),
    ):
        async with connect(url) as socket:
            await socket.send(begin)
            answer = json.loads(await socket.recv())
            assert answer["type"] == "error" and words in answer["message"], answer
            await asyncio.wait_for(socket.wait_closed(), PATIENCE_S)


async def test_api_refuses_in_one_line(server: RunningServer) -> None:
    for method, path, body, status, words in (
        ("POST", "api/recordings", {"session": "nobody"}, 404, "no session 'nobody'"),
        ("POST", "api/recordings", {"session": "x", "format": "avi"}, 422, "format"),
        ("DELETE", "api/recordings/nothing", None, 404, "no recording 'nothing'"),
        ("POST", "api/sessions", {"avatar": "nobody"}, 400, "first, second"),
        ("POST", "api/sessions/nobody/say", {"text": "hello"}, 404, "no session"),
        ("POST", "api/sessions/nobody/say", {"text": ""}, 422, "text"),
        ("DELETE", "api/publications/nothing", None, 404, "no publication"),
    ):
        refused = await ask_soon(server, method, path, body)
        assert refused.get("status") == status and words in str(refused["detail"]), (method, path, refused)


@pytest.mark.parametrize(("container", "seconds"), [("mp4", 20.0), ("mkv", 6.0)])
async def test_recording_survives_the_outright_end_of_everything(
    studio: Studio, tmp_path: Path, container: str, seconds: float, tone_command: str
) -> None:
    """SIGKILL for the server and all it started at the same moment."""
    options = ("--size", "64", "--max-sessions", "1", "--recordings", str(tmp_path), "--speech-command", tone_command)
    with start_server(studio.first, *options) as server:
        session = (await ask_soon(server, "POST", "api/sessions", {}))["id"]
        await ask_soon(server, "POST", "api/recordings", {"session": session, "format": container})
        await ask_soon(server, "POST", f"api/sessions/{session}/say", {"text": "a. b. c. d. e. f. g. h."})
        await until(recorded(server, seconds), f"{seconds:g} s of recording")
        recorded_s = (await ask_soon(server, "GET", "api/recordings"))["recordings"][0]["seconds"]
        processes = server.processes()
        # Frozen first: whichever were left for a moment would still finish the file.
        for process in processes:
            process.suspend()
        for process in processes:
            process.kill()
    (left,) = names(tmp_path)
    assert ".unfinished." in left
    played = await asyncio.to_thread(play, tmp_path / left)
    print(f"{container}: {recorded_s:.1f} s were recorded when all was killed, {played.seconds:.1f} s play")
    assert played.seconds > recorded_s - 2.0
    assert abs(len(played.sound) / 48_000 - played.seconds) < 1.0
    assert np.abs(played.sound).max() > 0.2
    with start_server(studio.first, *options):
        assert names(tmp_path) == [left.replace(".unfinished", "")], "the next server names it"


def test_server_says_a_text_without_a_browser(studio: Studio, tmp_path: Path, tone_command: str) -> None:
    port = free_port()
    options = ("--size", "64", "--say", "Good evening.", "--speech-command", tone_command, "--recordings", str(tmp_path))
    with (
        rtmp_receiver(port) as received,
        start_server(studio.first, *options, "--publish", f"rtmp://127.0.0.1:{port}/live/key") as server,
    ):
        deadline_s = time.monotonic() + PATIENCE_S
        while len(received.pictures_s) < 50:
            assert time.monotonic() < deadline_s, f"nothing was published: {ask(server, 'GET', 'api/publications')}, {server.lines}"
            time.sleep(0.1)
        (session,) = ask(server, "GET", "api/sessions")["sessions"]
        assert session["playing"] and session["sinks"] == 1
        processes = server.processes()
        assert server.stop() == 130
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    assert not alive, "encoders end with the server"


def test_server_says_what_is_missing_for_text(studio: Studio) -> None:

    options = ("--port", "0", "--avatar", str(studio.first), "--say", "hello", "--speech-command", "no-such-engine")
    command = [sys.executable, str(PROGRAM), *options]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=90, check=False)
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1
    assert "'no-such-engine' is not installed" in ended.stderr


def test_the_documented_client_works(server: RunningServer, tmp_path: Path) -> None:
    text = (PROGRAM.parent / "server" / "README.md").read_text()
    (client,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    sound = 12_000 * np.sin(2 * np.pi * 400 * np.arange(24_000) / 16_000)
    with wave.open(str(tmp_path / "in.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(sound.astype("<i2").tobytes())
    url = server.socket_url.removesuffix("ws") + "api/feed"
    subprocess.run([sys.executable, "-c", client, "in.wav", "out.mp4", url], cwd=tmp_path, check=True, timeout=60)
    played = play(tmp_path / "out.mp4")
    assert played.seconds > 1.5 and len(played.beeps_s()) == 1
