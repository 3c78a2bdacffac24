"""The page in a real Chromium against the scripted server: what a user sees, hears and can press."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import EXPECT_TIMEOUT_MS, PageOpener
from .scripted_server import FPS, PICTURE_PX, PIPELINE_LATENCY_MS, ScriptedServer, live_state

expect.set_options(timeout=EXPECT_TIMEOUT_MS)

POLL_MS = 50

COUNT_MICROPHONES = """
  window.asked = 0;
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wishes) => { window.asked += 1; return ask(wishes); };
"""


def refuse_microphone(error_name: str) -> str:
    return f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{error_name}'); }}; 0"


def wait_until(page: Page, condition: str) -> None:
    """Asks again and again whether a JavaScript expression is true. The page's security policy forbids `wait_for_function`'s way."""
    for _ in range(EXPECT_TIMEOUT_MS // POLL_MS):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(POLL_MS)
    raise AssertionError(f"never true: {condition}")


def start_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("start", re.IGNORECASE))


def status(page: Page) -> Locator:
    return page.get_by_role("status")


def notice(page: Page) -> Locator:
    return page.get_by_role("alert")


def go_live(page: Page) -> None:
    start_button(page).click()
    expect(status(page)).to_have_text(re.compile("^Live"))


def test_start_shows_the_avatar_with_sound_in_one_video(open_page: PageOpener) -> None:
    page = open_page()
    go_live(page)
    video = page.evaluate("""() => {
      const video = document.querySelector('video');
      return {width: video.videoWidth, paused: video.paused, muted: video.muted,
              kinds: video.srcObject.getTracks().map((track) => track.kind).sort(),
              targets: visavis.session.peer.getReceivers().map((receiver) => receiver.jitterBufferTarget)};
    }""")
    assert video == {"width": PICTURE_PX, "paused": False, "muted": False, "kinds": ["audio", "video"], "targets": [0, 0]}


def test_microphone_is_asked_for_on_the_click_with_echo_cancelled(open_page: PageOpener) -> None:
    page = open_page(script=COUNT_MICROPHONES)
    assert page.evaluate("asked") == 0
    go_live(page)
    assert page.evaluate("asked") == 1
    used = page.evaluate("visavis.microphone.track.getSettings()")
    assert (used["echoCancellation"], used["noiseSuppression"], used["autoGainControl"]) == (True, True, True)


def test_stop_says_bye_and_lets_go_of_the_microphone(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    page.evaluate("window.track = visavis.microphone.track")
    page.get_by_role("button", name="Stop").click()
    expect(status(page)).to_have_text(re.compile("Press Start"))
    expect(start_button(page)).to_be_visible()
    assert page.evaluate("track.readyState") == "ended"
    assert page.evaluate("visavis.session.peer") is None
    server.wait_for_sent({"type": "bye"})
    assert page.locator("#stage").get_attribute("data-picture") == "poster"


def test_stop_and_start_again_work(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    for _ in range(2):
        go_live(page)
        page.get_by_role("button", name="Stop").click()
    assert len(server.sent("offer")) == 2


def test_offer_carries_the_token_and_all_candidates(open_page: PageOpener, server: ScriptedServer) -> None:
    go_live(open_page("?token=s3cret"))
    offer = server.sent("offer")[0]
    assert offer["token"] == "s3cret"
    assert offer["avatar"] is None and offer["size"] is None
    assert "a=candidate:" in offer["sdp"]


def test_figures_appear_and_vanish(open_page: PageOpener) -> None:
    page = open_page()
    figure = {name: page.locator(f"#figure-{name}") for name in ("fps", "latency", "skew")}
    for place in figure.values():
        expect(place).to_have_text("–")
    go_live(page)
    expect(figure["skew"]).to_have_text(re.compile(r"^([+−]?\d+ ms|over 2 s)$"))
    page.wait_for_timeout(1500)
    # Bounds that hold on a machine with other work too; the sums themselves are tested in pure_modules.test.mjs.
    assert 0 < float(figure["fps"].inner_text()) < 2 * FPS
    expect(figure["latency"]).to_have_text(re.compile(r"^\d+ ms$"))
    assert float(figure["latency"].inner_text().removesuffix(" ms")) > PIPELINE_LATENCY_MS
    page.get_by_role("button", name="Stop").click()
    for place in figure.values():
        expect(place).to_have_text("–")


def test_level_meter_follows_the_microphone(open_page: PageOpener) -> None:
    page = open_page()
    meter = page.get_by_role("meter", name="Microphone level")
    assert meter.get_attribute("aria-valuenow") == "0"
    go_live(page)
    wait_until(page, "document.getElementById('meter').style.getPropertyValue('--level') > 0.3")  # it beeps once a second
    page.get_by_role("button", name="Stop").click()
    expect(meter).to_have_attribute("aria-valuenow", "0")


def test_keyboard_alone_starts_and_stops(open_page: PageOpener) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(start_button(page)).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(status(page)).to_have_text(re.compile("^Live"))
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Space")
    expect(start_button(page)).to_be_focused()
    for role, name in (("combobox", "Microphone"), ("switch", "Hear my delayed voice")):
        page.keyboard.press("Tab")
        expect(page.get_by_role(role, name=name)).to_be_focused()  # type: ignore[arg-type]


def test_landmarks_and_names_are_there_for_screen_readers(open_page: PageOpener) -> None:
    page = open_page()
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    for region in ("Avatar", "Settings", "Live figures"):
        expect(page.get_by_role("region", name=region)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_text("visavis")
    expect(page.get_by_role("switch", name="Hear my delayed voice")).to_have_accessible_description(re.compile("headphones"))
    assert page.evaluate("document.documentElement.lang") == "en"


# Settings


def test_voice_switch_silences_here_and_at_the_server(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    page.get_by_role("switch", name="Hear my delayed voice").uncheck()
    server.wait_for_sent({"type": "set", "voice": False})
    assert page.evaluate("document.querySelector('video').muted") is True
    page.get_by_role("switch", name="Hear my delayed voice").check()
    server.wait_for_sent({"type": "set", "voice": True})
    assert page.evaluate("document.querySelector('video').muted") is False


def test_settings_are_remembered(open_page: PageOpener, server: ScriptedServer) -> None:
    server.avatars.append({"name": "marble", "title": "Marble", "subject": "synthetic"})
    page = open_page()
    page.get_by_role("switch", name="Hear my delayed voice").uncheck()
    page.get_by_role("radio", name="Marble").check()
    again = open_page(context=page.context)
    expect(again.get_by_role("switch", name="Hear my delayed voice")).not_to_be_checked()
    expect(again.get_by_role("radio", name="Marble")).to_be_checked()
    go_live(again)
    assert server.sent("offer")[0]["avatar"] == "marble"
    assert server.sent("set")[0]["voice"] is False


def test_microphone_can_be_changed_while_live(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    choice = page.get_by_role("combobox", name="Microphone")
    names = choice.locator("option").all_inner_texts()
    assert len(names) >= 2 and all(names)
    page.evaluate("window.before = visavis.microphone.track")
    choice.select_option(names[-1])
    wait_until(page, "visavis.microphone.track && visavis.microphone.track !== before")
    wait_until(page, "visavis.session.peer.getSenders()[0].track === visavis.microphone.track")
    assert page.evaluate("[before.readyState, visavis.microphone.track.readyState]") == ["ended", "live"]
    assert page.evaluate("visavis.microphone.deviceId") == choice.input_value()
    assert len(server.sent("offer")) == 1


def test_unplugged_microphone_is_replaced_by_another(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page(script=COUNT_MICROPHONES)
    go_live(page)
    page.evaluate("visavis.microphone.track.dispatchEvent(new Event('ended'))")
    wait_until(page, "asked === 2 && visavis.session.peer.getSenders()[0].track === visavis.microphone.track")
    assert len(server.sent("offer")) == 1


def test_unplugged_only_microphone_ends_the_session_with_the_reason(open_page: PageOpener) -> None:
    page = open_page()
    go_live(page)
    page.evaluate(refuse_microphone("NotFoundError"))
    page.evaluate("visavis.microphone.track.dispatchEvent(new Event('ended'))")
    expect(notice(page)).to_contain_text("went away")
    assert page.evaluate("visavis.session.phase") == "idle"


def test_avatar_picker_appears_with_a_choice_and_swaps_live(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    expect(page.get_by_role("group", name="Avatar")).to_be_hidden()
    server.avatars.append({"name": "marble", "title": "Marble", "subject": "synthetic"})
    page.reload()
    expect(page.get_by_role("radio", name="Presenter")).to_be_checked()
    go_live(page)
    page.get_by_role("radio", name="Marble").check()
    server.wait_for_sent({"type": "set", "avatar": "marble"})
    server.tell(live_state("presenter", loading="marble"))
    expect(status(page)).to_have_text("Marble is on the way…")
    expect(page.get_by_role("radio", name="Marble")).to_be_checked()
    server.tell({"type": "error", "code": "unknown_avatar", "message": "no avatar named marble"})
    expect(status(page)).to_have_text(re.compile("not here any more"))
    assert page.evaluate("visavis.session.phase") == "live"


def test_detail_slider_shows_only_where_the_avatar_has_a_refiner(open_page: PageOpener, server: ScriptedServer) -> None:
    server.avatars.append({"name": "marble", "title": "Marble", "subject": "synthetic", "refiner": True})
    page = open_page()
    slider = page.get_by_role("slider", name="Detail")
    expect(slider).to_be_hidden()
    page.get_by_role("radio", name="Marble").check()
    expect(slider).to_be_visible()
    go_live(page)
    expect(slider).to_be_visible()
    page.get_by_role("radio", name="Presenter").check()
    expect(slider).to_be_hidden()


def test_detail_slider_sets_omega_live_and_is_remembered(open_page: PageOpener, server: ScriptedServer) -> None:
    server.avatars[0]["refiner"] = True
    page = open_page()
    go_live(page)
    slider = page.get_by_role("slider", name="Detail")
    expect(slider).to_have_value("0.8")
    slider.focus()
    page.keyboard.press("ArrowRight")
    server.wait_for_sent({"type": "set", "omega": 0.85})
    server.tell(live_state("presenter", omega=0.4))
    expect(slider).to_have_value("0.4")
    again = open_page(context=page.context)
    expect(again.get_by_role("slider", name="Detail")).to_have_value("0.85")
    go_live(again)
    server.wait_for_sent({"type": "set", "voice": True, "omega": 0.85})


# Failures


@pytest.mark.parametrize(
    ("error_name", "words"),
    [("NotFoundError", "No microphone found"), ("NotReadableError", "in use"), ("TypeError", "did not start")],
)
def test_microphone_failure_is_explained(open_page: PageOpener, error_name: str, words: str) -> None:
    page = open_page(script=refuse_microphone(error_name))
    start_button(page).click()
    expect(notice(page)).to_contain_text(words)
    expect(notice(page).get_by_role("button", name="Try again")).to_be_visible()


def test_refused_microphone_is_explained_and_can_be_tried_again(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page(microphone=False)
    start_button(page).click()
    expect(notice(page)).to_contain_text("The microphone is not allowed")
    expect(start_button(page)).to_be_visible()
    assert server.connections == 0
    page.context.grant_permissions(["microphone"])
    page.get_by_role("button", name="Try again").click()
    expect(status(page)).to_have_text(re.compile("^Live"))
    expect(notice(page)).to_be_hidden()
    expect(page.get_by_role("button", name="Stop")).to_be_focused()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("Object.defineProperty(window, 'isSecureContext', {value: false})", "https"),
        ("delete window.RTCPeerConnection", "WebRTC"),
    ],
)
def test_browser_that_cannot_is_told_at_once(open_page: PageOpener, script: str, words: str) -> None:
    page = open_page(script=script)
    expect(notice(page)).to_contain_text(words)
    start_button(page).click()
    expect(notice(page)).to_contain_text(words)


def test_busy_server_is_waited_for(open_page: PageOpener, server: ScriptedServer) -> None:
    server.mode = "busy"
    page = open_page()
    start_button(page).click()
    expect(notice(page)).to_contain_text("All seats are taken")
    expect(notice(page)).to_contain_text(re.compile(r"Next try in [1-5] s"))
    expect(status(page)).to_have_text("Waiting for a free seat.")
    server.mode = "serve"
    expect(status(page)).to_have_text(re.compile(r"^Live\. "))
    expect(notice(page)).to_be_hidden()


def test_waiting_ends_with_stop(open_page: PageOpener, server: ScriptedServer) -> None:
    server.mode = "busy"
    page = open_page()
    start_button(page).click()
    expect(notice(page)).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(notice(page)).to_be_hidden()
    assert page.evaluate("visavis.microphone.track") is None


def test_lost_connection_comes_back_with_microphone_and_settings(open_page: PageOpener, server: ScriptedServer) -> None:
    server.avatars.append({"name": "marble", "title": "Marble", "subject": "synthetic"})
    page = open_page(script=COUNT_MICROPHONES)
    go_live(page)
    page.get_by_role("switch", name="Hear my delayed voice").uncheck()
    page.get_by_role("radio", name="Marble").check()
    server.mode = "busy"  # holds the page in its waiting state long enough to look at it
    server.drop()
    expect(notice(page)).to_be_visible()
    assert page.locator("#stage").get_attribute("data-picture") == "still"
    corner = page.evaluate("[...document.getElementById('still').getContext('2d').getImageData(5, 5, 1, 1).data]")
    assert min(corner[:3]) > 50, "the last picture stays on screen"
    expect(notice(page)).to_contain_text("All seats are taken")
    server.mode = "serve"
    page.get_by_role("button", name="Try now").click()
    expect(status(page)).to_have_text(re.compile("^Live again"))
    expect(notice(page)).to_be_hidden()
    assert page.evaluate("asked") == 1
    assert server.sent("offer")[-1]["avatar"] == "marble"
    assert server.sent("set")[-1]["voice"] is False
    wait_until(page, "visavis.figures?.fps > 0")


UNREACHABLE_SERVER = """
  window.RealSocket = WebSocket;
  window.tries = 0;
  window.WebSocket = function () { window.tries += 1; return new RealSocket('ws://127.0.0.1:1/'); };
