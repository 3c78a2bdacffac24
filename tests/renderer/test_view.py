from __future__ import annotations

import contextlib

import numpy as np
import pytest

from renderer.backends.base import RenderOptions, open_backend
from renderer.condition_stream import ConditionStream
from renderer.errors import BadInput
from renderer.images import resize_picture
from renderer.types import AudioFeatures, FrameCondition, PictureWindow
from renderer.view import FRONT, MAX_YAW_DEG, MAX_ZOOM, YAW_MARGIN_DEG, View, Viewpoint, facing_deg
from tests.renderer.synthetic_avatar import FEATURE_DIM, synthetic_avatar

SILENCE = np.full(FEATURE_DIM, -7.0, np.float32)
SIZE_PX = 64


@pytest.fixture(scope="module")
def avatar():
    return synthetic_avatar(small=True, size_px=SIZE_PX)


@pytest.mark.parametrize(("wish", "named"), [((MAX_YAW_DEG + 1, 0, 1), "yaw 26"), ((0, -90, 1), "pitch -90"), ((0, 0, 0.5), "zoom 0.5")])
def test_view_rejects_what_lies_outside(wish: tuple[float, float, float], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        View(*wish)
    with pytest.raises(BadInput, match="nan"):
        View(float("nan"))


def test_turning_moves_the_face_by_the_angles_and_keeps_the_head_in_its_place(avatar) -> None:
    viewpoint, pose = Viewpoint(avatar), avatar.pose_track[0]
    centre = np.append(avatar.field_config.head_centre, 1.0)
    before = np.array(facing_deg(pose))
    turned = viewpoint.turned(pose, View(6.0, 4.0))
    np.testing.assert_allclose(np.array(facing_deg(turned)) - before, [6.0, 4.0], atol=0.5)
    np.testing.assert_allclose(turned @ centre, pose @ centre, atol=1e-5)
    np.testing.assert_allclose(turned[:3, :3] @ turned[:3, :3].T, np.eye(3), atol=1e-5)
    assert viewpoint.turned(pose, FRONT) is pose


def test_turning_ends_a_little_beyond_the_clip(avatar) -> None:
    yaws, _ = facing_deg(avatar.pose_track)
    for pose in avatar.pose_track:
        yaw, _ = facing_deg(Viewpoint(avatar).turned(pose, View(MAX_YAW_DEG)))
        assert yaw <= yaws.max() + YAW_MARGIN_DEG + 0.1


def test_zoom_window_holds_the_head_and_stays_inside_the_picture(avatar) -> None:
    viewpoint = Viewpoint(avatar)
    assert viewpoint.window(FRONT) is None
    for zoom in (1.01, 1.5, MAX_ZOOM):
        window = viewpoint.window(View(0, 0, zoom))
        assert window is not None and window.width == pytest.approx(1 / zoom)
        assert min(window.left, window.top) >= 0 and max(window.left, window.top) + window.width <= 1 + 1e-9


def test_a_zoomed_picture_is_that_part_of_the_whole_one(avatar) -> None:
    """The camera sees the window's rays, torso and background lie in it: the same as cutting it out of a finer picture."""
    window = PictureWindow(0.25, 0.25, 0.5, 0.5)
    steps = np.tile(SILENCE, (avatar.field_config.audio_window.n_steps, 1))
    whole = FrameCondition(0, steps, avatar.pose_track[0], 1.0)
    zoomed = FrameCondition(0, steps, avatar.pose_track[0], 1.0, window=window)
    with contextlib.closing(open_backend(avatar, RenderOptions(2 * SIZE_PX), "cpu")) as fine:
        cut = fine.render_float(whole)[SIZE_PX // 2 : -SIZE_PX // 2, SIZE_PX // 2 : -SIZE_PX // 2]
    with contextlib.closing(open_backend(avatar, RenderOptions(SIZE_PX), "cpu")) as coarse:
        picture = coarse.render_float(zoomed)
        torch_twin = open_backend(avatar, RenderOptions(SIZE_PX), "torch").render_float(zoomed)
    assert np.abs(picture - cut).mean() < 0.004
    assert np.abs(picture - torch_twin).mean() < 0.004
    with contextlib.closing(open_backend(avatar, RenderOptions(SIZE_PX), "cpu")) as coarse:
        assert np.abs(coarse.render_float(whole) - cut).mean() > 0.02, "the test could not fail"


def test_resize_picture_takes_a_window() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    window = PictureWindow(0.25, 0.5, 0.5, 0.25)
    np.testing.assert_allclose(resize_picture(picture, 24, 8, window), picture[16:24, 12:36] / np.float32(255), atol=1e-6)
    assert resize_picture(picture, 100, 100, window).shape == (100, 100, 3)


def frames(stream: ConditionStream, n: int) -> list[FrameCondition]:
    stream.push(AudioFeatures(np.zeros((2 * n + 60, FEATURE_DIM), np.float32), stream.next_step))
    found = [stream.next() for _ in range(n)]
    assert all(condition is not None for condition in found)
    return found  # type: ignore[return-value]


def test_condition_stream_goes_to_a_view_in_small_steps_and_back(avatar) -> None:
    still = avatar.replace(pose_track=avatar.pose_track[:1], eye_track=avatar.eye_track[:1])
    stream = ConditionStream(still, SILENCE)
    stream.view = View(8.0, 0.0, 1.5)
    on_the_way = frames(stream, 40)
    yaws = [float(facing_deg(condition.camera_from_head)[0]) for condition in on_the_way]
    steps = np.diff(yaws)
    assert (steps > -1e-3).all() and steps.max() < 3.0
    assert yaws[-1] - yaws[0] == pytest.approx(8.0, abs=0.5)
    assert on_the_way[-1].window == Viewpoint(still).window(View(0, 0, 1.5))
    stream.view = FRONT
    back = frames(stream, 40)[-1]
    assert back.window is None and np.array_equal(back.camera_from_head, still.pose_track[0])


def test_condition_stream_arrives_as_far_where_frames_were_skipped(avatar) -> None:
    streams = [ConditionStream(avatar, SILENCE) for _ in range(2)]
    for stream in streams:
        stream.push(AudioFeatures(np.zeros((100, FEATURE_DIM), np.float32), 0))
        stream.view = View(10.0)
    for _ in range(5):
        streams[0].next()
    streams[1].skip_to(5)
    first, second = (stream.next() for stream in streams)
    assert first is not None and second is not None
    np.testing.assert_allclose(first.camera_from_head, second.camera_from_head, atol=1e-6)
