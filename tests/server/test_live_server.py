"""The whole server in its own process, spoken to as the page does."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from websockets.exceptions import InvalidStatus

from renderer.images import encode_picture
from tests.server.peer import RATE_HZ, Peer, bursts, join

if TYPE_CHECKING:
    from tests.server.running_server import RunningServer


def health(server: RunningServer) -> dict[str, object]:
    with urllib.request.urlopen(server.url + "healthz", timeout=10) as response:
        return dict(json.load(response))


async def wait_for_free_place(server: RunningServer) -> None:
    deadline_s = time.monotonic() + 20
    while health(server)["sessions"]:
        assert time.monotonic() < deadline_s, "the place did not become free"
        await asyncio.sleep(0.1)


async def test_server_answers_an_offer_with_picture_and_voice(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        hello = await peer.wait_for("hello")
        assert hello["default_avatar"] == "first"
        assert [avatar["name"] for avatar in hello["avatars"]] == ["first", "second"], "the foreign one cannot be shown"
        assert not hello["busy"]
        answer = await peer.connect_media(bursts)
        assert answer["size"] == hello["size"] == 64
        await peer.until(lambda: len(peer.pictures) >= 75 and len(peer.voice) >= 150, "3 s of media")
        arrivals_s, stamps = np.array(peer.pictures[10:]).T
        assert (np.diff(stamps) % 3600 == 0).all(), "frames stand at multiples of 1/25 s"
        assert np.ptp(stamps) / 90_000 == pytest.approx(np.ptp(arrivals_s), abs=0.3), "and go as fast as time"
        stats = await peer.wait_for("stats")
        assert set(stats) == {"type", "fps", "late_percent", "latency_ms", "queue", "render_ms", "audio_level"}
        sound = np.concatenate([samples for _, samples in peer.voice]).astype(float)
        level = np.abs(sound).reshape(-1, 960).max(1)
        assert level.max() > 6000, "the voice comes back"
        assert (level < 300).any(), "and its pauses"
    await wait_for_free_place(running)


async def test_server_returns_the_voice_after_exactly_the_latency(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        answer = await peer.connect_media(bursts)
        await peer.until(lambda: len(_onsets(peer)) >= 4, "four bursts of the voice")
        delays_ms = 1000 * (_onsets(peer) % 1.0)
        # This microphone sends a packet at its beginning, 20 ms early; the receiving client holds up to 80 ms back.
        extra_ms = delays_ms[1:].min() - answer["latency_ms"]
        # A busy machine adds to it; a voice that leaves at once, or twice as late, is what this must see.
        assert -40 < extra_ms < min(400.0, answer["latency_ms"]), delays_ms
    await wait_for_free_place(running)


def _onsets(peer: Peer) -> np.ndarray:
    """Times of arrival of the bursts' beginnings, in s since the microphone started."""
    onsets, loud_before = [], True
    for arrival_s, samples in peer.voice:
        is_loud = bool(np.abs(samples).max() > 6000)
        if is_loud and not loud_before:
            first = int(np.argmax(np.abs(samples) > 3000))
            onsets.append(arrival_s - peer.microphone.start_s + first / RATE_HZ)
        loud_before = is_loud
    return np.array(onsets)


async def test_server_is_busy_for_a_second_client_and_free_again_when_the_first_vanishes(running: RunningServer) -> None:
    async with join(running.socket_url) as first:
        await first.wait_for("hello")
        await first.connect_media()
        async with join(running.socket_url) as second:
            assert (await second.wait_for("hello"))["busy"]
            await second.offer()
            error = await second.wait_for("error", code="busy")
            assert "1 place" in error["message"]
        await first.vanish()
    await wait_for_free_place(running)
    async with join(running.socket_url) as third:
        assert not (await third.wait_for("hello"))["busy"]
        await third.connect_media()
    await wait_for_free_place(running)


