"""`python -m tests.end_to_end.measure_swaps SOUND.wav`: styles swapped in mid-speech, measured in Chromium; prints one JSON object.

Two styles of one person (one with its colours exchanged, so that each picture tells which it shows) lie on the shelf. The page speaks the
sound file and is told to swap at even intervals; every shown picture is kept with its RTP time stamp, as in `measure_live`.

swap_visible_*   from the page's request to the first picture of the other style on screen, ms
frames_lost_*    frames by RTP time stamp (frame k is k * 3600) that never reached the screen, within `NEAR_FRAMES` of a swap and elsewhere,
                 beside how many frames lie there, so that what the machine loses anyway can be told from what a swap costs
late_*           frames for which the server had to show the last picture again, by its own count, per cent: in as long a time before, in
                 which nothing is swapped, and while it swaps
skew_*           of picture and voice, the browser's estimate as the page shows it, median of the same two times

With `--without-browser` a peer of aiortc takes the page's place, and only late_* is told: what a swap costs the server, without what the
page's own work (its shelf, its panels) takes of the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.avatar_file import load_avatar, save_avatar
from renderer.library import find_avatar
from tests.end_to_end.live_browser import existing_file, open_page, press_start
from tests.end_to_end.measure_live import server_metrics
from tests.end_to_end.measurement import RTP_TICKS_A_FRAME
from tests.server.peer import bursts, join
from tests.server.running_server import start_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from playwright.sync_api import Page

    from renderer.avatar import Avatar
    from tests.server.running_server import RunningServer

PERIOD_S = 0.6
NEAR_FRAMES = 3
SETTLING_MS = 5000
PRELOAD_MS = 8000
"""Until the shelf's other styles lie ready."""
STYLES = ("plain", "swapped")
FACE = (0.4, 0.3, 0.6, 0.6)
"""Left, top, right, bottom of what tells the styles apart, as shares of the picture."""

WATCH = """([left, top, right, bottom]) => {
  const video = document.querySelector("video"), seen = (window.__swaps = { pictures: [], requests: [] });
  const canvas = new OffscreenCanvas(8, 8), context = canvas.getContext("2d", { willReadFrequently: true });
  const look = (now, metadata) => {
    // Looking takes a moment that the picture does not: it is on the screen already.
    const shown = performance.now();
    const { videoWidth: w, videoHeight: h } = video;
    context.drawImage(video, left * w, top * h, (right - left) * w, (bottom - top) * h, 0, 0, 8, 8);
    const { data } = context.getImageData(0, 0, 8, 8);
    let [red, blue] = [0, 0];
    for (let i = 0; i < data.length; i += 4) { red += data[i]; blue += data[i + 2]; }
    seen.pictures.push([shown, metadata.rtpTimestamp, (red - blue) / 64]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}"""
REQUEST = """(name) => {
  __swaps.requests.push([performance.now(), name]);
  visavis.session.set({ avatar: name });
}"""
SKEW = "visavis.figures?.skewMs ?? null"


def save_styles(folder: Path, name: str) -> None:
    """The avatar, and the same with red and blue exchanged in its head: every pose and every sound is shared."""
    avatar = load_avatar(find_avatar(name))
    save_avatar(avatar.replace(name=STYLES[0]), folder / f"{STYLES[0]}.avatar")
    save_avatar(_exchanged(avatar).replace(name=STYLES[1]), folder / f"{STYLES[1]}.avatar")


def _exchanged(avatar: Avatar) -> Avatar:
    weight = avatar.tensors["head.colour1.weight"]
    return avatar.replace(tensors={**avatar.tensors, "head.colour1.weight": weight[[2, 1, 0]]})


@dataclass(frozen=True)
class SwapFigures:
    """What the page showed; see the module."""

    swaps: int
    swaps_seen: int
    swap_visible_p50_ms: float
    swap_visible_p95_ms: float
    swap_visible_max_ms: float
    frames_lost_near: int
    """Frames by time stamp that never reached the screen, within NEAR_FRAMES of a swap..."""
    frames_lost_elsewhere: int
    frames_near: int
    frames_elsewhere: int


def measure_swaps(pictures: Float[np.ndarray, "n 3"], requests: list[tuple[float, str]], is_second: Float[np.ndarray, " n"]) -> SwapFigures:
    """`pictures`: time shown in ms, RTP time stamp, redness; `is_second`: whether each shows the second style."""
    ticks = np.unwrap(pictures[:, 1], period=2.0**32)
    frames = np.round((ticks - ticks[0]) / RTP_TICKS_A_FRAME).astype(int)
    times_ms = pictures[:, 0]
    delays_ms, swap_frames = [], []
    ends_ms = [time for time, _ in requests[1:]] + [np.inf]
    for (asked_ms, name), end_ms in zip(requests, ends_ms, strict=True):
        wanted = name == STYLES[1]
        shown = np.flatnonzero((times_ms > asked_ms) & (times_ms < end_ms) & (is_second == wanted))
        if len(shown):
            delays_ms.append(float(times_ms[shown[0]] - asked_ms))
            swap_frames.append(int(frames[shown[0]]))
    every = np.arange(frames[0], frames[-1] + 1)
    lost = ~np.isin(every, frames)
    near = np.zeros(len(every), bool)
    for frame in swap_frames:
        near |= np.abs(every - frame) <= NEAR_FRAMES
    spread = np.percentile(delays_ms, [50, 95, 100]) if delays_ms else np.full(3, np.nan)
    return SwapFigures(
        len(requests), len(delays_ms), *(round(float(value), 1) for value in spread), int((lost & near).sum()), int((lost & ~near).sum()),
        int(near.sum()), int((~near).sum()),
    )  # fmt: skip


