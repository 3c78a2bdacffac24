from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.style_diffusion import renders
from editing.style_diffusion.renders import HELD_OUT_FROM, drawn_moments, make_renders
from editing.style_diffusion.styles import STYLES
from renderer.errors import BadInput
from renderer.view import MAX_YAW_DEG, facing_deg
from tests.editing.edit.conftest import N_TRACK, SIZE_PX

if TYPE_CHECKING:
    from pathlib import Path

    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar


def test_moments_are_of_their_span_and_some_are_turned(avatar: Avatar, encoder: AudioEncoder) -> None:
    moments = drawn_moments(avatar, encoder, 30, (0.5, 1.0), (0, 1))
    assert moments.indices.min() >= N_TRACK // 2 and moments.indices.max() < N_TRACK
    turned = [not np.array_equal(pose, avatar.pose_track[k]) for pose, k in zip(moments.poses, moments.indices, strict=True)]
    assert 6 < sum(turned) < 24
    own = facing_deg(avatar.pose_track[moments.indices].astype(float))[0]
    yaw = facing_deg(moments.poses.astype(float))[0]
    assert 3.0 < np.abs(yaw - own).max() <= MAX_YAW_DEG
    again = drawn_moments(avatar, encoder, 30, (0.5, 1.0), (0, 1))
    np.testing.assert_array_equal(moments.poses, again.poses)


def test_an_avatar_without_its_sound_is_refused(avatar: Avatar, encoder: AudioEncoder) -> None:
    with pytest.raises(BadInput, match="does not hold what was said"):
        drawn_moments(avatar.replace(audio_track=None), encoder, 4, (0.0, 1.0), (0,))


@pytest.mark.usefixtures("tinted")
def test_renders_are_the_same_frames_in_every_style_and_are_not_made_twice(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renders, "PORTION", 2)
    seen: list[tuple[int, int]] = []
    learn_from, judge_by = make_renders(avatar, encoder, 3, 2, tmp_path, 1, 0, lambda *done: seen.append(done))
    assert learn_from.pictures.shape == (len(STYLES), 3, SIZE_PX, SIZE_PX, 3) and len(judge_by) == 2
    assert seen == [(2, 5), (3, 5), (5, 5)]
    plain, bronze = learn_from.pictures[0].astype(float), learn_from.pictures[1].astype(float)
    np.testing.assert_allclose(bronze, 0.4 * plain + 0.6 * np.array([200, 120, 0]), atol=1.0)
    assert not {picture.tobytes() for picture in learn_from.pictures[0]} & {picture.tobytes() for picture in judge_by.pictures[0]}

    monkeypatch.setattr(renders, "styled", lambda *_: pytest.fail("rendered again"))
    again, _ = make_renders(avatar, encoder, 3, 2, tmp_path, 1, 0, lambda *_: None)
    np.testing.assert_array_equal(again.pictures, learn_from.pictures)


def test_learned_and_judged_frames_come_from_different_parts_of_the_clip(
    avatar: Avatar, encoder: AudioEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = []

    def noted(avatar: Avatar, encoder: AudioEncoder, n: int, span: tuple[float, float], seed: tuple[int, ...]) -> object:
        spans.append(span)
        raise KeyboardInterrupt

    monkeypatch.setattr(renders, "drawn_moments", noted)
    for n in (2, 0):
        with pytest.raises(KeyboardInterrupt):
            make_renders(avatar, encoder, n, 2, tmp_path, 1, 0, lambda *_: None)
    assert spans == [(0.0, HELD_OUT_FROM), (HELD_OUT_FROM, 1.0)]
