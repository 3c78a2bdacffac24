"""`python -m tests.end_to_end.measure_emotion [SOUND.wav]`: the emotion dial in Chromium, timed and held against a blink; one JSON object.

Two copies of an emotional avatar lie on the shelf: one whose head stands still and blinks as in its clip, and one that does not blink
either. The page shows the one for a while, then the other, first at rest and then with its dial turned at even intervals from one strong
emotion to the next. Every shown picture is kept, as 32 x 32 grey cells of the face, with its RTP time stamp. The sound is silence unless
a file is given; with speech the mouth moves, so only the upper half of the face counts.

visible_*        from the page's request to the first picture that differs from those before, ms. It differs where it is farther from them
                 than `TELLING` times anything that was seen at rest (video noise)
step_*           between two pictures that follow each other, 0...255 grey levels: `rms` over the face, `peak` the cell that changes most.
                 Of the blinking avatar, of the one at rest, and while the dial is turned
frames_lost_*    frames by RTP time stamp (frame k is k * 3600) that never reached the screen, at rest and while the dial is turned
answer_p50_ms    from the request to the server's word that it is set: the messages' part of the way
server_*         medians of the whole time, by `stats`: how long sound and picture are kept, a picture's rendering, pictures that wait
receive_ms       from a picture's first packet to the decoded one, by the browser, median
late_*           frames for which the server showed the last picture again, by its own count, per cent, of the same two times
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.avatar_file import load_avatar, save_avatar
from renderer.library import find_avatar
from tests.end_to_end.live_browser import existing_file, open_page, press_start
from tests.end_to_end.measure_live import server_metrics
from tests.end_to_end.measurement import RTP_TICKS_A_FRAME
from tests.end_to_end.speech import RATE_HZ
from tests.server.running_server import start_server

if TYPE_CHECKING:
    from jaxtyping import Float
    from playwright.sync_api import Page

    from renderer.avatar import Avatar
    from tests.server.running_server import RunningServer

PERIOD_S = 1.0
SETTLING_MS = 5000
PRELOAD_MS = 8000
"""Until the other avatar lies ready."""
BLINKS_S, REST_S = 25.0, 15.0
SWAP_MS = 1500
STYLES = ("blinking", "still")
FACE = (0.25, 0.15, 0.75, 0.85)
"""Left, top, right, bottom, as shares of the picture."""
CELLS = 32
UPPER = slice(0, CELLS // 2)
"""Rows of cells that speech does not move."""
TELLING = 2.0
BEFORE_FRAMES = 5
WAY = ("happy", "neutral", "angry", "happy", "sad", "neutral", "fearful", "angry", "sad", "fearful")
"""The dial's way, all strong; again from the beginning at its end."""

WATCH = """([[left, top, right, bottom], cells]) => {
  const video = document.querySelector("video"), seen = (window.__dial = { pictures: [], requests: [], marks: [], stats: [], states: [] });
  const canvas = new OffscreenCanvas(cells, cells), context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  visavis.session.addEventListener("stats", ({ detail }) =>
    seen.stats.push([detail.latency_ms, detail.render_ms, detail.queue, visavis.figures?.receiveMs ?? 0]));
  visavis.session.addEventListener("state", () => seen.states.push(performance.now()));
  const look = (now, metadata) => {
    const shown = performance.now(); // before the picture is looked at, which takes its time
    const { videoWidth: w, videoHeight: h } = video;
    context.drawImage(video, left * w, top * h, (right - left) * w, (bottom - top) * h, 0, 0, cells, cells);
    const { data } = context.getImageData(0, 0, cells, cells);
    let grey = "";
    for (let i = 0; i < data.length; i += 4) grey += String.fromCharCode((2 * data[i] + 5 * data[i + 1] + data[i + 2]) >> 3);
    seen.pictures.push([shown, metadata.rtpTimestamp, grey]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}"""
REQUEST = """(emotion) => {
  __dial.requests.push(performance.now());
  visavis.session.set({ emotion });
}"""
MARK = "__dial.marks.push(performance.now())"


