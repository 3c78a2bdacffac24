from __future__ import annotations

import numpy as np
import pytest

from renderer.condition_stream import TRAIL_FRAMES, ConditionStream, audio_window_at, ping_pong
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
