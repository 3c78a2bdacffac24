from __future__ import annotations

import numpy as np
import pytest

from renderer.condition_stream import TRAIL_FRAMES, ConditionStream, audio_window_at, ping_pong
from renderer.emotion import NEUTRAL, Emotion, emotion_code
from renderer.emotion_glide import MAX_STEP
from renderer.errors import BadInput
from renderer.types import AudioFeatures
from renderer.view import View
from tests.renderer.synthetic_avatar import FEATURE_DIM, synthetic_avatar

SILENCE = np.full(FEATURE_DIM, -7.0, np.float32)


@pytest.fixture(scope="module")
def avatar():
    return synthetic_avatar(small=True, size_px=64)


def features(n: int, first: int = 0) -> np.ndarray:
    return np.random.default_rng(1).uniform(-10, 0, (1000, FEATURE_DIM)).astype(np.float32)[first : first + n]


def test_condition_stream_gives_no_frame_before_its_audio_is_complete(avatar) -> None:
    stream = ConditionStream(avatar, SILENCE)
    future = avatar.field_config.audio_window.future_steps
    stream.push(AudioFeatures(features(future - 1), 0))
    assert stream.next() is None
    stream.push(AudioFeatures(features(1, future - 1), future - 1))
    condition = stream.next()
    assert condition is not None and condition.index == 0
    assert stream.next() is None


