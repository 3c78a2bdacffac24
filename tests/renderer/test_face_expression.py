from __future__ import annotations

import itertools

import numpy as np
import pytest

from renderer.emotion import NEUTRAL
from renderer.face_expression import CATEGORIES, FaceExpression, expression_scores
from renderer.types import FPS

REST = np.zeros(len(CATEGORIES))


def shown(expression: FaceExpression, scores: np.ndarray, first: int = 0, n: int = 50):
    return [expression.push((first + k) / FPS, scores, REST) for k in range(n)]


@pytest.mark.parametrize(
    ("category", "blendshapes"),
    [
        ("happy", {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}),
        ("sad", {"mouthFrownLeft": 0.3, "mouthFrownRight": 0.3, "mouthShrugLower": 0.4}),
        ("angry", {"browDownLeft": 0.5, "browDownRight": 0.5}),
        ("fearful", {"eyeWideLeft": 0.3, "eyeWideRight": 0.3, "browInnerUp": 0.6, "jawOpen": 0.5}),
    ],
)
def test_face_expression_names_each_category(category: str, blendshapes: dict[str, float]) -> None:
    last = shown(FaceExpression(), expression_scores(blendshapes))[-1]
    assert last.category == category and last.strength > 0.5


def test_face_expression_is_neutral_at_rest_and_between_two() -> None:
    assert shown(FaceExpression(), REST)[-1] == NEUTRAL
    both = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "browDownLeft": 0.5, "browDownRight": 0.5}
    assert shown(FaceExpression(), expression_scores(both))[-1] == NEUTRAL


def test_face_expression_goes_from_one_to_another_through_neutral() -> None:
    expression = FaceExpression()
    emotions = shown(expression, expression_scores({"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9}))
    emotions += shown(expression, expression_scores({"browDownLeft": 0.6, "browDownRight": 0.6}), first=50)
    assert emotions[49].category == "happy" and emotions[-1].category == "angry"
    for a, b in itertools.pairwise(emotions):
        assert a.category == b.category or min(a.strength, b.strength) < 0.2


def test_expression_scores_average_left_and_right() -> None:
    assert expression_scores({"mouthSmileLeft": 0.8})[0] == pytest.approx(0.4)
