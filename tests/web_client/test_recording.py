"""The Record button in a real Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from .conftest import EXPECT_TIMEOUT_MS, PageOpener
from .test_page import go_live

if TYPE_CHECKING:
    from .scripted_server import ScriptedServer

expect.set_options(timeout=EXPECT_TIMEOUT_MS)


def test_record_shows_its_time_and_gives_the_file(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    expect(page.get_by_role("button", name="Record")).to_be_hidden()
    go_live(page)
    page.get_by_role("button", name="Record").click()
    stop = page.get_by_role("button", name="Stop recording")
    expect(stop).to_have_attribute("aria-pressed", "true")
    assert server.recording["session"] == "s1"
    server.recording["seconds"] = 72.4
    expect(page.get_by_role("timer")).to_have_text("1:12")
    stop.click()
    expect(page.get_by_text("Recorded 1:12, 2.5 MB.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "take.mp4"
    assert Path(download.value.path()).read_bytes() == b"a film"
    expect(page.get_by_role("button", name="Record")).to_be_visible()


def test_record_says_why_it_cannot_or_ended(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    server.recording_refusal = "90 MB are free on the disk of the recordings; 200 MB are needed"
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert").filter(has_text="90 MB are free")).to_be_visible()
    open_page.complaints.clear()  # the browser itself logs the refusal
    server.recording_refusal = None
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert").filter(has_text="90 MB are free")).to_be_hidden()
    server.recording |= {"state": "ended", "seconds": 61.0, "n_bytes": 1_000_000, "reason": "the disk is nearly full"}
    server.recording["file"] = "api/recordings/r1/file"
    expect(page.get_by_text("The recording ended: the disk is nearly full. Recorded 1:01, 1.0 MB.")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("button", name="Record")).to_be_hidden()
