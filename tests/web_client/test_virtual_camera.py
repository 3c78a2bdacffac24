"""The panel "Virtual camera" in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from .conftest import EXPECT_TIMEOUT_MS, PageOpener
from .test_page import go_live

if TYPE_CHECKING:
    from .scripted_server import ScriptedServer

expect.set_options(timeout=EXPECT_TIMEOUT_MS)


def test_camera_is_switched_on_for_the_live_session_and_hides_the_person_by_a_key(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    switch = page.get_by_role("switch", name="Use the avatar in other programs")
    expect(page.get_by_text("Press Start first.", exact=True)).to_be_visible()
    expect(switch).to_be_disabled()
    go_live(page)
    switch.check()
    expect(page.get_by_text("choose the camera “visavis” and the microphone “visavis microphone”")).to_be_visible()
    expect(page.get_by_text("Zoom does not see it.")).to_be_visible()
    assert server.camera["session"] == "s1"
    # Where a letter means something else it is no command.
    page.get_by_role("combobox", name="Microphone").press("p")
    assert server.camera_changes == []
    page.get_by_role("heading", name="Virtual camera").click()
    page.keyboard.press("p")
    expect(page.get_by_text("Privacy: others see a still and hear nothing.")).to_be_visible()
    privacy = page.get_by_role("button", name="Privacy")
    expect(privacy).to_have_attribute("aria-pressed", "true")
    privacy.click()
    expect(privacy).to_have_attribute("aria-pressed", "false")
    assert server.camera_changes == [{"privacy": True}, {"privacy": False}]
    switch.uncheck()
    expect(page.get_by_text("Off.", exact=True)).to_be_visible()
    expect(privacy).to_be_hidden()


def test_camera_delay_is_shown_changed_and_given_back(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    page.get_by_role("switch", name="Use the avatar in other programs").check()
    slider = page.get_by_role("slider", name="Delay of picture and voice")
    expect(slider).to_have_value("280")
    expect(page.get_by_text("280 ms", exact=True)).to_be_visible()
    automatic = page.get_by_role("button", name="Automatic")
    expect(automatic).to_be_disabled()
    slider.click(position={"x": 2, "y": 8})
    expect(page.get_by_text("200 ms", exact=True)).to_be_visible()
    expect(automatic).to_be_enabled()
    automatic.click()
    expect(page.get_by_text("280 ms", exact=True)).to_be_visible()
    assert server.camera_changes == [{"delay_ms": 200}, {"delay_ms": None}]


def test_camera_says_what_is_missing_and_is_away_where_it_cannot_be(open_page: PageOpener, server: ScriptedServer) -> None:
    server.camera |= {"reason": "the virtual camera needs pactl (sudo apt-get install pulseaudio-utils)"}
    page = open_page()
    expect(page.get_by_text("sudo apt-get install pulseaudio-utils")).to_be_visible()
    server.camera |= {"here": False}
    other = open_page()
    expect(other.get_by_role("button", name="Start")).to_be_visible()
    expect(other.get_by_role("heading", name="View and background")).to_be_visible()
    expect(other.get_by_role("heading", name="Virtual camera")).to_be_hidden()
