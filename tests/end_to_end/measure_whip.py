"""`python -m tests.end_to_end.measure_whip`: WHIP and WHEP with clients and servers that nobody here wrote; prints one JSON object each.

Each way in publishes a sound for `--seconds`, each way out plays for as long; what is counted is what arrives, and what is left when it is
over. Programs needed: Debian's simple-whip-client, python3-gi with GStreamer's webrtcbin, and for the browser's player a folder made by
`npm install @eyevinn/webrtc-player esbuild` (`--npm DIR`). What is not there is named, and not measured.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.sync_api import sync_playwright

from renderer.library import find_avatar
from tests.end_to_end.janus_server import has_janus, janus_by_whip
from tests.end_to_end.live_browser import find_browser
from tests.server.peer import bursts
from tests.server.running_server import RunningServer, start_server
from tests.server.test_whip import write_certificate

TOKEN = "s3cret"
SYSTEM_PYTHON = "/usr/bin/python3"
GSTREAMER_SOUND = (
    "audiotestsrc is-live=true wave=ticks ! audioconvert ! audioresample ! queue ! opusenc ! rtpopuspay pt=100 ssrc=1 ! queue ! "
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=100"
)
FREE_TIMEOUT_S = 40.0
"""For a session to end after its client: ICE's own notice of a peer that is silent takes 30 s."""
PAGE = """<!doctype html><meta charset="utf-8"><video id="video" autoplay muted playsinline></video><script src="player.js"></script>"""
ENTRY = """import { WebRTCPlayer } from "@eyevinn/webrtc-player";
window.WebRTCPlayer = WebRTCPlayer;
"""


class QuietPages(http.server.SimpleHTTPRequestHandler):
    """Tells nothing of what it serves."""

    def log_message(self, *_: object) -> None:
        pass


class Missing(Exception):
    """A program that is not here."""


