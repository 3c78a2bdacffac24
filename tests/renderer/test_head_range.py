from __future__ import annotations

import numpy as np
import pytest

from renderer.condition_stream import ConditionStream
from renderer.head_angles import head_angles_deg
from renderer.head_guide import STILL, HeadMovement, HeadSighting
from renderer.head_range import TURN_SHARE, HeadRange, soft_limit
from renderer.types import FPS, AudioFeatures
from renderer.view import View, Viewpoint
from tests.renderer.synthetic_avatar import FEATURE_DIM, synthetic_avatar
from tests.renderer.test_head_guide import face

SILENCE = np.full(FEATURE_DIM, -7.0, np.float32)


@pytest.fixture(scope="module")
def avatar():
    return synthetic_avatar(small=True, size_px=64)


def stream_of(avatar, n_frames: int) -> ConditionStream:
    stream = ConditionStream(avatar, SILENCE)
    stream.push(AudioFeatures(np.tile(SILENCE, (2 * n_frames + 100, 1)), 0))
    return stream


def test_soft_limit_is_the_value_itself_near_rest_and_never_passes_the_limit() -> None:
    values = np.linspace(-100.0, 100.0, 2001)
    limited = soft_limit(values, np.full(2001, -10.0), np.full(2001, 20.0))
    assert limited.min() >= -10.0 and limited.max() <= 20.0
    near = np.abs(values) < 1.0
    np.testing.assert_allclose(limited[near], values[near], atol=0.01)
    assert (np.diff(limited) >= 0.0).all() and np.diff(limited).max() <= 0.1 + 1e-9
    assert soft_limit(np.array([3.0]), np.zeros(1), np.zeros(1))[0] == 0.0


def test_head_range_puts_a_movement_on_the_mean_pose(avatar) -> None:
    head_range = HeadRange(avatar)
    own = avatar.pose_track[3]
    mean_deg = head_angles_deg(avatar.pose_track[:, :3, :3].astype(float)).mean(0)
    turned = head_range.pose(own, HeadMovement(np.array([2.0, 1.0, -0.5]), np.zeros(3), 1.0, share=1.0))
    np.testing.assert_allclose(head_angles_deg(turned[:3, :3]) - mean_deg, TURN_SHARE * np.array([2.0, 1.0, -0.5]), atol=0.05)
    assert turned.dtype == np.float32
    np.testing.assert_allclose(turned[:3, :3] @ turned[:3, :3].T, np.eye(3), atol=1e-6)


def test_head_range_leaves_the_clips_own_movement_alone_where_nothing_is_followed(avatar) -> None:
    head_range = HeadRange(avatar)
    np.testing.assert_array_equal(head_range.pose(avatar.pose_track[3], STILL), avatar.pose_track[3])
    assert head_range.eye_ratio(0.3, STILL) == 0.3


@pytest.mark.parametrize("turn_deg", [90.0, -90.0])
def test_head_range_holds_every_movement_within_the_views_range(avatar, turn_deg: float) -> None:
    (least_yaw, most_yaw), (least_pitch, most_pitch) = Viewpoint(avatar).facing_range_deg
    movement = HeadMovement(np.full(3, turn_deg), np.full(3, turn_deg), 0.0, share=1.0)
    yaw, pitch, _ = head_angles_deg(HeadRange(avatar).pose(avatar.pose_track[0], movement)[:3, :3])
    assert least_yaw - 1e-3 <= yaw <= most_yaw + 1e-3 and least_pitch - 1e-3 <= pitch <= most_pitch + 1e-3


def test_head_range_moves_the_eyes_within_the_clips_own(avatar) -> None:
    head_range = HeadRange(avatar.replace(eye_track=np.linspace(0.2, 0.8, len(avatar.eye_track)).astype(np.float32)))
    ratios = [head_range.eye_ratio(1.0, HeadMovement(np.zeros(3), np.zeros(3), openness, share=1.0)) for openness in (0.0, 1.0)]
    np.testing.assert_allclose(ratios, [0.2, 0.5], atol=0.02)


def follow(stream: ConditionStream, frame: int, yaw_deg: float) -> None:
    stream.guide.push(HeadSighting(frame / FPS, face((yaw_deg, 0.0, 0.0))))


def test_condition_stream_follows_a_head_and_lets_go_without_a_jump(avatar) -> None:
    stream = stream_of(avatar, 300)
    stream.guide.turn_on()
    yaws = []
    for frame in range(250):
        follow(stream, frame, 0.0 if frame < 40 else 8.0)
        if frame == 150:
            stream.guide.turn_off()
        yaws.append(head_angles_deg(stream.next().camera_from_head[:3, :3].astype(float))[0])
    own = head_angles_deg(avatar.pose_track[:, :3, :3].astype(float))[:, 0]
    assert yaws[140] > own.mean() + 4.0
    own_frames = stream_of(avatar, 300)
    unguided = [own_frames.next().camera_from_head for _ in range(250)]
    np.testing.assert_array_equal(yaws[-1], head_angles_deg(unguided[-1][:3, :3].astype(float))[0])
    assert np.abs(np.diff(yaws)).max() <= np.abs(np.diff(own)).max() + 5.0


def test_condition_stream_shows_the_same_head_again_when_it_goes_back(avatar) -> None:
    stream = stream_of(avatar, 200)
    stream.guide.turn_on()
    given = {}
    for frame in range(100):
        follow(stream, frame, float(frame % 30))
        given[frame] = stream.next().camera_from_head
    stream.back_to(95)
    for frame in range(95, 100):
        # What was seen since is known now: as near as a frame's step.
        again = stream.next()
        assert again.index == frame
        turned = np.abs(head_angles_deg(again.camera_from_head[:3, :3].astype(float)) - head_angles_deg(given[frame][:3, :3].astype(float)))
        assert turned.max() < 5.0


def test_condition_stream_goes_on_following_with_another_avatar(avatar) -> None:
    stream = stream_of(avatar, 200)
    stream.guide.turn_on()
    for frame in range(100):
        follow(stream, frame, 0.0 if frame < 40 else 6.0)
        before = stream.next()
    stream.swap(synthetic_avatar(seed=4, small=True, size_px=64))
    follow(stream, 100, 6.0)
    after = stream.next()
    angles = [head_angles_deg(condition.camera_from_head[:3, :3].astype(float)) for condition in (before, after)]
    np.testing.assert_allclose(angles[0], angles[1], atol=0.5)


def test_condition_stream_turns_the_view_on_top_of_the_head_that_is_followed(avatar) -> None:
    plain, viewed = stream_of(avatar, 200), stream_of(avatar, 200)
    viewed.view = View(5.0, 0.0, 1.0)
    (_, most), _ = Viewpoint(avatar).facing_range_deg
    for stream in (plain, viewed):
        stream.guide.turn_on()
    for frame in range(120):
        for stream in (plain, viewed):
            follow(stream, frame, 0.0 if frame < 40 else 60.0)
        yaws = [head_angles_deg(stream.next().camera_from_head[:3, :3].astype(float))[0] for stream in (plain, viewed)]
        if frame == 39:
            assert yaws[1] == pytest.approx(yaws[0] + 5.0, abs=0.3)
    assert yaws[0] <= yaws[1] <= most + 1e-3