def save_styles(folder: Path, avatar: Avatar) -> None:
    """The avatar with its head held still, blinking and with its eyes open."""
    middle = len(avatar.pose_track) // 2
    poses = np.broadcast_to(avatar.pose_track[middle], avatar.pose_track.shape).copy()
    save_avatar(avatar.replace(name=STYLES[0], pose_track=poses), folder / f"{STYLES[0]}.avatar")
    open_eye = np.full(1, np.median(avatar.eye_track), np.float32)
    save_avatar(avatar.replace(name=STYLES[1], pose_track=poses[:1], eye_track=open_eye), folder / f"{STYLES[1]}.avatar")


@dataclass(frozen=True)
class DialFigures:
    """What the page showed; see the module."""

    changes: int
    changes_seen: int
    visible_p50_ms: float
    visible_p95_ms: float
    visible_max_ms: float
    step_blink_rms: float
    step_rest_rms: float
    step_dial_rms: float
    step_blink_peak: float
    step_rest_peak: float
    step_dial_peak: float
    frames_lost_at_rest: int
    frames_lost_while_turned: int
    frames_at_rest: int
    frames_while_turned: int


def measure_dial(
    times_ms: Float[np.ndarray, " n"],
    stamps: Float[np.ndarray, " n"],
    faces: Float[np.ndarray, "n rows columns"],
    requests_ms: list[float],
    marks_ms: tuple[float, float, float],
    end_ms: float,
) -> DialFigures:
    """`stamps` are RTP time stamps; `marks_ms`: when the blinking avatar, the one at rest, and the turning of the dial began."""
    ticks = np.unwrap(stamps, period=2.0**32)
    frames = np.round((ticks - ticks[0]) / RTP_TICKS_A_FRAME).astype(int)
    blinking, resting, turning = (
        (times_ms >= begin) & (times_ms < end) for begin, end in zip(marks_ms, (*marks_ms[1:], end_ms), strict=True)
    )
    # The last pictures of the blinking avatar, on their way when the other is asked for, belong to nobody.
    resting &= times_ms >= marks_ms[1] + SWAP_MS
    at_rest = faces[resting]
    noise = float(np.sqrt(np.square(at_rest - at_rest.mean(0)).mean((1, 2))).max())
    delays_ms = []
    for asked_ms, until_ms in zip(requests_ms, [*requests_ms, end_ms][1:], strict=True):
        before = faces[times_ms <= asked_ms][-BEFORE_FRAMES:].mean(0)
        later = np.flatnonzero((times_ms > asked_ms) & (times_ms < until_ms))
        moved = np.sqrt(np.square(faces[later] - before).mean((1, 2))) > TELLING * noise
        if moved.any():
            delays_ms.append(float(times_ms[later[np.argmax(moved)]] - asked_ms))
    spread = np.percentile(delays_ms, [50, 95, 100]) if delays_ms else np.full(3, np.nan)
    steps = [_steps(faces, frames, chosen) for chosen in (blinking, resting, turning)]
    lost, every = zip(*(_lost(frames[chosen]) for chosen in (resting, turning)), strict=True)
    return DialFigures(
        len(requests_ms), len(delays_ms), *(round(float(value), 1) for value in spread),
        *(rms for rms, _ in steps), *(peak for _, peak in steps), *lost, *every,
    )  # fmt: skip


def _steps(faces: Float[np.ndarray, "n rows columns"], frames: np.ndarray, chosen: np.ndarray) -> tuple[float, float]:
    """Largest step between two frames that follow each other: over the face, and of a cell."""
    follow = chosen[1:] & chosen[:-1] & (np.diff(frames) == 1)
    steps = (faces[1:] - faces[:-1])[follow]
    return round(float(np.sqrt(np.square(steps).mean((1, 2))).max()), 2), round(float(np.abs(steps).max()), 1)


def _lost(frames: np.ndarray) -> tuple[int, int]:
    every = int(frames[-1] - frames[0] + 1)
    return every - len(np.unique(frames)), every