@pytest.mark.parametrize("chunk", [1, 2, 3, 17])
def test_condition_stream_equals_whole_file_windows_for_any_chunking(avatar, chunk: int) -> None:
    shape, stream, steps = avatar.field_config.audio_window, ConditionStream(avatar, SILENCE), features(200)
    conditions = []
    for first in range(0, 200, chunk):
        stream.push(AudioFeatures(steps[first : first + chunk], first))
        while (condition := stream.next()) is not None:
            conditions.append(condition)
    assert [c.index for c in conditions] == list(range((200 - shape.future_steps) // 2 + 1))
    for c in conditions:
        np.testing.assert_array_equal(c.audio_window, audio_window_at(steps, 0, c.index, shape, SILENCE))


def test_condition_stream_memory_is_bounded(avatar) -> None:
    stream = ConditionStream(avatar, SILENCE)
    for first in range(0, 20_000, 50):
        stream.push(AudioFeatures(np.zeros((50, FEATURE_DIM), np.float32), first))
        while stream.next() is not None:
            pass
    assert len(stream._features) < 200


def test_condition_stream_rejects_a_gap_in_the_features(avatar) -> None:
    stream = ConditionStream(avatar, SILENCE)
    with pytest.raises(ValueError, match="step 4"):
        stream.push(AudioFeatures(features(2), 4))


def test_condition_stream_skips_late_frames(avatar) -> None:
    stream = ConditionStream(avatar, SILENCE)
    stream.push(AudioFeatures(features(100), 0))
    stream.skip_to(20)
    condition = stream.next()
    assert condition is not None and condition.index == 20
    np.testing.assert_array_equal(condition.audio_window, audio_window_at(features(100), 0, 20, avatar.field_config.audio_window, SILENCE))


def test_condition_stream_goes_back_to_what_it_gave(avatar) -> None:
    stream = ConditionStream(avatar, SILENCE)
    stream.push(AudioFeatures(features(200), 0))
    stream.skip_to(20)
    stream.view = View(8.0, 0.0, 1.5)
    given = {c.index: c for c in (stream.next() for _ in range(12)) if c is not None}
    assert stream.back_to(29) == 29
    for frame in range(29, 33):
        again = stream.next()
        assert again is not None and again.index == frame
        if frame in given:
            np.testing.assert_array_equal(again.audio_window, given[frame].audio_window)
            np.testing.assert_array_equal(again.camera_from_head, given[frame].camera_from_head)
            assert again.window == given[frame].window
    assert stream.back_to(33) == 33, "nothing of that has been given yet"
    assert stream.back_to(0) == 33 - TRAIL_FRAMES, "only so many are remembered"


def test_condition_stream_poses_move_smoothly_for_ever(avatar) -> None:
    stream = ConditionStream(avatar, SILENCE, seed=3)
    stream.push(AudioFeatures(np.zeros((900, FEATURE_DIM), np.float32), 0))
    poses = [c.camera_from_head for c in iter(stream.next, None)]
    largest = np.abs(np.diff(avatar.pose_track, axis=0)).max()
    assert len(poses) > 400
    assert np.abs(np.diff(np.stack(poses), axis=0)).max() <= largest + 1e-6


def test_condition_stream_rejects_an_avatar_for_another_encoder(avatar) -> None:
    with pytest.raises(BadInput, match="40 audio features"):
        ConditionStream(avatar, np.zeros(32, np.float32))


def test_windows_outside_the_recording_are_silence(avatar) -> None:
    shape = avatar.field_config.audio_window
    window = audio_window_at(features(4), 0, -100, shape, SILENCE)
    np.testing.assert_array_equal(window, np.tile(SILENCE, (shape.n_steps, 1)))


def test_ping_pong_turns_at_both_ends() -> None:
    assert [ping_pong(i, 3) for i in range(9)] == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert ping_pong(7, 1) == 0


@pytest.fixture(scope="module")
def emotional():
    return synthetic_avatar(small=True, size_px=64, emotional=True)


def stream_of(avatar, **options) -> ConditionStream:
    stream = ConditionStream(avatar, SILENCE, **options)
    stream.push(AudioFeatures(features(400), 0))
    return stream


def shown(stream: ConditionStream, n: int) -> np.ndarray:
    """The emotion codes of the next frames."""
    return np.stack([stream.next().emotion for _ in range(n)])


def test_condition_stream_shows_an_emotion_from_the_next_frame_on_and_in_small_steps(emotional) -> None:
    stream = stream_of(emotional)
    before = shown(stream, 5)
    np.testing.assert_array_equal(before, np.tile(emotion_code(NEUTRAL), (5, 1)))
    stream.emotion = Emotion("happy", 1.0)
    way = np.concatenate([before[-1:], shown(stream, 12)])
    assert np.abs(way[1] - way[0]).max() == pytest.approx(MAX_STEP), "the very next frame has moved"
    assert np.abs(np.diff(way, axis=0)).max() <= MAX_STEP + 1e-6
    np.testing.assert_array_equal(way[-1], emotion_code(Emotion("happy", 1.0)))


def test_condition_stream_emotion_depends_on_the_frame_and_not_on_the_frames_before(emotional) -> None:
    whole, gaps = stream_of(emotional), stream_of(emotional)
    for stream in (whole, gaps):
        stream.skip_to(3)
        stream.emotion = Emotion("sad", 0.8)
    every = shown(whole, 10)
    for frame in (4, 7, 8, 11):
        gaps.skip_to(frame)
        np.testing.assert_array_equal(gaps.next().emotion, every[frame - 3])


def test_condition_stream_begins_with_the_emotion_it_is_given(emotional) -> None:
    happy = Emotion("happy", 0.5)
    stream = stream_of(emotional, emotion=happy)
    assert stream.emotion == happy
    np.testing.assert_array_equal(shown(stream, 3), np.tile(emotion_code(happy), (3, 1)))


def test_condition_stream_keeps_the_emotion_for_an_avatar_that_has_some(avatar, emotional) -> None:
    stream = stream_of(avatar)
    stream.emotion = Emotion("angry", 1.0)
    assert [stream.next().emotion for _ in range(10)] == [None] * 10
    stream.swap(emotional)
    np.testing.assert_array_equal(shown(stream, 1)[0], emotion_code(Emotion("angry", 1.0)))
    stream.emotion = NEUTRAL
    half_way = shown(stream, 4)[-1]
    stream.swap(avatar)
    assert stream.next().emotion is None
    stream.swap(synthetic_avatar(seed=1, small=True, size_px=64, emotional=True))
    assert np.abs(shown(stream, 1)[0] - half_way).max() <= 2 * MAX_STEP + 1e-6, "it went on in the meantime, as time did"


def test_condition_stream_goes_back_and_shows_the_new_emotion_in_the_frames_it_makes_anew(emotional) -> None:
    stream, happy = stream_of(emotional), Emotion("happy", 1.0)
    before = shown(stream, 6)
    stream.emotion = happy
    assert stream.back_to(4) == 4
    way = np.concatenate([before[:4], shown(stream, 12)])
    np.testing.assert_array_equal(way[3], emotion_code(NEUTRAL))
    assert np.abs(way[4] - way[3]).max() == pytest.approx(MAX_STEP), "the first frame that is made anew has moved"
    assert np.abs(np.diff(way, axis=0)).max() <= MAX_STEP + 1e-6
    np.testing.assert_array_equal(way[-1], emotion_code(happy))


def test_condition_stream_that_goes_back_for_another_reason_repeats_the_emotions_way(emotional) -> None:
    stream = stream_of(emotional)
    stream.emotion = Emotion("sad", 1.0)
    shown(stream, 2)
    stream.emotion = Emotion("fearful", 1.0)
    way = shown(stream, 5)
    stream.back_to(3)
    np.testing.assert_array_equal(shown(stream, 4), way[1:])