"""


def test_server_that_goes_away_is_named_and_found_again(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page()
    go_live(page)
    page.evaluate(f"() => {{ {UNREACHABLE_SERVER} }}")
    page.route("**/api/avatars", lambda route: route.abort())
    server.drop()
    expect(notice(page)).to_contain_text("The server was stopped")
    wait_until(page, "tries >= 2")
    expect(notice(page)).to_contain_text("The server was stopped")
    page.evaluate("window.WebSocket = RealSocket; 0")
    expect(status(page)).to_have_text(re.compile("^Live again"))
    open_page.complaints.clear()  # the browser itself logs each refused connection


def test_server_that_never_answers_is_tried_again(open_page: PageOpener) -> None:
    page = open_page(script=UNREACHABLE_SERVER)
    page.route("**/api/avatars", lambda route: route.abort())
    start_button(page).click()
    expect(notice(page)).to_contain_text("The server does not answer")
    wait_until(page, "tries >= 2")
    expect(status(page)).to_have_text("Not connected. Trying again.")
    page.get_by_role("button", name="Stop").click()
    page.wait_for_timeout(200)  # what the last try has to complain about
    open_page.complaints.clear()


LESS_PATIENCE = "const set = window.setTimeout; window.setTimeout = (work, ms, ...more) => set(work, ms === 12000 ? 1500 : ms, ...more);"
CLOSED_RELAY = {"urls": "turn:127.0.0.1:9?transport=tcp", "username": "a", "credential": "b"}


def test_connection_that_finds_no_way_says_so_and_is_tried_again(open_page: PageOpener, server: ScriptedServer) -> None:
    server.mode = "no_way"
    page = open_page(script=LESS_PATIENCE)
    start_button(page).click()
    expect(notice(page)).to_contain_text("Picture and sound do not get through")
    expect(notice(page)).to_contain_text("lets no UDP pass")
    server.mode = "serve"
    notice(page).get_by_role("button", name="Try now").click()
    expect(status(page)).to_have_text(re.compile("^Live"))


def test_relay_that_does_not_answer_is_named(open_page: PageOpener, server: ScriptedServer) -> None:
    server.mode, server.ice_servers = "no_way", [CLOSED_RELAY]
    page = open_page(script=LESS_PATIENCE)
    start_button(page).click()
    expect(notice(page)).to_contain_text("The relay does not answer")


def test_server_without_a_free_port_is_named(open_page: PageOpener, server: ScriptedServer) -> None:
    server.mode = "no_ports"
    page = open_page()
    start_button(page).click()
    expect(notice(page)).to_contain_text("The server has no free port for you")


def test_ice_servers_of_the_server_are_used(open_page: PageOpener, server: ScriptedServer) -> None:
    server.ice_servers = [{"urls": "stun:127.0.0.1:9", "username": None, "credential": None}, CLOSED_RELAY]
    page = open_page()
    go_live(page)
    assert page.evaluate("visavis.session.peer.getConfiguration().iceServers.map((server) => [server.urls, server.username])") == [
        [["stun:127.0.0.1:9"], ""],
        [["turn:127.0.0.1:9?transport=tcp"], "a"],
    ]
    expect(page.locator("video")).to_be_visible()


FASTER_PINGS = "const set = setInterval; window.setInterval = (work, ms) => set(work, ms >= 2000 ? ms / 5 : ms);"


def test_pictures_that_stop_coming_are_noticed(open_page: PageOpener) -> None:
    page = open_page()
    go_live(page)
    page.evaluate("RTCPeerConnection.prototype.getStats = async () => new Map(); 0")
    expect(notice(page)).to_contain_text("The picture stood still")


def test_server_that_falls_silent_is_noticed(open_page: PageOpener, server: ScriptedServer) -> None:
    page = open_page(script=FASTER_PINGS)
    go_live(page)
    server.is_mute = True
    expect(notice(page)).to_contain_text("The connection was lost")


def test_wrong_token_is_told_at_once(open_page: PageOpener, server: ScriptedServer) -> None:
    server.mode = "unauthorised"
    page = open_page()
    expect(notice(page)).to_contain_text("token")
    start_button(page).click()
    expect(notice(page)).to_contain_text("token")
    expect(start_button(page)).to_be_visible()
    assert page.evaluate("visavis.microphone.track") is None
    open_page.complaints.clear()  # the browser itself logs 401 and 403


def test_rejected_offer_is_final(open_page: PageOpener, server: ScriptedServer) -> None:
    server.mode = "bad_sdp"
    page = open_page()
    start_button(page).click()
    expect(notice(page)).to_contain_text("no common video")
    assert page.evaluate("visavis.session.phase") == "failed"
    assert page.evaluate("visavis.microphone.track") is None


def test_blocked_autoplay_asks_for_a_press(open_page: PageOpener) -> None:
    page = open_page(
        script="""
      const play = HTMLMediaElement.prototype.play;
      HTMLMediaElement.prototype.play = function () {
        HTMLMediaElement.prototype.play = play;
        return Promise.reject(new DOMException('', 'NotAllowedError'));
      };"""
    )
    start_button(page).click()
    page.get_by_role("button", name="Play").click()
    expect(notice(page)).to_be_hidden()
    expect(status(page)).to_have_text(re.compile("^Live"))


# Looks


def test_nothing_moves_when_the_session_starts(open_page: PageOpener) -> None:
    page = open_page()
    places = ("#stage", "#toggle", "#microphone", "#voice", "#figure-fps", "footer")

    def tops() -> list[float]:
        return [page.locator(place).bounding_box()["y"] for place in places]  # type: ignore[index]

    before = tops()
    go_live(page)
    assert tops() == before


@pytest.mark.parametrize("microphone", [True, False])
def test_phone_width_has_no_sideways_scroll(open_page: PageOpener, server: ScriptedServer, microphone: bool) -> None:
    server.avatars += [{"name": f"style-{k}", "title": f"A rather long style name {k}", "subject": "synthetic"} for k in range(4)]
    page = open_page(microphone=microphone, viewport={"width": 360, "height": 640})
    start_button(page).click()
    expect(status(page)).to_have_text(re.compile("^Live" if microphone else "Not connected"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for target in page.locator("button:visible, select:visible, .switch, .chip, .style").all():
        box = target.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360
        assert box["height"] >= 24  # WCAG 2.2, target size


def test_dark_and_light_differ(open_page: PageOpener) -> None:
    grounds = [
        open_page(color_scheme=scheme).evaluate("getComputedStyle(document.documentElement).backgroundColor")
        for scheme in ("dark", "light")
    ]
    dark, light = ([int(channel) for channel in re.findall(r"\d+", ground)[:3]] for ground in grounds)
    assert max(dark) < 60 and min(light) > 200


def test_reduced_motion_stops_every_transition(open_page: PageOpener) -> None:
    page = open_page(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.querySelector('video')).transitionDuration") == "0s"
