"""`python -m tests.end_to_end.measure_live SOUND.wav`: the live page in Chromium, measured from outside; prints one JSON object.

Starts the server, presses Start, speaks the sound file as the microphone, and measures what `measurement` describes, beside the
server's own counts and its memory; and how long, on average, the browser kept pictures and voice in its buffers (`*_buffer_ms`). The
avatar's head is held still, so that each shown picture can be told by its mouth; the work a frame is the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil

from tests.end_to_end.live_browser import existing_file, expected_mouth, open_page, press_start, record, save_still_avatar
from tests.end_to_end.measurement import measure
from tests.end_to_end.speech import RATE_HZ, read_sound
from tests.end_to_end.stolen_time import StolenTime
from tests.server.running_server import RunningServer, start_server

BUFFERED = "__capture.buffered()"
SETTLING_S = 60.0
"""Memory is compared with what it was this long after the start."""


def main(argv: list[str]) -> int:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sound", type=existing_file, help="WAV file that is the microphone")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to record (default 60)")
    parser.add_argument("--size", type=int, help="picture size in pixels (default: the server's choice)")
    parser.add_argument("--threads", type=int, help="render threads (default: the server's choice)")
    parser.add_argument("--avatar", default="bundled", help="avatar (default bundled)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        avatar = Path(folder) / "still.avatar"
        save_still_avatar(avatar, options.avatar)
        chosen = {"--size": options.size, "--threads": options.threads}
        began = time.monotonic()
        with start_server(avatar, *(word for flag, value in chosen.items() if value for word in (flag, str(value)))) as server:
            ready_s = time.monotonic() - began
            figures = run(server, avatar, options.sound, options.seconds)
    print(json.dumps({"server_ready_s": round(ready_s, 2)} | figures, indent=1))
    return 0


def run(server: RunningServer, avatar: Path, sound: Path, seconds: float) -> dict[str, object]:
    """Record and measure against a running server."""
    with open_page(server.url, sound) as page:
        clicked = time.monotonic()
        press_start(page)
        first_picture_s = time.monotonic() - clicked
        before = memory_mb(server)
        if seconds > 2 * SETTLING_S:
            page.wait_for_timeout(1000 * SETTLING_S)
            before = memory_mb(server)
        stolen = StolenTime()
        buffered = page.evaluate(BUFFERED)
        recording = record(page, seconds)
        buffers = buffer_ms(buffered, page.evaluate(BUFFERED))
        stolen_percent = stolen.percent
        after = memory_mb(server)
        metrics = server_metrics(server)
        size = page.evaluate("(() => { const v = document.querySelector('video'); return v.videoHeight; })()")
    figures = measure(recording, read_sound(sound), RATE_HZ, expected_mouth(avatar, sound, size))
    rounded = {name: round(float(value), 3) for name, value in dataclasses.asdict(figures).items()}
    return {
        "size": size,
        "seconds": seconds,
        "first_picture_after_click_s": round(first_picture_s, 2),
        **rounded,
        "picture_buffer_ms": buffers["video"],
        "voice_buffer_ms": buffers["audio"],
        "late_percent": round(100 * metrics["visavis_frames_late_total"] / max(1.0, metrics["visavis_frames_sent_total"]), 2),
        "stolen_percent": round(stolen_percent, 1),
        "memory_mb": round(after, 1),
        "memory_growth_mb": round(after - before, 1),
    }


def buffer_ms(before: dict[str, list[float]], after: dict[str, list[float]]) -> dict[str, float]:
    """By kind, of what left the buffer between two looks."""
    parts = {kind: np.subtract(after[kind], before[kind]) for kind in after}
    return {kind: round(1000 * float(spent_s / max(1.0, emitted)), 1) for kind, (spent_s, emitted) in parts.items()}


def memory_mb(server: RunningServer) -> float:
    """Resident memory of all the server's processes."""
    return sum(p.memory_info().rss for p in server.processes() if p.status() != psutil.STATUS_ZOMBIE) / 2**20


def server_metrics(server: RunningServer) -> dict[str, float]:
    """The server's own counts."""
    with urllib.request.urlopen(server.url + "metrics", timeout=10) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
