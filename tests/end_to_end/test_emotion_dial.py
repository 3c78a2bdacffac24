"""The emotion dial on the real page in front of the real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from renderer.avatar_file import load_avatar
from renderer.library import find_avatar
from tests.end_to_end.live_browser import find_browser, open_page, press_start
from tests.end_to_end.measure_emotion import CELLS, FACE, STYLES, WATCH, save_styles, with_emotions_by_hand, write_silence
from tests.server.running_server import start_server

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

SIZE_PX = 128
SETTLING_MS, SHOWN_MS = 4000, 3000
# What a test machine's load cannot change: the face gets there, by more than one step, and back.
TELLING_GREY_LEVELS = 3.0
MAX_STEP_SHARE, MAX_REST_SHARE = 0.7, 0.4

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")


def faces(page: Page) -> np.ndarray:
    """All pictures so far, oldest first: [n, CELLS, CELLS], grey."""
    cells = page.evaluate("__dial.pictures.map((picture) => picture[2])")
    return np.array([list(grey.encode("latin-1")) for grey in cells], float).reshape(-1, CELLS, CELLS)


def root_mean_square(difference: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(difference).mean((-2, -1)))


def test_the_face_goes_where_the_dial_is_turned_and_back(tmp_path: Path) -> None:
    save_styles(tmp_path, with_emotions_by_hand(load_avatar(find_avatar("bundled"))))
    sound = write_silence(tmp_path / "silence.wav")
    still = tmp_path / f"{STYLES[1]}.avatar"
    with start_server(still, "--size", str(SIZE_PX)) as server, open_page(server.url, sound) as page:
        press_start(page)
        page.wait_for_timeout(SETTLING_MS)
        page.evaluate(WATCH, [list(FACE), CELLS])
        page.wait_for_timeout(SHOWN_MS)
        n_before = len(faces(page))
        page.get_by_role("radio", name="Happy").check()
        page.get_by_role("slider", name="How strongly").fill("1")
        page.wait_for_timeout(SHOWN_MS)
        n_there = len(faces(page))
        page.get_by_role("radio", name="Neutral").check()
        page.wait_for_timeout(SHOWN_MS)
        seen = faces(page)
    before, there, after = seen[:n_before][-5:].mean(0), seen[:n_there][-5:].mean(0), seen[-5:].mean(0)
    way = root_mean_square(there - before)
    assert way > TELLING_GREY_LEVELS
    assert root_mean_square(after - before) < MAX_REST_SHARE * way, "but for what the video codec makes of it"
    assert root_mean_square(np.diff(seen[n_before - 1 : n_there], axis=0)).max() < MAX_STEP_SHARE * way
