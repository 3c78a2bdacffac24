from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

import server.camera_follow
from renderer.errors import BadInput
from renderer.head_guide import HeadSighting
from server.avatar_library import AvatarLibrary
from server.backgrounds import Backgrounds
from server.camera_picture import CameraPicture
from server.media import Media, TimedPicture, VoicePacket
from server.messages import Ping, Set
from server.metrics import Metrics
from server.performance import Performance, PerformancePlan
from server.text_to_speech import TextToSpeech
from server.tracker_process import TrackerProcess
from server.worker_messages import ChangeSession, Seen
from tests.server.pretended_render import SIZE_PX, PretendedRender
from tests.server.test_camera_follow import FACE, PretendedTracker

if TYPE_CHECKING:
    from tests.server.conftest import Studio

PATIENCE_S = 20.0


class Keeper:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.media: list[Media] = []
        self.is_closed = False

    @property
    def pictures(self) -> list[TimedPicture]:
        return [media for media in self.media if isinstance(media, TimedPicture)]

    @property
    def packets(self) -> list[VoicePacket]:
        return [media for media in self.media if isinstance(media, VoicePacket)]

    def put(self, media: Media) -> None:
        self.media.append(media)

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.fixture
async def stage(studio: Studio) -> Any:
    """Makes performances and ends them."""
    made: list[Performance] = []

    async def make(ended: Callable[[Performance], None] = lambda _: None, first_frame: int = 0) -> tuple[Performance, PretendedRender]:
        render = PretendedRender(first_frame)
        plan = PerformancePlan(
            str(studio.first), SIZE_PX, stride=1, latency_ms=200, adapts_latency=False, sound_needed=FRAME_NEED, aspect=1.0
        )
        library = AvatarLibrary(str(studio.first), studio.folder)
        performance = Performance(plan, cast("Any", render), library, Backgrounds(), Metrics(), ended, TextToSpeech(), TrackerProcess())
        made.append(performance)
        await performance.open()
        return performance, render

    yield make
    for performance in made:
        await performance.aclose()


FRAME_NEED = 1920
Make = Callable[..., Awaitable[tuple[Performance, PretendedRender]]]


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, f"waited {PATIENCE_S:g} s"
        await asyncio.sleep(0.01)


async def test_performance_plays_without_any_connection(stage: Make) -> None:
    performance, _ = await stage()
    keeper = Keeper()
    performance.sinks.add(keeper)
    performance.play(expects_sound=False)
    await until(lambda: len(keeper.pictures) >= 20 and len(keeper.packets) >= 40)
    starts = [packet.first_sample for packet in keeper.packets]
    assert starts == list(range(starts[0], starts[0] + 960 * len(starts), 960)), "no packet is left out"
    assert 0 <= keeper.pictures[0].frame * 1920 - starts[0] < 48_000, "both begin at the same moment, but for a first picture that is late"
    for before, after in zip(keeper.pictures, keeper.pictures[1:], strict=False):
        assert after.frame > before.frame
        assert after.presented_s - before.presented_s == pytest.approx((after.frame - before.frame) / 25, abs=0.01)
    picture = keeper.pictures[-1]
    packet = next(p for p in keeper.packets if p.first_sample == picture.frame * 1920)
    assert packet.presented_s == pytest.approx(picture.presented_s, abs=0.01), "one clock for both"


async def test_performance_begins_though_the_worker_leaves_out_its_first_frames(stage: Make) -> None:
    performance, _ = await stage(first_frame=5)
    keeper = Keeper()
    performance.sinks.add(keeper)
    performance.play(expects_sound=False)
    await until(lambda: len(keeper.pictures) >= 5)
    assert 5 <= keeper.pictures[0].frame < 60
    assert keeper.packets[0].first_sample == 0, "the voice does not wait"


async def test_performance_draws_once_for_all_its_sinks(stage: Make) -> None:
    performance, _ = await stage()
    first, second = Keeper(), Keeper()
    performance.sinks.add(first)
    performance.play(expects_sound=False)
    await until(lambda: len(first.pictures) >= 5)
    performance.sinks.add(second)
    seen = len(first.media)
    await until(lambda: len(second.pictures) >= 10)
    assert all(a is b for a, b in zip(first.media[seen:], second.media, strict=False)), "the very same objects"
    performance.sinks.remove(second)
    left = len(second.media)
    await until(lambda: len(first.media) > seen + len(second.media) + 10)
    assert len(second.media) == left and second.is_closed and not first.is_closed


async def test_performance_returns_the_sound_it_hears_at_the_pictures_time(stage: Make) -> None:
    performance, _ = await stage()
    keeper = Keeper()
    performance.sinks.add(keeper)
    performance.hear(0, np.full(960, 9, np.int16))
    performance.play()
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for number in range(60):
        await asyncio.sleep(max(0.0, start_s + 0.02 * number - loop.time()))
        performance.hear(96_000 + 960 * number, np.full(960, 1000 + number, np.int16))
    await until(lambda: any(int(p.samples[0]) == 1050 for p in keeper.packets))
    levels = np.concatenate([p.samples for p in keeper.packets])
    assert 9 not in levels, "sound before the beginning is not heard"
    said = levels[levels >= 1000]
    assert (np.diff(said) >= 0).all() and said[-1] >= 1050


async def test_performance_ends_in_words_when_the_worker_fails(stage: Make) -> None:
    ended: list[Performance] = []
    performance, render = await stage(ended.append)
    messages: list[Any] = []
    performance.listen(messages.append)
    keeper = Keeper()
    performance.sinks.add(keeper)
    performance.play(expects_sound=False)
    await until(lambda: bool(keeper.pictures))
    render.fail("out of memory")
    render.fail("again")
    assert ended == [performance]
    assert [m.code for m in messages if m.type == "error"] == ["internal"]
    await performance.aclose()
    await performance.aclose()
    assert keeper.is_closed and render.released