async def test_server_notices_a_client_whose_media_end(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        await peer.connect_media()
        assert peer.connection is not None
        await peer.connection.close()
        error = await peer.wait_for("error", code="internal")
        assert "lost" in error["message"]
        await wait_for_free_place(running)


async def test_server_keeps_the_socket_open_after_a_wrong_message(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        for text in ("{", "[]", '{"type":"dance"}', '{"type":"ping"}', '{"type":"set","smoothing":7}', '{"type":"set","voice":true}'):
            seen = len(peer.messages)
            await peer.socket.send(text)
            await peer.wait_for("error", after=seen, code="bad_message")
        await peer.socket.send(b"\xff\xfe")
        await peer.say(type="ping", t=4.5)
        assert (await peer.wait_for("pong"))["t"] == 4.5


async def test_server_refuses_a_broken_offer_and_takes_the_next(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        audio_only = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"
        for sdp in ("nonsense", "v=0\r\n", audio_only, audio_only.replace("audio", "video"), "m=video\r\n" * 9):
            seen = len(peer.messages)
            await peer.say(type="offer", sdp=sdp)
            await peer.wait_for("error", after=seen, code="bad_sdp")
        await peer.say(type="offer", sdp="v=0", avatar="nobody")
        assert "first, second" in (await peer.wait_for("error", code="unknown_avatar"))["message"]
        await peer.connect_media()
    await wait_for_free_place(running)


async def test_server_changes_avatar_voice_smoothing_and_omega_over_the_data_channel(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        await peer.connect_media(bursts, channel=True)
        await peer.until(lambda: peer.channel.readyState == "open", "the data channel")
        peer.channel.send(json.dumps({"type": "ping", "t": 1.0}))
        peer.channel.send(json.dumps({"type": "set", "avatar": "second", "voice": False, "smoothing": 0.5, "omega": 0.3}))
        peer.channel.send("{")
        peer.channel.send(json.dumps({"type": "bye"}))
        state = await peer.wait_for("state", avatar="second", loading=None)
        assert (state["voice"], state["smoothing"], state["omega"]) == (False, 0.5, 0.3)
        await peer.until(lambda: len(peer.channel_messages) >= 3, "replies over the channel")
        assert peer.channel_messages[0] == {"type": "pong", "t": 1.0}
        assert [message["code"] for message in peer.channel_messages[1:]] == ["bad_message", "bad_message"]
        heard = len(peer.voice)
        await peer.until(lambda: len(peer.voice) >= heard + 120, "2.4 s of silence")
        quiet = np.concatenate([samples for _, samples in peer.voice[heard + 30 :]])
        assert np.abs(quiet).max() < 300
        seen = len(peer.messages)
        peer.channel.send(json.dumps({"type": "set", "avatar": "foreign"}))
        await peer.until(lambda: peer.channel_messages[-1].get("code") == "unknown_avatar", "the refusal")
        await peer.say(type="set", voice=True)
        await peer.wait_for("state", after=seen, voice=True, avatar="second")
    await wait_for_free_place(running)


async def test_server_goes_on_when_the_microphone_stops(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        await peer.connect_media(bursts)
        await peer.until(lambda: len(peer.voice) >= 100, "2 s of voice")
        peer.microphone.pause.clear()
        stamp_before, seen = peer.pictures[-1][1], len(peer.messages)
        await asyncio.sleep(3.0)
        assert (peer.pictures[-1][1] - stamp_before) / 90_000 > 2.0, "the avatar idles on"
        stats = [message for message in peer.messages[seen:] if message["type"] == "stats"]
        assert stats[-1]["audio_level"] < 0.02
        peer.microphone.pause.set()
        heard = len(peer.voice)
        await peer.until(lambda: any(np.abs(s).max() > 6000 for _, s in peer.voice[heard + 50 :]), "the voice again")
    await wait_for_free_place(running)


async def test_server_refuses_a_second_offer_on_one_socket(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        await peer.connect_media()
        await peer.say(type="offer", sdp="v=0")
        refusal = await peer.wait_for("error", code="bad_message")
        assert refusal["message"] == "this socket has a session; say bye to it first"
        await peer.say(type="bye")
        await wait_for_free_place(running)


async def test_server_refuses_a_page_of_another_origin(running: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with join(running.socket_url, origin="https://example.org"):
            pass
    assert refused.value.response.status_code == 403
    own = running.url.rstrip("/")
    async with join(running.socket_url, origin=own) as peer:
        await peer.wait_for("hello")


def test_server_starts_one_worker_and_no_more(running: RunningServer) -> None:
    names = [process.name() for process in running.processes()]
    assert len(names) == 2, names
    assert all(psutil.pid_exists(process.pid) for process in running.processes())


def post(server: RunningServer, path: str, data: bytes, **headers: str) -> dict[str, str]:
    request = urllib.request.Request(server.url + path, data, headers, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return dict(json.load(answer))


async def test_server_puts_colours_and_pictures_behind_the_avatar(running: RunningServer) -> None:
    picture = np.zeros((40, 90, 3), np.uint8)
    picture[:, 25:65] = (200, 30, 30)
    uploaded = await asyncio.to_thread(post, running, "api/backgrounds", encode_picture(picture, "png"))
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        await peer.connect_media()
        own = peer.corner()
        for background, colour in (("#00b140", (0, 177, 64)), (uploaded["id"], (200, 30, 30))):
            await peer.say(type="set", background=background)
            await peer.wait_for("state", background=background)
            await peer.until(lambda c=colour: bool(np.abs(peer.corner() - c).max() < 30), f"{background} in the corner")  # type: ignore[misc]
        before = len(peer.messages)
        await peer.say(type="set", background="picture-of-nobody", voice=False)
        refused = await peer.wait_for("error", after=before)
        assert refused["code"] == "unknown_background" and "'picture-of-nobody'" in refused["message"]
        await peer.say(type="set", background="original")
        state = await peer.wait_for("state", background="original", after=before)
        assert state["voice"] is True, "what came with a wrong background was not done either"
        await peer.until(lambda: bool(np.abs(peer.corner() - own).max() < 30), "the avatar's own background")
    await wait_for_free_place(running)


async def test_server_keeps_the_emotion_for_an_avatar_that_has_some(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        hello = await peer.wait_for("hello")
        assert [avatar["emotional"] for avatar in hello["avatars"]] == [False, True]
        await peer.connect_media()
        state = await peer.wait_for("state")
        assert (state["emotion"], state["emotion_auto"], state["emotional"]) == ({"category": "neutral", "strength": 0.0}, False, False)
        angry = {"category": "angry", "strength": 1.0}
        await peer.say(type="set", emotion=angry)
        assert (await peer.wait_for("state", emotion=angry))["emotional"] is False
        await peer.say(type="set", avatar="second")
        assert (await peer.wait_for("state", avatar="second", loading=None, emotional=True))["emotion"] == angry
        before = len(peer.messages)
        for wrong, words in (
            ({"emotion": {"category": "bored", "strength": 1}}, "'neutral', 'angry', 'fearful', 'happy' or 'sad'"),
            ({"emotion": {"category": "sad", "strength": 2}}, "less than or equal to 1"),
            ({"emotion_auto": "loud"}, "boolean"),
        ):
            await peer.say(type="set", **wrong)
            refused = await peer.wait_for("error", after=before)
            assert refused["code"] == "bad_message" and words in refused["message"]
            before = len(peer.messages)
        await peer.say(type="set", emotion_auto=True)
        assert (await peer.wait_for("state", after=before, emotion_auto=True))["emotion"] == angry, "the dial stays where it was"
        shown = len(peer.pictures)
        await peer.until(lambda: len(peer.pictures) > shown + 10, "more pictures")
    await wait_for_free_place(running)


async def test_server_turns_and_zooms_within_limits(running: RunningServer) -> None:
    async with join(running.socket_url) as peer:
        await peer.wait_for("hello")
        await peer.connect_media()
        view = {"yaw_deg": 20.0, "pitch_deg": -5.0, "zoom": 2.0}
        await peer.say(type="set", view=view, fade=True)
        state = await peer.wait_for("state", view=view)
        assert state["fade"] is True
        await peer.say(type="set", avatar="second")
        await peer.wait_for("state", avatar="second", loading=None)
        before, shown = len(peer.messages), len(peer.pictures)
        await peer.say(type="set", view={"zoom": 9})
        refused = await peer.wait_for("error", after=before)
        assert refused["code"] == "bad_message" and "zoom" in refused["message"]
        await peer.until(lambda: len(peer.pictures) > shown + 20, "more pictures")
    await wait_for_free_place(running)
