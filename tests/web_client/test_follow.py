"""The panel "Your camera" in a real Chromium with a fake camera, against the scripted server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

from .test_page import go_live, notice, refuse_microphone, status, wait_until

if TYPE_CHECKING:
    from .conftest import PageOpener
    from .scripted_server import ScriptedServer

NOTE_CAMERAS = """
  window.cameras = [];
  window.wishes = [];
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wish) => {
    const stream = await ask(wish);
    if (wish.video) { window.wishes.push(wish); window.cameras.push(...stream.getVideoTracks()); }
    return stream;
  };
"""
OF_THE_CAMERA = "visavis.session.peer.getTransceivers().find(({receiver}) => receiver.track.kind === 'video').sender.track"

SENT_FRAMES = """(async () => {
  for (const { type, kind, framesSent } of (await visavis.session.peer.getStats()).values())
    if (type === "outbound-rtp" && kind === "video") return framesSent > 5;
  return false;
})()"""


def open_live(open_page: PageOpener) -> Page:
    page = open_page(script=NOTE_CAMERAS)
    page.context.grant_permissions(["microphone", "camera"])
    go_live(page)
    return page


def follow(page: Page) -> Locator:
    return page.get_by_role("switch", name="Follow my camera")


def test_camera_is_off_and_not_asked_for_until_it_is_wanted(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_live(open_page)
    expect(follow(page)).not_to_be_checked()
    assert page.evaluate("cameras.length") == 0 and page.evaluate(OF_THE_CAMERA) is None
    assert not any("follow" in message for message in server.sent("set"))
    expect(page.get_by_role("button", name="This is straight ahead")).to_be_disabled()


def test_camera_is_sent_small_on_the_connection_that_stands(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_live(open_page)
    follow(page).check()
    server.wait_for_sent({"type": "set", "follow": True})
    expect(page.get_by_text("The avatar follows you.")).to_be_visible()
    assert page.evaluate("wishes") == [{"video": {"width": {"ideal": 320}, "height": {"ideal": 240}, "frameRate": {"ideal": 25, "max": 30},
                                                  "facingMode": "user"}}]  # fmt: skip
    assert page.evaluate(f"{OF_THE_CAMERA} === cameras[0]")
    wait_until(page, SENT_FRAMES)
    assert len(server.sent("offer")) == 1


def test_straight_ahead_is_said_to_the_server(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_live(open_page)
    follow(page).check()
    page.get_by_role("button", name="This is straight ahead").click()
    server.wait_for_sent({"type": "set", "straight_ahead": True})


def test_camera_is_let_go_of_when_it_is_switched_off(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_live(open_page)
    follow(page).check()
    server.wait_for_sent({"type": "set", "follow": True})
    follow(page).uncheck()
    server.wait_for_sent({"type": "set", "follow": False})
    wait_until(page, "cameras[0].readyState === 'ended'")
    assert page.evaluate(OF_THE_CAMERA) is None
    expect(page.get_by_text("The avatar follows you.")).to_have_count(0)


def test_stop_lets_go_of_the_camera_and_a_new_start_does_not_take_it_again(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_live(open_page)
    follow(page).check()
    server.wait_for_sent({"type": "set", "follow": True})
    page.get_by_role("button", name="Stop").click()
    wait_until(page, "cameras[0].readyState === 'ended'")
    expect(follow(page)).not_to_be_checked()
    go_live(page)
    assert page.evaluate("cameras.length") == 1 and "follow" not in server.sent("set")[-1]


def test_lost_connection_comes_back_with_the_camera(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_live(open_page)
    follow(page).check()
    server.wait_for_sent({"type": "set", "follow": True})
    server.drop()
    expect(status(page)).to_have_text(re.compile("^Live again"))
    assert server.sent("set")[-1]["follow"] is True
    assert page.evaluate("cameras.length") == 1 and page.evaluate(f"{OF_THE_CAMERA} === cameras[0]")
    expect(follow(page)).to_be_checked()


@pytest.mark.parametrize(
    ("error_name", "words"),
    [
        ("NotAllowedError", "The camera is not allowed"),
        ("NotFoundError", "No camera found"),
        ("NotReadableError", "The camera is in use"),
        ("TypeError", "The camera did not start"),
    ],
)
def test_camera_failure_is_explained_and_the_avatar_goes_on(
    open_page: PageOpener, server: ScriptedServer, error_name: str, words: str
) -> None:
    page = open_live(open_page)
    page.evaluate(refuse_microphone(error_name))
    follow(page).click()
    expect(page.get_by_text(words)).to_be_visible()
    expect(follow(page)).not_to_be_checked()
    expect(follow(page)).to_be_enabled()
    expect(notice(page)).to_be_hidden()
    expect(status(page)).to_have_text(re.compile("^Live"))
    assert not any("follow" in message for message in server.sent("set"))


def test_server_that_cannot_follow_says_why_and_the_camera_is_let_go_of(open_page: PageOpener, server: ScriptedServer) -> None:
    server.follow_reason = "following a camera needs mediapipe"
    page = open_live(open_page)
    expect(page.get_by_text("Not possible on this server: following a camera needs mediapipe.")).to_be_visible()
    follow(page).click()
    wait_until(page, "cameras[0]?.readyState === 'ended'")
    expect(follow(page)).not_to_be_checked()
    expect(page.get_by_text("Not possible on this server: following a camera needs mediapipe.")).to_be_visible()


def test_unplugged_camera_is_told(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_live(open_page)
    follow(page).check()
    server.wait_for_sent({"type": "set", "follow": True})
    page.evaluate("cameras[0].dispatchEvent(new Event('ended'))")
    expect(page.get_by_text("The camera went away.")).to_be_visible()
    server.wait_for_sent({"type": "set", "follow": False})
    expect(follow(page)).not_to_be_checked()


def test_before_start_the_camera_waits(open_page: PageOpener) -> None:
    page = open_page(script=NOTE_CAMERAS)
    follow(page).click()
    expect(page.get_by_text("The avatar is not live yet. Press Start first.")).to_be_visible()
    expect(follow(page)).not_to_be_checked()
    assert page.evaluate("cameras.length") == 0
