from __future__ import annotations

import itertools

import numpy as np
import pytest

from renderer.emotion import NEUTRAL
from renderer.face_expression import CATEGORIES, expression_scores
from renderer.head_angles import head_angles_deg, head_rotation
from renderer.head_guide import (
    GLIDE_S,
    LOST_S,
    MAX_EYE_STEP,
    MAX_SHIFT_STEP,
    MAX_TURN_STEP_DEG,
    REST_S,
    STILL,
    HeadGuide,
    HeadMovement,
    HeadSighting,
    SeenFace,
)
from renderer.types import FPS

NO_EXPRESSION = np.zeros(len(CATEGORIES))
OPEN_BLINK, CLOSED_BLINK = 0.1, 0.7
REST_DEG = np.array([6.0, -4.0, 3.0])
REST_PLACE = np.array([0.2, -0.1, 3.0])


def face(turn_deg=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0), blink=OPEN_BLINK, expression=NO_EXPRESSION) -> SeenFace:
    """Somebody who sits askew: turned against a rest of his own."""
    pose = np.eye(4)
    pose[:3, :3] = head_rotation(REST_DEG + np.asarray(turn_deg))
    pose[:3, 3] = REST_PLACE + np.asarray(shift)
    return SeenFace(pose, blink, expression)


def rested() -> HeadGuide:
    """A guide that has just learned its rest: sightings go on from REST_S on."""
    guide = HeadGuide()
    guide.turn_on()
    for k in range(round(REST_S * FPS) + 1):
        guide.push(HeadSighting(k / FPS, face()))
    assert not guide.is_resting
    return guide


def frames(guide: HeadGuide, first: int, n: int, shown: HeadMovement = STILL) -> list[HeadMovement]:
    movements = []
    for frame in range(first, first + n):
        shown = guide.after(shown, frame)
        movements.append(shown)
    return movements


def test_head_angles_are_undone_by_head_rotation() -> None:
    angles_deg = np.random.default_rng(0).uniform(-80.0, 80.0, (50, 3))
    np.testing.assert_allclose(head_angles_deg(head_rotation(angles_deg)), angles_deg, atol=1e-9)


def test_head_angles_of_a_turned_face_have_the_documented_signs() -> None:
    right, down, _ = np.eye(3) * 20.0
    assert head_rotation(right)[0, 2] > 0.3  # the face's axis points to the picture's right
    assert head_rotation(down)[1, 2] > 0.3  # and down: y grows downwards


def test_head_guide_is_off_at_first_and_shows_nothing() -> None:
    guide = HeadGuide()
    guide.push(HeadSighting(0.0, face((20.0, 0.0, 0.0))))
    assert all(movement.share == 0.0 for movement in frames(guide, 0, 50))


def test_head_guide_measures_against_the_first_second() -> None:
    guide = rested()
    for k in range(60):
        guide.push(HeadSighting(REST_S + (k + 1) / FPS, face((10.0, -5.0, 4.0), (0.3, 0.1, -0.2))))
    last = frames(guide, 26, 60)[-1]
    np.testing.assert_allclose(last.turn_deg, [10.0, -5.0, 4.0], atol=0.2)
    np.testing.assert_allclose(last.shift, [0.3, 0.1, -0.2], atol=0.01)
    assert last.share == 1.0 and last.eye_openness == pytest.approx(1.0, abs=0.02)


def test_head_guide_rest_takes_no_notice_of_a_blink_or_a_wrong_pose() -> None:
    guide = HeadGuide()
    guide.turn_on()
    for k in range(26):
        guide.push(HeadSighting(k / FPS, face((40.0, 0.0, 0.0), blink=CLOSED_BLINK) if k in (3, 4, 5, 6) else face()))
    guide.push(HeadSighting(REST_S + 1 / FPS, face()))
    movement = frames(guide, 27, 40)[-1]
    np.testing.assert_allclose(movement.turn_deg, 0.0, atol=1.5)
    assert movement.eye_openness > 0.95


def test_head_guide_shows_a_sighting_in_the_frame_of_its_moment() -> None:
    guide = rested()
    for k in range(100):
        guide.push(HeadSighting(REST_S + (k + 1) / FPS, face((0.2 * k, 0.0, 0.0))))
    movements = frames(guide, 26, 100)
    # A steady turn of 5 degrees a second: frame 26 + k belongs to sighting k.
    lag_frames = (0.2 * np.arange(60, 100) - [movement.turn_deg[0] for movement in movements[60:100]]) / 0.2
    assert np.abs(lag_frames).max() < 3.0


def test_head_guide_uses_what_comes_late_for_the_next_frame() -> None:
    guide = rested()
    shown = frames(guide, 26, 30)[-1]
    before = shown.turn_deg[0]
    guide.push(HeadSighting(50 / FPS, face((3.0, 0.0, 0.0))))  # of frame 50, and frame 55 is shown already
    assert guide.after(shown, 56).turn_deg[0] > before + 0.5


