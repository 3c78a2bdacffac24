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

SIZE_PX = 64
"""A picture of which takes a slow machine a quarter of its time, browser and all."""
SPEECH_S = 24.0
RECORDED_S = 19.0
WINDOW_MS = 5000.0
ATTEMPTS = 3
"""A machine that is busy with other work spoils a recording, up to one by which nothing can be measured; a broken pipeline spoils all. How
good it is, `measure_live` tells."""
# Beside two programs that never rest a third to two thirds of the pictures are late, the slowest 500 ms after their sound, and picture and
# voice 80 ms apart.
MAX_LATENCY_P95_MS = 1200.0
MAX_SKEW_MS = 200.0
MAX_DRIFT_MS = 150.0
MIN_FPS = 15.0
MAX_LATE_SHARE = 0.9
MIN_CORRELATION = 0.6

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")


@dataclass(frozen=True)
class Live:
    figures: LiveFigures
    late_share: float

    @property
    def shows_25_pictures_a_second(self) -> bool:
        return self.figures.decoded_fps >= MIN_FPS and self.late_share <= MAX_LATE_SHARE

    @property
    def shows_what_was_said_soon_after(self) -> bool:
        return self.figures.picture_correlation > MIN_CORRELATION and self.figures.latency_p95_ms <= MAX_LATENCY_P95_MS

    @property
    def plays_the_voice_with_the_picture(self) -> bool:
        return abs(self.figures.skew_p50_ms) <= MAX_SKEW_MS and abs(self.figures.drift_ms) <= MAX_DRIFT_MS

    @property
    def is_good(self) -> bool:
        return self.shows_25_pictures_a_second and self.shows_what_was_said_soon_after and self.plays_the_voice_with_the_picture


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
        is_last = attempt == ATTEMPTS - 1
        with open_page(server.url, sound) as page:
            before = _metrics(server)
            press_start(page)
            stolen = StolenTime()
            recording = record(page, RECORDED_S)
            stolen_percent, after = stolen.percent, _metrics(server)
        try:
            figures = measure(recording, spoken, RATE_HZ, expected, WINDOW_MS)
        except NotMeasurable as reason:
            print(reason)
            if is_last:
                raise
            continue
        late, sent = (after[name] - before[name] for name in ("visavis_frames_late_total", "visavis_frames_sent_total"))
        tried = Live(figures, late / sent)
        print(tried, f"{stolen_percent:.1f} % stolen")
        if tried.is_good or is_last:
            break
    return tried


def _metrics(server: RunningServer) -> dict[str, float]:
    with urllib.request.urlopen(server.url + "metrics", timeout=10) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_browser_shows_25_pictures_a_second(live: Live) -> None:
    assert live.shows_25_pictures_a_second, live


def test_browser_shows_what_was_said_soon_after(live: Live) -> None:
    assert live.shows_what_was_said_soon_after, live


def test_browser_plays_the_voice_with_the_picture(live: Live) -> None:
    assert live.plays_the_voice_with_the_picture, live


def test_browser_frees_its_place_when_the_page_goes(live: Live, server: RunningServer, sound: Path) -> None:
    with open_page(server.url, sound) as page:
        press_start(page)
    with open_page(server.url, sound) as page:
        press_start(page)
