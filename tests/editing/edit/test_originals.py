from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.capture.labels import LABELS
from editing.edit.edited_clip import edited_background, edited_clip
from editing.edit.originals import Moments, Originals, by_layers
from renderer.errors import BadInput

if TYPE_CHECKING:
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar


def test_moments_are_spread_over_the_clip_and_say_what_was_said(avatar: Avatar, encoder: AudioEncoder) -> None:
    moments = Moments.of(avatar, encoder, 4)
    assert moments.indices.tolist() == [0, 4, 7, 11]
    np.testing.assert_array_equal(moments.poses, avatar.pose_track[[0, 4, 7, 11]])
    assert not np.array_equal(moments.windows[1], moments.windows[2])
    assert len(Moments.of(avatar, encoder, 500).indices) == len(avatar.pose_track)


def test_an_avatar_without_its_sound_is_refused(avatar: Avatar, encoder: AudioEncoder) -> None:
    with pytest.raises(BadInput, match="does not hold what was said"):
        Moments.of(avatar.replace(audio_track=None), encoder, 4)


def test_opacity_is_the_persons(avatar: Avatar, encoder: AudioEncoder) -> None:
    moments = Moments.of(avatar, encoder, 4)
    person = moments.opacity(avatar, range(4), 1)
    head = moments.opacity(avatar.replace(torso_mask=np.zeros_like(avatar.torso_mask)), range(4), 1)
    assert person[:, 2, 2].max() < 0.05 and person[:, 60, 32].min() > 0.9, "background above, chest below"
    assert head[:, 60, 32].max() < 0.1 and head[:, 28, 30].min() > 0.9, "the head has no chest"


def test_labels_agree_with_the_layers() -> None:
    names = np.array([["background", "cloth", "neck", "face"], ["hair", "lips", "cloth", "background"]])
    labels = np.vectorize(LABELS.get)(names).astype(np.uint8)
    head = np.array([[True, True, True, True], [False, False, False, False]])
    person = np.array([[True, True, True, True], [True, True, True, False]])
    found = by_layers(labels, head, person)
    wanted = [["hair", "hair", "face", "face"], ["neck", "neck", "cloth", "background"]]
    assert found.tolist() == [[LABELS[name] for name in row] for row in wanted]
    assert by_layers(labels, head, ~person)[0].tolist() == [LABELS["background"]] * 4


@pytest.mark.usefixtures("without_landmarks")
def test_background_is_taken_over_only_where_it_was_edited(avatar: Avatar, encoder: AudioEncoder) -> None:
    originals = Originals.of(avatar, encoder, 8, 1)
    person = originals.guide.person
    assert person is not None
    blue = np.where(person[..., None] > 0.5, (0, 0, 255), originals.pictures).astype(np.uint8)
    np.testing.assert_array_equal(edited_background(avatar.background, originals, blue), avatar.background)
    green = np.where(person[..., None] > 0.5, originals.pictures, (0, 200, 0)).astype(np.uint8)
    plate = edited_background(avatar.background, originals, green)
    assert np.abs(plate.astype(int) - (0, 200, 0)).max() <= 2


@pytest.mark.usefixtures("without_landmarks")
def test_clip_has_the_moments_sound_and_poses(avatar: Avatar, encoder: AudioEncoder) -> None:
    originals = Originals.of(avatar, encoder, 5, 1)
    clip = edited_clip(avatar, originals, originals.pictures, encoder, "test")
    np.testing.assert_array_equal(clip.windows, originals.moments.windows)
    np.testing.assert_array_equal(clip.poses, originals.moments.poses)
    assert clip.n_frames == 5 and clip.head_mask(0).any() and clip.torso_target(0)[1].any()
