from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.edit.originals import Moments
from editing.score_distillation.config import KeyframeConfig
from editing.score_distillation.keyframes import choose_keyframes, condition_codes, most_different
from renderer.errors import BadInput
from renderer.view import View, Viewpoint, facing_deg

if TYPE_CHECKING:
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar


def test_views_show_the_first_frame_from_the_whole_range(avatar: Avatar, encoder: AudioEncoder) -> None:
    keyframes = choose_keyframes(avatar, encoder, KeyframeConfig(3, 2, 0))
    assert [keyframe.frame for keyframe in keyframes] == [0] * 6
    (least_yaw, most_yaw), (least_pitch, most_pitch) = Viewpoint(avatar).facing_range_deg
    yaw, pitch = facing_deg(np.stack([keyframe.condition.camera_from_head for keyframe in keyframes]).astype(float))
    assert yaw.max() <= most_yaw + 0.3 and yaw.min() >= least_yaw - 0.3, "beyond it the field is not defined"
    np.testing.assert_allclose(yaw[:3], yaw[3:], atol=0.3)
    assert pitch[:3].max() < pitch[3:].min() and np.diff(yaw[:3]).min() > 5.0
    assert pitch.min() >= least_pitch - 0.3 and pitch.max() <= most_pitch + 0.3
    centre = np.append(avatar.field_config.head_centre, 1.0)
    places = [(keyframe.condition.camera_from_head @ centre)[:3] for keyframe in keyframes]
    np.testing.assert_allclose(places, [(avatar.pose_track[0] @ centre)[:3]] * 6, atol=1e-4)
    windows = [keyframe.condition.audio_window for keyframe in keyframes]
    assert all(np.array_equal(window, windows[0]) for window in windows)


def test_time_stamps_are_frames_of_the_clip_as_it_was_filmed(avatar: Avatar, encoder: AudioEncoder) -> None:
    keyframe = choose_keyframes(avatar, encoder, KeyframeConfig(1, 1, 1))[-1]
    assert keyframe.frame > 0 and keyframe.view == View()
    np.testing.assert_array_equal(keyframe.condition.camera_from_head, avatar.pose_track[keyframe.frame])
    moments = Moments.of(avatar, encoder, len(avatar.pose_track))
    codes = condition_codes(avatar, moments)
    apart = np.abs(codes[1:] - codes[1:].mean(0)).sum(1)
    assert keyframe.frame == 1 + int(apart.argmax()), "the one that differs most from the mean"
    np.testing.assert_array_equal(keyframe.condition.audio_window, moments.windows[keyframe.frame])


def test_more_time_stamps_than_the_clip_has_are_refused(avatar: Avatar, encoder: AudioEncoder) -> None:
    with pytest.raises(BadInput, match="--time-stamps 9: the clip of avatar"):
        choose_keyframes(avatar, encoder, KeyframeConfig(1, 1, 9))


def test_most_different_frames_come_farthest_first() -> None:
    codes = np.zeros((9, 2))
    codes[[1, 4, 7]] = [[5, 0], [0, -9], [-3, 4]]
    assert most_different(codes, 3, neighbours=1).tolist() == [4, 7, 1]


def test_most_different_leaves_out_neighbours_and_likes() -> None:
    codes = np.zeros((20, 2))
    codes[3], codes[4], codes[12], codes[17] = [9, 0], [0, 8], [8.5, 0.2], [-5, 1]
    assert most_different(codes, 2, neighbours=3).tolist() == [3, 17], "4 is a neighbour of 3, and 12 is like it"
    assert most_different(codes, 2, neighbours=1).tolist() == [3, 4]