def test_head_guide_blinks_within_two_frames() -> None:
    guide = rested()
    for k in range(40):
        guide.push(HeadSighting(REST_S + (k + 1) / FPS, face(blink=CLOSED_BLINK if k in (30, 31, 32) else OPEN_BLINK)))
    openness = [movement.eye_openness for movement in frames(guide, 26, 40)]
    assert min(openness[:30]) > 0.95 and openness[32] < 0.15 and openness[36] > 0.8


def test_head_guide_glides_back_when_the_face_is_lost_and_returns_with_it() -> None:
    guide = rested()
    time_s = REST_S
    for k in range(200):
        time_s = REST_S + (k + 1) / FPS
        guide.push(HeadSighting(time_s, None if 50 <= k < 150 else face((12.0, 0.0, 0.0))))
    guide.push(HeadSighting(time_s + 1 / FPS, face((12.0, 0.0, 0.0))))
    # The guide knows of the loss only as it happens: play it again in step.
    again, shares, shown = rested(), [], STILL
    for k in range(200):
        again.push(HeadSighting(REST_S + (k + 1) / FPS, None if 50 <= k < 150 else face((12.0, 0.0, 0.0))))
        shown = again.after(shown, 26 + k)
        shares.append(shown.share)
    assert shares[49] == 1.0 and shares[50 + round(LOST_S * FPS) - 2] == 1.0
    assert shares[50 + round((LOST_S + GLIDE_S) * FPS) + 1] == 0.0
    assert shares[149] == 0.0 and shares[150 + round(GLIDE_S * FPS)] == 1.0


def test_head_guide_glides_back_when_no_picture_comes_any_more() -> None:
    guide = rested()
    for k in range(50):
        guide.push(HeadSighting(REST_S + (k + 1) / FPS, face((12.0, 0.0, 0.0))))
    movements = frames(guide, 26, 150)
    assert movements[49].share == 1.0 and movements[-1].share == 0.0


def test_head_guide_straightens_without_a_jump() -> None:
    guide, shown, turns = rested(), STILL, []
    for k in range(150):
        if k == 60:
            guide.straighten()
        guide.push(HeadSighting(REST_S + (k + 1) / FPS, face((15.0, 0.0, 0.0))))
        shown = guide.after(shown, 26 + k)
        turns.append(shown.turn_deg[0])
    assert turns[59] == pytest.approx(15.0, abs=0.3) and turns[80] == pytest.approx(15.0, abs=0.3)
    assert turns[-1] == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize("seed", range(8))
def test_head_guide_never_steps_farther_than_it_may(seed: int) -> None:
    """Whatever is seen: a face that jumps, goes, comes back, a camera that stutters, following turned off and on."""
    random = np.random.default_rng(seed)
    guide, shown, movements, time_s = HeadGuide(), STILL, [], 0.0
    guide.turn_on()
    for frame in range(800):
        if random.random() < 0.01:
            (guide.turn_off, guide.turn_on, guide.straighten)[random.integers(3)]()
        while time_s < frame / FPS + random.uniform(-0.2, 0.1):
            time_s += random.choice([1 / 30, 1 / 25, 1 / 10, 0.6])
            seen = face(random.uniform(-60, 60, 3), random.normal(0, 1, 3), random.uniform()) if random.random() < 0.9 else None
            guide.push(HeadSighting(time_s, seen))
        if random.random() < 0.9:  # else the frame is left out
            shown = guide.after(shown, frame)
            movements.append(shown)
    assert max(movement.share for movement in movements) == 1.0
    for a, b in itertools.pairwise(movements):
        n = b.frame - a.frame
        assert abs(b.share - a.share) <= n / (GLIDE_S * FPS) + 1e-9
        if a.share > 0.0:
            assert np.abs(b.turn_deg - a.turn_deg).max() <= MAX_TURN_STEP_DEG * n + 1e-9
            assert np.abs(b.shift - a.shift).max() <= MAX_SHIFT_STEP * n + 1e-9
            assert abs(b.eye_openness - a.eye_openness) <= MAX_EYE_STEP * n + 1e-9


def test_head_guide_shows_a_smile_and_forgets_it_with_the_face() -> None:
    guide = rested()
    smile = expression_scores({"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9})
    for k in range(50):
        guide.push(HeadSighting(REST_S + (k + 1) / FPS, face(expression=smile)))
    assert guide.emotion.category == "happy" and guide.emotion.strength > 0.9
    for k in range(50, 80):
        guide.push(HeadSighting(REST_S + (k + 1) / FPS, None))
    assert guide.emotion == NEUTRAL


def test_head_guide_takes_no_expression_for_one_that_is_there_at_rest() -> None:
    guide = HeadGuide()
    guide.turn_on()
    smile = expression_scores({"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5})
    for k in range(100):
        guide.push(HeadSighting(k / FPS, face(expression=smile)))
    assert guide.emotion == NEUTRAL