def main(argv: list[str]) -> int:
    """Measure each named way, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"any of {', '.join(WAYS)} (default all)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of publishing or playing (default 30)")
    parser.add_argument("--size", type=int, default=128, help="picture size in pixels (default 128)")
    parser.add_argument("--avatar", default="bundled", help="avatar (default bundled)")
    parser.add_argument("--npm", type=Path, help="folder with node_modules of @eyevinn/webrtc-player and esbuild")
    options = parser.parse_args(argv)
    if unknown := set(options.ways) - set(WAYS):
        parser.error(f"{', '.join(sorted(unknown))}: one of {', '.join(WAYS)} is possible")
    avatar = find_avatar(options.avatar)
    with start_server(avatar, "--size", str(options.size), "--token", TOKEN, "--max-sessions", "2") as server:
        for name in options.ways or WAYS:
            try:
                figures = WAYS[name](server, options)
            except Missing as missing:
                figures = {"not_run": str(missing)}
            print(json.dumps({"way": name, **figures}), flush=True)
    return 0


# ---- the server, from outside


def ask(server: RunningServer, path: str, wish: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """JSON of an address of the server's; a POST where there is something to send."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    body = None if wish is None else json.dumps(wish).encode()
    request = urllib.request.Request(base(server) + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


def base(server: RunningServer) -> str:
    """Its address without the token."""
    return server.url.partition("?")[0]


def counts(server: RunningServer) -> dict[str, float]:
    """The server's own."""
    request = urllib.request.Request(base(server) + "metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=20) as response:
        lines = [line.split() for line in response.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def until_free(server: RunningServer) -> float:
    """Seconds until no session runs."""
    began_s = time.monotonic()
    while ask(server, "healthz")["sessions"]:
        if time.monotonic() - began_s > FREE_TIMEOUT_S:
            raise AssertionError("a session stayed")
        time.sleep(0.1)
    return round(time.monotonic() - began_s, 1)


def while_published(server: RunningServer, seconds: float, is_running: Callable[[], bool]) -> dict[str, Any]:
    """What the server makes of a publisher that has just been started."""
    began_s = time.monotonic()
    while not counts(server)["visavis_sessions"] or not ask(server, "api/sessions")["sessions"][0]["playing"]:
        assert is_running() and time.monotonic() - began_s < FREE_TIMEOUT_S, "the publisher did not connect"
        time.sleep(0.1)
    connected_s = time.monotonic() - began_s
    time.sleep(2.0)
    before, start_s = counts(server), time.monotonic()
    time.sleep(seconds)
    assert is_running(), "the publisher ended by itself"
    after, passed_s = counts(server), time.monotonic() - start_s
    sent = after["visavis_frames_sent_total"] - before["visavis_frames_sent_total"]
    late = after["visavis_frames_late_total"] - before["visavis_frames_late_total"]
    return {
        "connected_s": round(connected_s, 1),
        "seconds": round(passed_s, 1),
        "pictures_a_second": round(sent / passed_s, 2),
        "late_percent": round(100 * late / max(1.0, sent), 2),
    }


# ---- ways in


def whip_client(server: RunningServer, options: argparse.Namespace) -> dict[str, Any]:
    """Debian's simple-whip-client: GStreamer 1.22 with an RSA certificate; trickles its candidates by PATCH."""
    with simple_whip_client(server) as process:
        figures = while_published(server, options.seconds, lambda: process.poll() is None)
    return {**figures, "free_after_s": until_free(server)}


@contextlib.contextmanager
def simple_whip_client(server: RunningServer) -> Iterator[subprocess.Popen[bytes]]:
    """Publishing ticks."""
    if shutil.which("whip-client") is None:
        raise Missing("whip-client (Debian: simple-whip-client)")
    command = ["whip-client", "-u", f"{base(server)}whip", "-t", TOKEN, "-A", GSTREAMER_SOUND, "-l", "4", "-o"]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        except AssertionError as error:
            log.seek(0)
            raise AssertionError(f"{error}\n{log.read().decode()[-3000:]}") from error
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()


def ffmpeg(server: RunningServer, options: argparse.Namespace) -> dict[str, Any]:
    """FFmpeg's own WHIP publisher, through PyAV."""
    if "whip" not in av.formats_available:
        raise Missing("PyAV without FFmpeg's whip muxer")
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        thread = threading.Thread(target=publish_by_ffmpeg, args=(server, Path(folder), stop))
        thread.start()
        try:
            figures = while_published(server, options.seconds, thread.is_alive)
        finally:
            stop.set()
            thread.join(20)
    return {**figures, "free_after_s": until_free(server)}


def publish_by_ffmpeg(server: RunningServer, folder: Path, stop: threading.Event) -> None:
    """Sound and a grey picture, until told to stop."""
    certificate, key = write_certificate(folder)
    settings = {"authorization": TOKEN, "handshake_timeout": "20000", "cert_file": str(certificate), "key_file": str(key)}
    with av.open(f"{base(server)}whip", "w", format="whip", options=settings) as output:
        video = output.add_stream("libx264", rate=25, options={"profile": "baseline", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = output.add_stream("libopus", rate=48_000, layout="stereo")
        start_s, packet = time.monotonic(), 0
        while not stop.is_set():
            time.sleep(max(0.0, start_s + packet / 50 - time.monotonic()))
            sound = av.AudioFrame.from_ndarray(np.repeat(bursts(packet), 2)[None], format="s16", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48_000, packet * 960, Fraction(1, 48_000)
            output.mux(audio.encode(sound))
            if packet % 2 == 0:
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
                picture.pts, picture.time_base = packet // 2, Fraction(1, 25)
                output.mux(video.encode(picture))
            packet += 1


# ---- ways out: somebody must speak meanwhile


def gstreamer_player(server: RunningServer, options: argparse.Namespace) -> dict[str, Any]:
    """GStreamer's webrtcbin as a WHEP player."""
    program = Path(__file__).with_name("gstreamer_player.py")
    found = subprocess.run([SYSTEM_PYTHON, "-c", "import gi; gi.require_version('GstWebRTC', '1.0')"], capture_output=True, check=False)
    if found.returncode:
        raise Missing("GStreamer's bindings (Debian: python3-gi, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-nice)")
    with speaking(server):
        command = [SYSTEM_PYTHON, str(program), f"{base(server)}whep", str(options.seconds)]
        ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TOKEN": TOKEN}, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
        figures = json.loads(ended.stdout)
        figures["sinks_left"] = sinks_left(server)
    return {**figures, "free_after_s": until_free(server)}


def eyevinn_player(server: RunningServer, options: argparse.Namespace) -> dict[str, Any]:
    """`@eyevinn/webrtc-player` in Chromium, on a page of another origin."""
    if options.npm is None:
        raise Missing("--npm: a folder with node_modules of @eyevinn/webrtc-player and esbuild")
    with speaking(server), player_page(options.npm) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(address)
        began_s = time.monotonic()
        page.evaluate(
            """async ([url, token]) => {
                window.player = new WebRTCPlayer({ video: document.querySelector("video"), type: "whep", authKey: "Bearer " + token });
                await player.load(new URL(url));
            }""",
            [f"{base(server)}whep?token={TOKEN}", TOKEN],
        )
        page.wait_for_function("document.querySelector('video').currentTime > 0", timeout=40_000)
        first_s = time.monotonic() - began_s
        shown = "document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames"
        before, start_s = page.evaluate(shown), time.monotonic()
        page.wait_for_timeout(1000 * options.seconds)
        passed_s, after = time.monotonic() - start_s, page.evaluate(shown)
        page.evaluate("player.unload()")
        page.wait_for_timeout(1000)
        figures = {
            "first_media_s": round(first_s, 2),
            "seconds": round(passed_s, 1),
            "pictures_a_second": round((after - before) / passed_s, 2),
            "sinks_left": sinks_left(server),
        }
        browser.close()
    return {**figures, "free_after_s": until_free(server)}


def janus(server: RunningServer, options: argparse.Namespace) -> dict[str, Any]:
    """A publication by WHIP to Janus, which forwards it as RTP."""
    if not has_janus():
        raise Missing("janus (Debian: janus)")
    with janus_by_whip() as (media_server, address), speaking(server):
        session = ask(server, "api/sessions")["sessions"][0]["id"]
        began_s = time.monotonic()
        made = ask(server, "api/publications", {"session": session, "url": f"whip:{address}"})
        while not all(media_server.frames.values()):
            assert time.monotonic() - began_s < FREE_TIMEOUT_S, ask(server, "api/publications")
            time.sleep(0.05)
        first_s = time.monotonic() - began_s
        before, start_s = dict(media_server.frames), time.monotonic()
        time.sleep(options.seconds)
        passed_s = time.monotonic() - start_s
        rates = {kind: round((media_server.frames[kind] - before[kind]) / passed_s, 2) for kind in before}
        ended = ask(server, f"api/publications/{made['id']}", method="DELETE")
        figures = {
            "first_media_s": round(first_s, 2),
            "seconds": round(passed_s, 1),
            "pictures_a_second": rates["video"],
            "sound_packets_a_second": rates["audio"],
            "ended": ended["state"],
            "publishers_left_in_janus": media_server.publishers,
            "sinks_left": sinks_left(server),
        }
    return {**figures, "free_after_s": until_free(server)}


@contextlib.contextmanager
def speaking(server: RunningServer) -> Iterator[None]:
    """A session that simple-whip-client, or FFmpeg where it is not here, speaks in."""
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        if shutil.which("whip-client") is not None:
            stack.enter_context(simple_whip_client(server))
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            thread = threading.Thread(target=publish_by_ffmpeg, args=(server, folder, stop))
            thread.start()
            stack.callback(thread.join)
            stack.callback(stop.set)
        deadline_s = time.monotonic() + FREE_TIMEOUT_S
        while not any(session["playing"] for session in ask(server, "api/sessions")["sessions"]):
            assert time.monotonic() < deadline_s, "nobody speaks"
            time.sleep(0.1)
        yield


def sinks_left(server: RunningServer) -> int:
    """Players of the session that speaks; the publisher counts as one sink."""
    return int(ask(server, "api/sessions")["sessions"][0]["sinks"]) - 1


@contextlib.contextmanager
def player_page(npm: Path) -> Iterator[str]:
    """Address of a page with the player, bundled by esbuild."""
    with tempfile.TemporaryDirectory() as folder:
        entry = npm / "visavis-player-entry.js"
        entry.write_text(ENTRY)
        bundler = npm / "node_modules/.bin/esbuild"
        if not bundler.exists():
            raise Missing(f"{bundler}")
        subprocess.run([bundler, entry, "--bundle", f"--outfile={folder}/player.js", "--log-level=error"], check=True, cwd=npm)
        entry.unlink()
        (Path(folder) / "index.html").write_text(PAGE)
        handler = functools.partial(QuietPages, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
            threading.Thread(target=pages.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{pages.server_port}/"
            pages.shutdown()


WAYS: dict[str, Callable[[RunningServer, argparse.Namespace], dict[str, Any]]] = {
    "whip-client": whip_client,
    "ffmpeg": ffmpeg,
    "gstreamer-player": gstreamer_player,
    "eyevinn-player": eyevinn_player,
    "janus": janus,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
