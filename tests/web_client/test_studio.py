"""The studio's panels in a real Chromium: styles, edits, view and background. Edits are real processes of a scripted command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from renderer.avatar_file import save_avatar
from renderer.images import encode_picture
from tests.renderer.synthetic_avatar import FEATURE_DIM, synthetic_avatar
from tests.server.scripted_edit import HOLD

from .conftest import EXPECT_TIMEOUT_MS, PageOpener
from .scripted_server import ScriptedServer, live_state
from .test_page import go_live, status, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

expect.set_options(timeout=EXPECT_TIMEOUT_MS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """With two styles on its shelf: "robin", and "stone", which has emotions."""
    avatar, emotional = (synthetic_avatar(small=True, size_px=64, emotional=emotional) for emotional in (False, True))
    heard = np.zeros((2 * len(avatar.pose_track), FEATURE_DIM), np.float32)
    for name, grey, kind in (("robin", 90, avatar), ("stone", 180, emotional)):
        poster = np.full((64, 64, 3), grey, np.uint8)
        save_avatar(kind.replace(name=name.title(), audio_track=heard, poster=poster), tmp_path / f"{name}.avatar")
    with ScriptedServer(shelf=tmp_path) as running:
        yield running


@pytest.fixture
def open_page(chromium: Browser, server: ScriptedServer) -> Iterator[PageOpener]:
    opener = PageOpener(chromium, server)
    yield opener
    opener.close()
    assert opener.complaints == []


def order(page: Page, instruction: str) -> Locator:
    """Ask for an edit; its place in the list."""
    page.get_by_label("Instruction").fill(instruction)
    page.get_by_role("button", name="Edit", exact=True).click()
    job = page.get_by_role("list", name="Edits").get_by_role("listitem").filter(has_text=f"“{instruction}”")
    expect(job).to_have_count(1)
    return job


def test_an_edit_shows_its_progress_and_its_style_appears_in_every_window(
    open_page: PageOpener, server: ScriptedServer, tmp_path: Path
) -> None:
    page, other = open_page(), open_page()
    hold = tmp_path / HOLD
    hold.touch()
    expect(page.get_by_role("radio", name="Robin")).to_be_checked()
    job = order(page, "make her look like a bronze statue")
    expect(job.get_by_role("progressbar")).to_be_visible()
    expect(job.get_by_role("img", name=re.compile("Preview"))).to_be_visible()
    expect(other.get_by_role("listitem").filter(has_text="bronze statue")).to_be_visible()
    hold.unlink()
    expect(job).to_contain_text("Done: robin-bronze-statue is on the shelf.")
    for window in (page, other):
        style = window.get_by_role("radio", name="robin-bronze-statue")
        expect(style).to_be_visible()
    go_live(page)
    job.get_by_role("button", name=re.compile("^Show")).click()
    server.wait_for_sent({"type": "set", "avatar": "robin-bronze-statue"})
    expect(page.get_by_role("radio", name="robin-bronze-statue")).to_be_checked()
    assert page.locator(".style .thumb").evaluate_all("images => images.slice(0, 2).every((image) => image.naturalWidth === 64)")


def test_an_edit_is_cancelled_goes_on_and_is_removed(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    job = order(page, "slow")
    expect(job.get_by_role("img")).to_be_visible()
    job.get_by_role("button", name="Cancel: slow").click()
    expect(job).to_contain_text(re.compile(r"Cancelled at \d+ %"))
    job.get_by_role("button", name="Go on: slow").click()
    expect(job).to_contain_text(re.compile("learning the head|Done"))
    if job.get_by_role("button", name="Cancel: slow").count():
        job.get_by_role("button", name="Cancel: slow").click()
        expect(job).to_contain_text("Cancelled")
    job.get_by_role("button", name="Remove: slow").click()
    expect(job).to_have_count(0)


def test_what_the_server_refuses_is_said_in_its_words(open_page: PageOpener) -> None:
    page = open_page()
    page.get_by_text("Advanced").click()
    page.get_by_label("Name").fill("robin")
    page.get_by_label("Instruction").fill("red lips")
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="there is a style, or an edit, of that name")).to_be_visible()
    page.get_by_label("Name").fill("")
    failed = order(page, "fail for the test")
    expect(failed).to_contain_text("fail for the test: one line for the user")
    expect(page.get_by_role("alert").filter(has_text="of that name")).to_be_hidden()
    assert page.evaluate("performance.getEntriesByType('navigation')[0].type") == "navigate", "the form did not reload the page"
    # A browser notes every answer of 400 and above.
    assert all("400" in text for text in open_page.complaints)
    open_page.complaints.clear()


def test_an_example_fills_the_instruction_and_advanced_settings_are_sent(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    page.get_by_role("button", name="make him look like a bronze statue").click()
    expect(page.get_by_label("Instruction")).to_have_value("make him look like a bronze statue")
    page.get_by_text("Advanced").click()
    page.get_by_label("Effort").select_option("draft")
    page.get_by_label("Method").select_option("one-time")
    page.get_by_role("spinbutton", name="Frames").fill("12")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Strength").fill("0.5")
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(page.get_by_role("list", name="Edits").get_by_role("listitem")).to_have_count(1)
    (record,) = server.edits._records.values()
    kept = {name: record.order[name] for name in ("avatar", "preset", "strategy", "frames", "rounds", "seed", "strength", "editor")}
    assert kept == {
        "avatar": "robin", "preset": "draft", "strategy": "one-time", "frames": 12, "rounds": None, "seed": 7, "strength": 0.5,
        "editor": "builtin",
    }  # fmt: skip


def test_dragging_the_wheel_and_keys_change_the_view(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    expect(page.get_by_role("application", name="Point of view")).to_be_hidden()
    go_live(page)
    table = page.get_by_role("application", name="Point of view")
    box = table.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 7, y + box["height"] / 14, steps=5)
    page.mouse.up()
    turned = {"yaw_deg": pytest.approx(10, abs=0.6), "pitch_deg": pytest.approx(5, abs=0.6), "zoom": 1}
    server.wait_for_sent({"type": "set", "view": turned})
    page.mouse.wheel(0, -300)
    wait_until(page, "Number(document.getElementById('zoom').value) > 1.4")
    page.mouse.dblclick(x, y)
    server.wait_for_sent({"type": "set", "view": {"yaw_deg": 0, "pitch_deg": 0, "zoom": 1}})
    table.focus()
    for key in ("ArrowLeft", "ArrowDown", "+"):
        page.keyboard.press(key)
    server.wait_for_sent({"type": "set", "view": {"yaw_deg": -3, "pitch_deg": 3, "zoom": pytest.approx(1.1)}})
    page.get_by_role("button", name="Front").click()
    server.wait_for_sent({"type": "set", "view": {"yaw_deg": 0, "pitch_deg": 0, "zoom": 1}})


def test_backgrounds_are_chosen_and_uploaded(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    page.get_by_role("radio", name="Green screen").check()
    server.wait_for_sent({"type": "set", "background": "#00b140"})
    expect(page.get_by_text("has no transparency")).to_be_visible()
    page.get_by_role("radio", name="Colour").check()
    page.get_by_label("Colour of the background").fill("#336699")
    server.wait_for_sent({"type": "set", "background": "#336699"})
    with page.expect_file_chooser() as chooser:
        page.get_by_role("radio", name="Picture").click()
    chooser.value.set_files(
        {"name": "wall.png", "mimeType": "image/png", "buffer": encode_picture(np.full((32, 32, 3), 60, np.uint8), "png")}
    )
    expect(page.get_by_role("radio", name="Picture")).to_be_checked()
    wait_until(page, "document.getElementById('background-hint').textContent.includes('cropped')")
    name = server.sent("set")[-1]["background"]
    assert server.backgrounds.picture(name) is not None
    page.get_by_role("radio", name="Original").check()
    server.wait_for_sent({"type": "set", "background": "original"})


def test_a_picture_that_cannot_be_read_is_refused_and_the_background_stays(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("radio", name="Picture").click()
    chooser.value.set_files({"name": "wall.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#background-hint")).to_have_text("not a picture that can be read; PNG, JPEG or WebP is wanted")
    expect(page.get_by_role("radio", name="Original")).to_be_checked()
    assert [text for text in open_page.complaints if "400" not in text] == []
    open_page.complaints.clear()


def test_wishes_outlive_a_lost_connection(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    page.get_by_role("radio", name="Green screen").check()
    page.get_by_role("checkbox", name="Fade").check()
    server.wait_for_sent({"type": "set", "fade": True})
    server.drop()
    expect(status(page)).to_have_text(re.compile("^Live again"))
    server.wait_for_sent({"type": "set", "background": "#00b140"})
    assert server.sent("set")[-2] == {"type": "set", "voice": True, "fade": True}


def emotion(category: str, strength: float) -> dict[str, object]:
    return {"type": "set", "emotion": {"category": category, "strength": strength}}


def choose_style(page: Page, server: ScriptedServer, name: str) -> None:
    page.get_by_role("radio", name=name).check()
    server.wait_for_sent({"type": "set", "avatar": name.lower()})


def test_the_dial_is_turned_by_mouse_and_by_keyboard(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    choose_style(page, server, "Stone")
    dial, strength = page.get_by_role("group", name="Emotion"), page.get_by_role("slider", name="How strongly")
    expect(dial.get_by_role("radio", name="Neutral")).to_be_checked()
    expect(strength).to_be_disabled()
    dial.get_by_role("radio", name="Happy").check()
    server.wait_for_sent(emotion("happy", 0.6))
    expect(strength).to_be_enabled()
    page.keyboard.press("ArrowRight")
    server.wait_for_sent(emotion("sad", 0.6))
    page.keyboard.press("Tab")
    expect(strength).to_be_focused()
    page.keyboard.press("End")
    server.wait_for_sent(emotion("sad", 1))
    expect(strength).to_have_attribute("aria-valuetext", "100 %")
    page.keyboard.press("ArrowLeft")
    server.wait_for_sent(emotion("sad", 0.95))
    dial.get_by_role("radio", name="Neutral").check()
    server.wait_for_sent(emotion("neutral", 0))
    expect(strength).to_be_disabled()


def test_a_dragged_strength_is_sent_at_once_and_then_at_a_measured_pace(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    choose_style(page, server, "Stone")
    page.get_by_role("radio", name="Angry").check()
    server.wait_for_sent(emotion("angry", 0.6))
    page.evaluate("""() => {
      const slider = document.getElementById("emotion-strength");
      for (let k = 1; k <= 20; k += 1) {
        slider.value = String(k / 20);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }""")
    server.wait_for_sent(emotion("angry", 1))
    assert [message["emotion"]["strength"] for message in server.sent("set")[-2:]] == [0.05, 1]


def test_the_dial_says_why_it_rests_and_keeps_its_place(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    reason = page.get_by_text("Robin shows no emotions: it was made without them.")
    expect(reason).to_be_visible()
    go_live(page)
    happy = page.get_by_role("radio", name="Happy")
    expect(happy).to_be_disabled()
    expect(page.get_by_role("switch", name="Follow my voice")).to_be_disabled()
    choose_style(page, server, "Stone")
    expect(reason).to_be_hidden()
    happy.check()
    choose_style(page, server, "Robin")
    expect(reason).to_be_visible()
    expect(happy).to_be_disabled()
    expect(happy).to_be_checked()
    choose_style(page, server, "Stone")
    expect(happy).to_be_enabled()
    expect(happy).to_be_checked()


def test_the_face_follows_the_voice_when_asked_to(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    choose_style(page, server, "Stone")
    follow = page.get_by_role("switch", name="Follow my voice")
    expect(follow).not_to_be_checked()
    expect(follow).to_have_accessible_description(re.compile("louder and higher happy"))
    page.get_by_role("radio", name="Sad").check()
    follow.focus()
    page.keyboard.press("Space")
    server.wait_for_sent({"type": "set", "emotion_auto": True})
    expect(page.get_by_role("radio", name="Sad")).to_be_disabled()
    expect(page.get_by_role("slider", name="How strongly")).to_be_disabled()
    follow.uncheck()
    server.wait_for_sent({"type": "set", "emotion_auto": False})
    expect(page.get_by_role("radio", name="Sad")).to_be_enabled()


def test_the_dial_shows_an_emotion_that_was_set_by_another_way(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    choose_style(page, server, "Stone")
    dial, strength = page.get_by_role("group", name="Emotion"), page.get_by_role("slider", name="How strongly")
    sad = {"category": "sad", "strength": 0.35}
    server.tell(live_state("stone", emotion=sad))
    expect(dial.get_by_role("radio", name="Sad")).to_be_checked()
    expect(strength).to_have_value("0.35")
    expect(strength).to_be_enabled()
    server.tell(live_state("stone", emotion=sad, emotion_auto=True))
    expect(page.get_by_role("switch", name="Follow my voice")).to_be_checked()
    expect(strength).to_be_disabled()
    server.tell(live_state("stone"))
    expect(dial.get_by_role("radio", name="Neutral")).to_be_checked()
    expect(strength).to_have_value("0.35")
    # The answer to an earlier change does not turn the dial back.
    dial.get_by_role("radio", name="Angry").check()
    server.tell(live_state("stone", loading="robin"))
    expect(status(page)).to_have_text("Robin is on the way…")
    expect(dial.get_by_role("radio", name="Angry")).to_be_checked()


def test_emotions_are_of_one_window_and_outlive_a_lost_connection(open_page: PageOpener, server: ScriptedServer) -> None:
    page, other = open_page(), open_page()
    for window in (page, other):
        go_live(window)
        choose_style(window, server, "Stone")
    page.get_by_role("radio", name="Fearful").check()
    server.wait_for_sent(emotion("fearful", 0.6))
    expect(other.get_by_role("radio", name="Neutral")).to_be_checked()
    other.close()
    page.get_by_role("switch", name="Follow my voice").check()
    server.wait_for_sent({"type": "set", "emotion_auto": True})
    server.drop()
    expect(status(page)).to_have_text(re.compile("^Live again"))
    server.wait_for_sent({"type": "set", "voice": True, "emotion": {"category": "fearful", "strength": 0.6}, "emotion_auto": True})


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_width_and_controls_are_large_enough(open_page: PageOpener, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 844})
    page.get_by_text("Advanced").click()
    expect(page.get_by_role("radio", name="Stone")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for target in page.locator("button:visible, select:visible, .text:visible, .chip, .style, summary").all():
        box = target.bounding_box()
        assert box is not None and box["height"] >= 24 and box["x"] >= 0 and box["x"] + box["width"] <= width, target
    stage, panel = page.locator("#stage").bounding_box(), page.locator("#edit-form").bounding_box()
    assert stage is not None and panel is not None
    assert (panel["x"] > stage["x"] + stage["width"]) if width == 1280 else (panel["y"] > stage["y"] + stage["height"])
