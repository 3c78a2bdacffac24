"""The numpy side of a frame against its torch twin, and the geometry of its codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from renderer.emotion import NEUTRAL, Emotion, emotion_code
from renderer.errors import BadInput
from renderer.field.frame_codes import audio_code, frame_codes, pose_code, rotation_vector, spherical_harmonics, view_direction
from renderer.field.torch_field import TorchField
from tests.renderer.synthetic_avatar import camera_from_head, synthetic_avatar, synthetic_condition


@pytest.fixture(scope="module")
def avatar():
    return synthetic_avatar(small=True, size_px=64)


@pytest.fixture(scope="module")
def net(avatar) -> TorchField:
    field = TorchField(avatar.field_config)
    field.load_arrays(avatar.tensors)
    return field


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 0.7])
def test_audio_code_matches_torch(avatar, net: TorchField, smoothing: float) -> None:
    window = synthetic_condition(avatar, 5).audio_window
    ours = audio_code(avatar.field_config, avatar.tensors, window, smoothing)
    theirs = net.audio_codes(torch.from_numpy(window)[None], smoothing)[0].detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize("emotion", [None, Emotion("sad", 0.5)])
@pytest.mark.parametrize("emotional", [False, True])
def test_head_biases_match_torch(emotional: bool, emotion: Emotion | None) -> None:
    avatar = synthetic_avatar(small=True, size_px=64, emotional=emotional)
    net = TorchField(avatar.field_config)
    net.load_arrays(avatar.tensors)
    code = None if emotion is None else emotion_code(emotion)
    c = synthetic_condition(avatar, 3, appearance=1, emotion=code)
    codes = frame_codes(avatar.field_config, avatar.tensors, c)
    harmonics = spherical_harmonics(view_direction(c.camera_from_head, avatar.field_config.head_centre))
    biases = net.head_biases(
        net.audio_codes(torch.from_numpy(c.audio_window)[None]),
        torch.tensor([c.eye_ratio]),
        torch.from_numpy(harmonics)[None],
        net["head.appearance"][1:2],
        None if code is None else torch.from_numpy(code)[None],
    ).frame(0)
    for ours, theirs in (
        (codes.ambient_bias, biases.ambient),
        (codes.density_bias, biases.density),
        (codes.eye_bias, biases.eye),
        (codes.colour_bias, biases.colour),
    ):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=3e-6)


def test_emotion_changes_the_head_and_only_where_the_field_takes_it() -> None:
    for emotional in (False, True):
        avatar = synthetic_avatar(small=True, size_px=64, emotional=emotional)
        plain, neutral, happy = (
            frame_codes(avatar.field_config, avatar.tensors, synthetic_condition(avatar, 3, emotion=code))
            for code in (None, emotion_code(NEUTRAL), emotion_code(Emotion("happy", 1.0)))
        )
        for name in ("ambient_bias", "density_bias", "colour_bias"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(neutral, name))
            assert (np.abs(getattr(happy, name) - getattr(neutral, name)).max() > 1e-3) == emotional
        np.testing.assert_array_equal(happy.deform_bias, neutral.deform_bias)


def test_emotion_code_of_another_size_is_rejected() -> None:
    avatar = synthetic_avatar(small=True, size_px=64, emotional=True)
    with pytest.raises(BadInput, match=r"\(5,\).*\(8,\)"):
        frame_codes(avatar.field_config, avatar.tensors, synthetic_condition(avatar, 0, emotion=np.zeros(5, np.float32)))


def test_smoothing_mixes_in_the_past(avatar) -> None:
    def code(window: np.ndarray, smoothing: float) -> np.ndarray:
        return audio_code(avatar.field_config, avatar.tensors, window, smoothing)

    window = synthetic_condition(avatar, 0).audio_window
    past = window.copy()
    past[: 2 * (avatar.field_config.audio_window.smoothing_frames - 1)] = 0.0
    np.testing.assert_array_equal(code(past, 0.0), code(window, 0.0))
    assert np.abs(code(past, 0.5) - code(window, 0.5)).max() > 1e-4


def test_wrong_window_is_rejected(avatar) -> None:
    with pytest.raises(BadInput, match=r"\(3, 40\)"):
        audio_code(avatar.field_config, avatar.tensors, np.zeros((3, 40), np.float32))


def test_unknown_appearance_is_rejected(avatar) -> None:
    with pytest.raises(BadInput, match="99"):
        frame_codes(avatar.field_config, avatar.tensors, synthetic_condition(avatar, 0, appearance=99))


def test_frontal_pose_has_no_rotation(avatar) -> None:
    pose = camera_from_head()
    np.testing.assert_allclose(pose_code(pose, avatar.field_config)[:3], 0.0, atol=1e-6)
    np.testing.assert_allclose(view_direction(pose, (0.0, 0.0, 0.0)), (0, 0, 1), atol=1e-6)


def test_rotation_vector_is_axis_times_angle() -> None:
    pose = np.diag([1.0, -1.0, -1.0]) @ camera_from_head(yaw=0.3)[:3, :3]
    np.testing.assert_allclose(rotation_vector(pose), (0, 0.3, 0), atol=1e-6)


def test_spherical_harmonics_are_orthonormal() -> None:
    random = np.random.default_rng(0).normal(size=(40_000, 3))
    values = np.stack([spherical_harmonics(d / np.linalg.norm(d)) for d in random])
    np.testing.assert_allclose(4 * np.pi * values.T @ values / len(values), np.eye(16), atol=0.08)
