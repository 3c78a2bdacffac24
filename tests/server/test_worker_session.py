from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from renderer.audio.encoder import AudioEncoder
from renderer.audio.resample import Resampler
from renderer.audio.streaming import encode_all
from renderer.condition_stream import ConditionStream
from renderer.emotion import NEUTRAL, Emotion, emotion_code
from renderer.face_expression import expression_scores
from renderer.head_angles import head_angles_deg, head_rotation
from renderer.head_guide import HeadSighting, SeenFace
from renderer.types import FPS
from renderer.view import View
from server.avatar_store import LoadedAvatar
from server.worker_messages import Backdrop, OpenSession, Sound
from server.worker_session import FADE_FRAMES, MAX_AHEAD_S, WorkerSession, sound_needed

if TYPE_CHECKING:
    from tests.server.conftest import Studio

PACKET = 960
LATENCY_S = 0.25


class Fixture:
    def __init__(self, studio: Studio, stride: int = 1, emotional: bool = False) -> None:
        self.encoder = AudioEncoder.from_onnx(studio.encoder)
        avatar = studio.avatar("first", emotional=emotional)
        self.loaded = LoadedAvatar("first", 64, avatar, None)  # type: ignore[arg-type]
        opening = OpenSession(1, 0, "first", 64, smoothing=0.0, omega=0.8, seed=1, start_s=10.0 + LATENCY_S)
        self.session = WorkerSession(opening, self.loaded, self.encoder, stride)
        self.heard = 0

    def hear(self, samples: np.ndarray) -> None:
        self.session.hear(Sound(1, self.heard, samples.astype(np.int16).tobytes(), start_s=10.0 + LATENCY_S))
        self.heard += len(samples)

    def hear_silence(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.hear(np.zeros(PACKET))

    def frames(self, now_s: float, render_s: float = 0.01) -> list[int]:
        found = []
        while (frame := self.session.choose(now_s, render_s)) is not None:
            assert self.session.take(frame).index == frame
            found.append(frame)
        return found


def test_session_gives_each_frame_as_soon_as_its_sound_is_heard(studio: Studio) -> None:
    fixture = Fixture(studio)
    needed = sound_needed(fixture.loaded, fixture.encoder)
    assert 140 < needed / 48 < 160, "window, look-ahead of the encoder, and the resampler"
    for frame in range(10):
        fixture.hear(np.zeros(needed + frame * 1920 - fixture.heard - 48))
        now_s = 10.0 + fixture.heard / 48_000
        assert fixture.frames(now_s) == []
        fixture.hear(np.zeros(48))
        assert fixture.frames(now_s) == [frame]


def test_session_conditions_match_offline_ones(studio: Studio) -> None:
    fixture = Fixture(studio)
    rng = np.random.default_rng(0)
    sound = (rng.normal(0, 6000, 2 * 48_000) * (np.arange(96_000) % 24_000 < 12_000)).clip(-32768, 32767).astype(np.int16)
    windows = []
    for first in range(0, len(sound), PACKET):
        fixture.hear(sound[first : first + PACKET])
        now_s = 10.0 + first / 48_000
        while (frame := fixture.session.choose(now_s, 0.0)) is not None:
            windows.append(fixture.session.take(frame))
    resampler = Resampler(48_000)
    features = encode_all(fixture.encoder, resampler.push(sound.astype(np.float32) / 32768))
    offline = ConditionStream(fixture.loaded.avatar, fixture.encoder.silence_features(), seed=1)
    offline.push(features)
    assert len(windows) > 40
    for condition in windows:
        expected = offline.next()
        assert expected is not None and expected.index == condition.index
        assert np.allclose(condition.audio_window, expected.audio_window, atol=1e-4)
        assert np.array_equal(condition.camera_from_head, expected.camera_from_head)


def test_session_skips_frames_that_cannot_be_in_time(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.hear_silence(2.0)
    now_s = 10.0 + 1.0 + LATENCY_S
    frame = fixture.session.choose(now_s, 0.05)
    assert frame is not None
    assert fixture.session.deadline_s(frame) >= now_s + 0.05
    assert fixture.session.deadline_s(frame - 1) < now_s + 0.05
    fixture.session.take(frame)
    assert fixture.session.skipped == frame


def test_session_renders_the_newest_when_all_are_late(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.hear_silence(1.0)
    frame = fixture.session.choose(100.0, 0.05)
    assert frame is not None
    fixture.session.take(frame)
    assert fixture.session.choose(100.0, 0.05) is None, "one late picture, not a backlog"
    assert frame >= 20


def test_session_does_not_run_ahead_of_the_ring(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.hear_silence(2.0)
    frames = fixture.frames(10.1)
    assert frames[0] == 0
    assert fixture.session.deadline_s(frames[-1]) <= 10.1 + MAX_AHEAD_S


def test_session_renders_every_nth_frame_on_a_slow_machine(studio: Studio) -> None:
    fixture = Fixture(studio, stride=3)
    fixture.hear_silence(1.0)
    frames = [frame for k in range(25) for frame in fixture.frames(10.0 + k / FPS)]
    assert frames == list(range(0, frames[-1] + 1, 3))
    assert fixture.session.skipped == 0


def test_session_hears_silence_where_sound_was_dropped(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.hear_silence(0.5)
    fixture.heard += 5 * PACKET
    fixture.hear_silence(0.5)
    with pytest.raises(ValueError, match="was expected"):
        fixture.session.hear(Sound(1, 0, b"\0\0", 10.0))
    with pytest.raises(ValueError, match="was expected"):
        fixture.session.hear(Sound(1, fixture.heard + 48_000 * 60, b"\0\0", 10.0))


def test_session_follows_the_timeline(studio: Studio) -> None:
    fixture = Fixture(studio)
    before_s = fixture.session.deadline_s(5)
    fixture.session.hear(Sound(1, 0, np.zeros(PACKET, np.int16).tobytes(), start_s=10.5 + LATENCY_S))
    assert fixture.session.deadline_s(5) == pytest.approx(before_s + 0.5)


def test_session_swaps_the_avatar_between_frames(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.hear_silence(1.0)
    last = fixture.frames(10.1)[-1]
    other = LoadedAvatar("second", 64, studio.avatar("second", seed=4), None)  # type: ignore[arg-type]
    fixture.session.swap(other)
    assert fixture.session.next_frame == last + 1 == fixture.session.choose(10.2, 0.0)


def test_session_makes_pictures_that_wait_anew(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.hear_silence(1.0)
    # Frame k leaves at 10.25 + k / 25.
    taken = {frame: fixture.session.take(frame) for frame in range(4)}
    fixture.session.set_omega(0.25)
    assert fixture.session.make_anew(10.275, 0.01) == 2, "frame 1 leaves in 15 ms, which is too soon"
    anew = [fixture.session.take(fixture.session.choose(10.275, 0.01) or 0) for _ in range(2)]
    assert [condition.index for condition in anew] == [2, 3]
    for condition in anew:
        assert condition.refine_weight == 0.25
        np.testing.assert_array_equal(condition.audio_window, taken[condition.index].audio_window)
        np.testing.assert_array_equal(condition.camera_from_head, taken[condition.index].camera_from_head)
    assert fixture.session.skipped == 0


def test_session_makes_pictures_anew_only_where_there_is_time(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.hear_silence(1.0)
    for frame in range(4):
        fixture.session.take(frame)
    assert fixture.session.make_anew(10.2, 0.021) == 4, "each picture twice would take longer than they last"
    assert fixture.session.make_anew(10.37, 0.01) == 4, "all that waits leaves too soon"
    assert fixture.session.make_anew(10.2, 0.01) == 0
    for frame in range(4):
        fixture.session.take(frame)
    assert fixture.session.make_anew(10.24, 0.01) == 4, "not again for every step of a dial that is being turned"


def test_session_takes_omega_from_its_opening_and_from_changes(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.hear_silence(1.0)
    assert fixture.session.take(0).refine_weight == 0.8
    fixture.session.set_omega(0.25)
    assert fixture.session.take(1).refine_weight == 0.25


def test_session_fades_from_the_last_picture_of_the_old_avatar(studio: Studio) -> None:
    fixture = Fixture(studio)
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert fixture.session.faded(black) is black
    fixture.session.swap(fixture.loaded)
    assert fixture.session.faded(white) is white, "a swap is a cut unless asked for otherwise"
    fixture.session.set_fade(True)
    fixture.session.faded(black)
    fixture.session.swap(fixture.loaded)
    levels = [int(fixture.session.faded(white)[0, 0, 0]) for _ in range(FADE_FRAMES + 2)]
    assert levels == sorted(levels) and 0 < levels[0] < 64 and levels[FADE_FRAMES - 1] < 255
    assert levels[FADE_FRAMES:] == [255, 255]
    fixture.session.swap(fixture.loaded)
    larger = np.zeros((6, 4, 3), np.uint8)
    assert fixture.session.faded(larger) is larger, "another size cannot be faded to"


def test_session_shows_another_view_and_background(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.session.set_view(View(10.0, 0.0, 2.0))
    green = np.full((1, 1, 3), 9, np.uint8)
    fixture.session.set_backdrop(Backdrop(green))
    fixture.hear_silence(2.0)
    condition = fixture.session.take(25)
    assert condition.background is green and condition.window is not None and condition.window.width == pytest.approx(0.5, abs=1e-3)
    fixture.session.set_backdrop(Backdrop(None))
    assert fixture.session.take(26).background is None


def buzz(seconds: float, hz: float, peak: float) -> np.ndarray:
    """A voice for `renderer.voice_emotion`, int16 at 48 kHz."""
    t = np.arange(round(seconds * 50) * PACKET) / 48_000
    return 32767 * peak * sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 8))


def speak(fixture: Fixture, sound: np.ndarray) -> list[np.ndarray]:
    """Hear a sound as it comes; the emotion codes of its frames."""
    codes = []
    for first in range(0, len(sound), PACKET):
        fixture.hear(sound[first : first + PACKET])
        while (frame := fixture.session.choose(10.0 + fixture.heard / 48_000, 0.01)) is not None:
            condition = fixture.session.take(frame)
            assert condition.emotion is not None
            codes.append(condition.emotion)
    return codes


def test_session_shows_the_emotion_that_is_set(studio: Studio) -> None:
    fixture = Fixture(studio, emotional=True)
    fixture.session.set_emotion(Emotion("sad", 1.0))
    codes = speak(fixture, np.zeros(48_000))
    np.testing.assert_array_equal(codes[-1], emotion_code(Emotion("sad", 1.0)))


def test_session_emotion_follows_the_voice_only_when_asked_to(studio: Studio) -> None:
    usual, excited = buzz(4.0, 140.0, 0.1), buzz(3.0, 200.0, 0.25)
    plain = Fixture(studio, emotional=True)
    for code in (speak(plain, usual) + speak(plain, excited))[10:]:
        np.testing.assert_array_equal(code, emotion_code(NEUTRAL))
    fixture = Fixture(studio, emotional=True)
    fixture.session.set_emotion_auto(True)
    np.testing.assert_array_equal(speak(fixture, usual)[-1], emotion_code(NEUTRAL))
    assert speak(fixture, excited)[-1] @ emotion_code(Emotion("happy", 1.0)) > 0.5


def test_session_goes_back_to_the_dial_when_the_voice_is_not_followed_any_more(studio: Studio) -> None:
    fixture = Fixture(studio, emotional=True)
    fixture.session.set_emotion_auto(True)
    fixture.session.set_emotion(Emotion("angry", 0.5))
    np.testing.assert_array_equal(speak(fixture, np.zeros(48_000))[-1], emotion_code(NEUTRAL))
    fixture.session.set_emotion_auto(False)
    np.testing.assert_array_equal(speak(fixture, np.zeros(48_000))[-1], emotion_code(Emotion("angry", 0.5)))


def test_session_keeps_the_emotion_over_a_swap(studio: Studio) -> None:
    fixture = Fixture(studio)
    fixture.session.set_emotion(Emotion("happy", 1.0))
    fixture.hear_silence(1.0)
    assert fixture.session.take(5).emotion is None, "the first avatar has no emotions"
    fixture.session.swap(LoadedAvatar("second", 64, studio.avatar("second", emotional=True), None))  # type: ignore[arg-type]
    np.testing.assert_array_equal(fixture.session.take(20).emotion, emotion_code(Emotion("happy", 1.0)))


def see(fixture: Fixture, first: int, n: int, yaw_deg: float = 0.0, smile: float = 0.0) -> None:
    """A head seen in step with the frames from `first` on."""
    expression = expression_scores({"mouthSmileLeft": smile, "mouthSmileRight": smile})
    pose = np.eye(4)
    pose[:3, :3] = head_rotation(np.array([yaw_deg, 0.0, 0.0]))
    for frame in range(first, first + n):
        fixture.session.see(HeadSighting(frame / FPS, SeenFace(pose, 0.1, expression)))


def test_session_follows_a_head_only_when_asked_to(studio: Studio) -> None:
    plain, fixture = Fixture(studio), Fixture(studio)
    fixture.session.set_follow(True)
    for each in (plain, fixture):
        see(each, 0, 27)
        see(each, 27, 40, yaw_deg=10.0)
        each.hear_silence(3.0)
    own, followed = (each.session.take(66).camera_from_head for each in (plain, fixture))
    untouched = Fixture(studio)
    untouched.hear_silence(3.0)
    np.testing.assert_array_equal(own, untouched.session.take(66).camera_from_head)
    mean_deg = head_angles_deg(fixture.loaded.avatar.pose_track[:, :3, :3].astype(float)).mean(0)
    assert head_angles_deg(followed[:3, :3].astype(float))[0] > mean_deg[0] + 4.0


def test_session_shows_the_expression_of_the_face_unless_dial_or_voice_say_otherwise(studio: Studio) -> None:
    fixture = Fixture(studio, emotional=True)
    fixture.session.set_follow(True)
    see(fixture, 0, 27)
    see(fixture, 27, 60, smile=1.0)
    assert speak(fixture, np.zeros(96_000))[-1] @ emotion_code(Emotion("happy", 1.0)) > 1.5
    fixture.session.set_emotion(Emotion("sad", 1.0))
    np.testing.assert_array_equal(speak(fixture, np.zeros(48_000))[-1], emotion_code(Emotion("sad", 1.0)))
    fixture.session.set_emotion_auto(True)
    np.testing.assert_array_equal(speak(fixture, np.zeros(48_000))[-1], emotion_code(NEUTRAL))
    fixture.session.set_emotion_auto(False)
    fixture.session.set_emotion(NEUTRAL)
    assert speak(fixture, np.zeros(48_000))[-1] @ emotion_code(Emotion("happy", 1.0)) > 1.5
    fixture.session.set_follow(False)
    np.testing.assert_array_equal(speak(fixture, np.zeros(48_000))[-1], emotion_code(NEUTRAL))