async def test_performance_is_controlled_without_a_connection(stage: Make) -> None:
    performance, render = await stage()
    messages: list[Any] = []
    replies: list[Any] = []
    stop = performance.listen(messages.append)
    performance.control(Ping(type="ping", t=3.0), replies.append)
    performance.control(Set(type="set", smoothing=0.5, voice=False), replies.append)
    assert [reply.type for reply in replies] == ["pong"]
    assert (messages[-1].smoothing, messages[-1].voice) == (0.5, False)
    assert render.sent[-1].smoothing == 0.5
    stop()
    performance.control(Set(type="set", smoothing=0.1), replies.append)
    assert messages[-1].smoothing == 0.5


async def test_performance_holds_a_latency_that_is_asked_for(stage: Make) -> None:
    performance, _ = await stage()
    performance.play(expects_sound=False)
    assert performance.latency_s == pytest.approx(0.2)
    performance.hold_latency(0.24)
    await until(lambda: performance.latency_s == pytest.approx(0.24))
    performance.hold_latency(None)
    await until(lambda: performance.latency_s == pytest.approx(0.2))
    for wrong_s in (0.05, 3.0):
        with pytest.raises(BadInput, match="100 to 2000 is possible"):
            performance.hold_latency(wrong_s)


async def test_performance_gives_sinks_the_voice_though_the_speaker_does_not_want_to_hear_it(stage: Make) -> None:
    performance, _ = await stage()
    keeper = Keeper()
    performance.sinks.add(keeper)
    performance.control(Set(type="set", voice=False), lambda _: None)
    performance.play()
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for number in range(50):
        await asyncio.sleep(max(0.0, start_s + 0.02 * number - loop.time()))
        performance.hear(960 * number, np.full(960, 1000, np.int16))
    await until(lambda: any(int(packet.samples[0]) == 1000 for packet in keeper.packets))


PICTURE = CameraPicture(bytes(16 * 16 * 3 // 2), 16, 16)


async def following(stage: Make, monkeypatch: pytest.MonkeyPatch) -> tuple[Performance, PretendedRender, PretendedTracker]:
    """A performance that plays and follows a camera, with a tracker that notes what it is given."""
    monkeypatch.setattr(server.camera_follow, "missing_for_tracking", lambda: None)
    tracker = PretendedTracker()
    monkeypatch.setattr("tests.server.test_performance.TrackerProcess", lambda: tracker)
    performance, render = await stage()
    performance.play(expects_sound=False)
    performance.control(Set(type="set", follow=True), lambda _: None)
    return performance, render, tracker


async def test_performance_follows_a_camera_only_when_asked(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    performance, render, tracker = await following(stage, monkeypatch)
    assert performance.state.follow.on and performance.state.follow.status == "starting"
    performance.see(PICTURE)
    assert len(tracker.samples) == 1
    performance.control(Set(type="set", follow=False), lambda _: None)
    performance.see(PICTURE)
    assert len(tracker.samples) == 1 and not performance.state.follow.on
    changes = [message.follow for message in render.sent if isinstance(message, ChangeSession)]
    assert changes == [True, False]


async def test_performance_puts_a_cameras_picture_beside_the_sound_of_its_moment(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    performance, _, tracker = await following(stage, monkeypatch)
    begin_s = time.monotonic()
    for k in range(20):
        performance.hear(960 * k + 5_000_000, np.zeros(960, np.int16))
        await asyncio.sleep(0.02)
    performance.see(PICTURE, pts=5_000_000 + 960 * 10)
    performance.see(PICTURE, pts=5_000_000 + 960 * 11)
    assert tracker.samples[1] - tracker.samples[0] == 960
    performance.see(PICTURE, captured_s=begin_s + 0.1)
    performance.see(PICTURE, captured_s=begin_s + 0.2)
    assert tracker.samples[3] - tracker.samples[2] == pytest.approx(4800, abs=2)
    # What cannot be is taken for now.
    performance.see(PICTURE, pts=0)
    performance.see(PICTURE)
    assert tracker.samples[5] - tracker.samples[4] == pytest.approx(0, abs=4800)
    assert tracker.samples[4] > tracker.samples[3]


async def test_performance_says_why_no_camera_can_be_followed(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.camera_follow, "missing_for_tracking", lambda: "mediapipe is missing")
    performance, _ = await stage()
    replies: list[Any] = []
    performance.control(Set(type="set", follow=True, smoothing=0.5), replies.append)
    assert [(reply.code, reply.message) for reply in replies] == [("follow_unavailable", "mediapipe is missing")]
    assert performance.state.follow.reason == "mediapipe is missing" and not performance.state.follow.on
    assert performance.state.smoothing == 0.5


async def test_performance_hands_what_was_seen_to_the_render_worker_and_lets_go_where_the_tracker_ends(
    stage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    performance, render, tracker = await following(stage, monkeypatch)
    (follower,) = tracker.listeners
    follower.tracked(FACE, 48_000)
    assert render.sent[-1] == Seen(performance._number, HeadSighting(1.0, FACE))
    assert performance.state.follow.status == "following"
    follower.tracking_failed("the face tracker ended unexpectedly")
    assert isinstance(render.sent[-1], ChangeSession) and render.sent[-1].follow is False
    assert performance.state.follow.reason == "the face tracker ended unexpectedly"
