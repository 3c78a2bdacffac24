"""Frames without labels are parsed; a guide that does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest

from editing.capture.labels import LABELS
from editing.image_editors.guide import Guide
from renderer.errors import BadInput
from tests.editing.image_editors.presenter_frames import OPEN, REST, one, presenter_frames


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("with_mask", [False, True])
def test_completed_labels_the_presenter(with_mask: bool) -> None:
    frames, truth = presenter_frames()
    frames, truth = one(frames, truth, OPEN)
    person = (truth.labels != LABELS["background"]).astype(np.float32) if with_mask else None
    guide = Guide(truth.landmarks, None, person).completed(frames)
    assert guide.originals is frames
    for names, wanted in (
        (("background",), 0.97),
        (("hair",), 0.85),
        (("cloth",), 0.9),
        (("face", "brow", "eye", "lips", "mouth", "teeth"), 0.85),
    ):
        ids = [LABELS[name] for name in names]
        assert overlap(np.isin(guide.labels, ids), np.isin(truth.labels, ids)) > wanted, names


def test_completed_labels_pictures_that_are_not_square() -> None:
    frames, truth = presenter_frames()
    frames, truth = one(frames, truth, REST)
    cut = slice(0, 220)
    guide = Guide(truth.landmarks).completed(np.ascontiguousarray(frames[:, cut]))
    assert guide.labels.shape == (1, 220, 256)
    assert overlap(guide.labels == LABELS["hair"], truth.labels[:, cut] == LABELS["hair"]) > 0.85


def test_completed_needs_the_landmark_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACE_LANDMARKER_TASK", raising=False)
    frames, _ = presenter_frames()
    with pytest.raises(BadInput, match="FACE_LANDMARKER_TASK"):
        Guide().completed(frames)


def test_completed_names_the_frame_without_a_face() -> None:
    class Blind:
        def detect(self, picture: np.ndarray) -> None:
            return None

    frames, _ = presenter_frames()
    with pytest.raises(BadInput, match="frame 17: no face"):
        Guide().completed(frames[:1], [17], Blind())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["landmarks", "labels", "person", "originals"])
def test_check_refuses_what_does_not_fit(name: str) -> None:
    with pytest.raises(BadInput, match=name):
        Guide(**{name: np.zeros((2, 8, 8))}).check((1, 64, 64))