def main(argv: list[str]) -> int:
    """Measure once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sound", type=existing_file, nargs="?", help="WAV file that is the microphone (default: silence)")
    parser.add_argument("--changes", type=int, default=50, help="how often the dial is turned (default 50)")
    parser.add_argument("--period", type=float, default=PERIOD_S, help=f"seconds between two (default {PERIOD_S})")
    parser.add_argument("--size", type=int, help="picture size in pixels (default: the server's choice)")
    parser.add_argument("--threads", type=int, help="render threads (default: the server's choice)")
    parser.add_argument("--avatar", default="bundled", help="avatar (default bundled)")
    options = parser.parse_args(argv)
    avatar = load_avatar(find_avatar(options.avatar))
    if not avatar.is_emotional:
        parser.error(f"avatar {avatar.name!r} was made without emotions; one that was made with them is needed")
    with tempfile.TemporaryDirectory() as folder:
        save_styles(Path(folder), avatar)
        sound = options.sound or write_silence(Path(folder) / "silence.wav")
        chosen = {"--size": options.size, "--threads": options.threads}
        words = [word for flag, value in chosen.items() if value for word in (flag, str(value))]
        with start_server(Path(folder) / f"{STYLES[0]}.avatar", *words) as server, open_page(server.url, sound) as page:
            press_start(page)
            page.wait_for_timeout(PRELOAD_MS)
            figures = run(page, server, options.changes, options.period, is_silent=options.sound is None)
            size = page.evaluate("document.querySelector('video').videoHeight")
    print(json.dumps({"size": size, "period_s": options.period} | figures, indent=1))
    return 0


def run(page: Page, server: RunningServer, changes: int, period_s: float, is_silent: bool) -> dict[str, Any]:
    """Record and measure on a page that is live and shows the blinking avatar."""
    page.wait_for_timeout(SETTLING_MS)
    page.evaluate(WATCH, [list(FACE), CELLS])
    page.evaluate(MARK)
    page.wait_for_timeout(1000 * BLINKS_S)
    page.evaluate(MARK)
    page.evaluate("(name) => visavis.session.set({ avatar: name })", STYLES[1])
    page.wait_for_timeout(SWAP_MS)
    counted = [server_metrics(server)]
    page.wait_for_timeout(1000 * REST_S)
    counted.append(server_metrics(server))
    page.evaluate(MARK)
    random = np.random.default_rng(0)
    for index in range(changes):
        page.evaluate(REQUEST, {"category": (name := WAY[index % len(WAY)]), "strength": 0 if name == "neutral" else 1})
        page.wait_for_timeout(1000 * (period_s + random.uniform(0.0, 0.04)))
    counted.append(server_metrics(server))
    raw = page.evaluate("({ ...__dial, end: performance.now() })")
    times_ms, stamps, cells = zip(*raw["pictures"], strict=True)
    faces = np.array([list(grey.encode("latin-1")) for grey in cells], float).reshape(-1, CELLS, CELLS)
    figures = measure_dial(
        np.array(times_ms),
        np.array(stamps, float),
        faces if is_silent else faces[:, UPPER],
        raw["requests"],
        tuple(raw["marks"]),
        raw["end"],
    )
    late = [_late_percent(before, after) for before, after in itertools.pairwise(counted)]
    latency_ms, render_ms, queue, receive_ms = np.median(np.array(raw["stats"], float), 0).round(1).tolist()
    answers_ms = [min(said - asked for said in raw["states"] if said > asked) for asked in raw["requests"]]
    times = {
        "answer_p50_ms": round(float(np.median(answers_ms)), 1),
        "server_latency_ms": latency_ms,
        "server_render_ms": render_ms,
        "server_queue": queue,
        "receive_ms": receive_ms,
    }
    return {**dataclasses.asdict(figures), **times, "late_percent_at_rest": late[0], "late_percent_while_turned": late[1]}


def _late_percent(before: dict[str, float], after: dict[str, float]) -> float:
    late, sent = (after[f"visavis_frames_{kind}_total"] - before[f"visavis_frames_{kind}_total"] for kind in ("late", "sent"))
    return round(100 * late / max(1.0, sent), 2)


def write_silence(path: Path) -> Path:
    """A microphone that nobody speaks into: 30 s."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(bytes(2 * 30 * RATE_HZ))
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