def main(argv: list[str]) -> int:
    """Measure once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sound", type=existing_file, help="WAV file that is the microphone")
    parser.add_argument("--swaps", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--period", type=float, default=PERIOD_S, help=f"seconds between two (default {PERIOD_S})")
    parser.add_argument("--size", type=int, help="picture size in pixels (default: the server's choice)")
    parser.add_argument("--threads", type=int, help="render threads (default: the server's choice)")
    parser.add_argument("--avatar", default="bundled", help="avatar (default bundled)")
    parser.add_argument("--fade", action="store_true", help="fade from one style to the next")
    parser.add_argument("--without-browser", action="store_true", help="a peer in the page's place: late pictures only")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        save_styles(Path(folder), options.avatar)
        chosen = {"--size": options.size, "--threads": options.threads}
        words = [word for flag, value in chosen.items() if value for word in (flag, str(value))]
        if options.without_browser:
            with start_server(Path(folder) / f"{STYLES[0]}.avatar", *words) as server:
                late = asyncio.run(run_without_browser(server, options.swaps, options.period))
            print(json.dumps(late, indent=1))
            return 0
        with start_server(Path(folder) / f"{STYLES[0]}.avatar", *words) as server, open_page(server.url, options.sound) as page:
            press_start(page)
            page.wait_for_timeout(PRELOAD_MS)
            if options.fade:
                page.evaluate("visavis.session.set({ fade: true })")
            figures = run(page, server, options.swaps, options.period)
            size = page.evaluate("document.querySelector('video').videoHeight")
    print(json.dumps({"size": size} | figures, indent=1))
    return 0


def run(page: Page, server: RunningServer, swaps: int, period_s: float) -> dict[str, Any]:
    """Record and measure on a page that is live."""
    page.evaluate(WATCH, list(FACE))
    page.wait_for_timeout(SETTLING_MS)
    late_before, skew_before = _phase(page, server, swaps, period_s, lambda index: None)
    plain = np.median([row[2] for row in page.evaluate("__swaps.pictures")])
    late_during, skew_during = _phase(page, server, swaps, period_s, lambda index: page.evaluate(REQUEST, STYLES[(index + 1) % 2]))
    raw = page.evaluate("__swaps")
    pictures = np.array(raw["pictures"], float)
    redness = pictures[:, 2]
    # Skin is redder than blue; exchanged, it is the other way round.
    second = redness < 0 if plain > 0 else redness > 0
    figures = measure_swaps(pictures, [(time, name) for time, name in raw["requests"]], second)
    return {
        "period_s": period_s,
        **dataclasses.asdict(figures),
        "late_percent_before": late_before,
        "late_percent_during": late_during,
        "skew_before_ms": skew_before,
        "skew_during_ms": skew_during,
    }


async def run_without_browser(server: RunningServer, swaps: int, period_s: float) -> dict[str, Any]:
    """Late pictures in per cent: before, while styles are swapped, and after, in as long a time each."""
    async with join(server.socket_url) as peer:
        await peer.wait_for("hello")
        answer = await peer.connect_media(bursts)
        await asyncio.sleep((PRELOAD_MS + SETTLING_MS) / 1000)
        counted = [server_metrics(server)]
        for phase in ("before", "during", "after"):
            for index in range(swaps):
                if phase == "during":
                    await peer.say(type="set", avatar=STYLES[(index + 1) % 2])
                await asyncio.sleep(period_s)
            counted.append(server_metrics(server))
        names = [message["avatar"] for message in peer.messages if message["type"] == "state"]
    late = [_late_percent(before, after) for before, after in itertools.pairwise(counted)]
    seen = sum(before != after for before, after in itertools.pairwise(names))
    figures = dict(zip(("late_percent_before", "late_percent_during", "late_percent_after"), late, strict=True))
    return {"size": answer["size"], "period_s": period_s, "swaps": swaps, "swaps_made": seen, **figures}


def _late_percent(before: dict[str, float], after: dict[str, float]) -> float:
    late, sent = (after[f"visavis_frames_{kind}_total"] - before[f"visavis_frames_{kind}_total"] for kind in ("late", "sent"))
    return round(100 * late / max(1.0, sent), 2)


def _phase(page: Page, server: RunningServer, swaps: int, period_s: float, act: Callable[[int], None]) -> tuple[float, float | None]:
    """Do something `swaps` times; late frames in per cent, and the median skew in ms."""
    skews, before = [], server_metrics(server)
    for index in range(swaps):
        act(index)
        page.wait_for_timeout(1000 * period_s)
        skews.append(page.evaluate(SKEW))
    after = server_metrics(server)
    known = [skew for skew in skews if skew is not None]
    return _late_percent(before, after), round(float(np.median(known)), 1) if known else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
