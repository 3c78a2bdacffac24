"""The emotion dial on the real page in front of the real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from renderer.avatar_file import load_avatar
from renderer.library import find_avatar
from tests.end_to_end.live_browser import find_browser, open_page, press_start
from tests.end_to_end.measure_emotion import CELLS, FACE, STYLES, WATCH, save_styles, write_silence
from tests.server.running_server import start_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

SIZE_PX = 128
SETTLING_MS, SHOWN_MS = 4000, 2000
TRIES = 20
# What a test machine's load cannot change: the face gets there, and back. How smoothly, `measure_emotion` tells.
TELLING_GREY_LEVELS = 3.0
MAX_REST_SHARE = 0.4

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")


def faces(page: Page) -> np.ndarray:
    """The last pictures: [5, CELLS, CELLS], grey."""
    cells = page.evaluate("__dial.pictures.slice(-5).map((picture) => picture[2])")
    return np.array([list(grey.encode("latin-1")) for grey in cells], float).reshape(-1, CELLS, CELLS)


def root_mean_square(difference: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(difference).mean((-2, -1)))


def face_when(page: Page, is_there: Callable[[np.ndarray], bool]) -> np.ndarray:
    """The face once `is_there` says so of it, at rest. A starved browser shows pictures seconds late."""
    for _ in range(TRIES):
        page.wait_for_timeout(SHOWN_MS)
        face: np.ndarray = faces(page).mean(0)
        if is_there(face):
            return face
    pytest.fail(f"the face did not get there within {TRIES * SHOWN_MS / 1000:g} s")


def test_the_face_goes_where_the_dial_is_turned_and_back(tmp_path: Path) -> None:
    save_styles(tmp_path, load_avatar(find_avatar("bundled")))
    sound = write_silence(tmp_path / "silence.wav")
    still = tmp_path / f"{STYLES[1]}.avatar"
    with start_server(still, "--size", str(SIZE_PX)) as server, open_page(server.url, sound) as page:
        press_start(page)
        page.wait_for_timeout(SETTLING_MS)
        page.evaluate(WATCH, [list(FACE), CELLS])
        before = face_when(page, lambda _: True)
        page.get_by_role("radio", name="Angry").check()
        page.get_by_role("slider", name="How strongly").fill("1")
        there = face_when(page, lambda face: root_mean_square(face - before) > TELLING_GREY_LEVELS)
        way = root_mean_square(there - before)
        page.get_by_role("radio", name="Neutral").check()
        # But for what the video codec makes of it.
        face_when(page, lambda face: root_mean_square(face - before) < MAX_REST_SHARE * way)
