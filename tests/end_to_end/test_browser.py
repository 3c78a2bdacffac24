"""The live main job in a real browser: start, speak, see and hear, stop."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.live_browser import expected_mouth, find_browser, open_page, press_start, record, save_still_avatar
from tests.end_to_end.measurement import LiveFigures, NotMeasurable, measure
from tests.end_to_end.speech import RATE_HZ, read_sound, write_speech
from tests.end_to_end.stolen_time import StolenTime
from tests.server.running_server import RunningServer, start_server

SIZE_PX = 128
SPEECH_S = 24.0
RECORDED_S = 19.0
ATTEMPTS = 3
"""Where the machine is so busy that the browser's own microphone plays its file with gaps, there is nothing to measure by; nor where its
host takes the processor away."""
MAX_STOLEN_PERCENT = 10.0
WINDOW_MS = 5000.0
# A test machine is busy with other work: these bounds tell a broken pipeline from a working one. How good it is, `measure_live` tells.
MAX_LATENCY_P95_MS = 900.0
MAX_SKEW_MS = 120.0
MIN_FPS = 15.0
MAX_LATE_SHARE = 0.5

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")


@dataclass(frozen=True)
class Live:
    figures: LiveFigures
    late_share: float


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "still.avatar"
    save_still_avatar(path)
    return path


@pytest.fixture(scope="module")
def sound(avatar: Path) -> Path:
    path = avatar.with_name("speech.wav")
    write_speech(path, SPEECH_S)
    return path


@pytest.fixture(scope="module")
def server(avatar: Path) -> Iterator[RunningServer]:
    with start_server(avatar, "--size", str(SIZE_PX)) as running:
        yield running


@pytest.fixture(scope="module")
def live(server: RunningServer, avatar: Path, sound: Path) -> Live:
    spoken, expected = read_sound(sound), expected_mouth(avatar, sound, SIZE_PX)
    for attempt in range(ATTEMPTS):
        with open_page(server.url, sound) as page:
            press_start(page)
            stolen = StolenTime()
            recording = record(page, RECORDED_S)
            stolen_percent = stolen.percent
            metrics = _metrics(server)
        is_last = attempt == ATTEMPTS - 1
        try:
            figures = measure(recording, spoken, RATE_HZ, expected, WINDOW_MS)
        except NotMeasurable as reason:
            print(reason)
            if is_last:
                raise
            continue
        print(figures, f"{stolen_percent:.1f} % stolen")
        if is_last or stolen_percent <= MAX_STOLEN_PERCENT:
            break
    return Live(figures, metrics["visavis_frames_late_total"] / metrics["visavis_frames_sent_total"])


def _metrics(server: RunningServer) -> dict[str, float]:
    with urllib.request.urlopen(server.url + "metrics", timeout=10) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_browser_shows_25_pictures_a_second(live: Live) -> None:
    assert live.figures.decoded_fps >= MIN_FPS
    assert live.late_share <= MAX_LATE_SHARE


def test_browser_shows_what_was_said_soon_after(live: Live) -> None:
    assert live.figures.picture_correlation > 0.6
    assert live.figures.latency_p95_ms <= MAX_LATENCY_P95_MS


def test_browser_plays_the_voice_with_the_picture(live: Live) -> None:
    assert abs(live.figures.skew_p50_ms) <= MAX_SKEW_MS
    assert abs(live.figures.drift_ms) <= MAX_SKEW_MS / 2


def test_browser_frees_its_place_when_the_page_goes(live: Live, server: RunningServer, sound: Path) -> None:
    with open_page(server.url, sound) as page:
        press_start(page)
    with open_page(server.url, sound) as page:
        press_start(page)
