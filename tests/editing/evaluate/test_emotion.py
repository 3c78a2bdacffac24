"""The judge of emotions on faces whose emotions are known, and what is counted with it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from editing.__main__ import main
from editing.dataset import Dataset
from editing.evaluate.driving import Drive
from editing.evaluate.emotion_judge import EmotionJudge
from editing.evaluate.emotion_report import emotion_metrics, table
from editing.landmarks import INNER_LIPS, LEFT_BROW, N_LANDMARKS, RIGHT_BROW, Face
from editing.synthesize.take import TakeConfig, synthesize
from renderer.audio.encoder import AudioEncoder
from renderer.emotion import EMOTIONS, NEUTRAL, Emotion
from renderer.errors import BadInput
from tests.renderer.synthetic_avatar import synthetic_avatar

if TYPE_CHECKING:
    from jaxtyping import UInt8

LABELS = [NEUTRAL, *(Emotion(c, s) for c, s in itertools.product(EMOTIONS[1:], (1 / 3, 2 / 3, 1.0)))]
LIFTS = {"neutral": (0, 0), "angry": (-6, 0), "fearful": (6, 6), "happy": (0, -6), "sad": (6, -6)}
"""Of the right and the left brow, in pixels, at full strength."""
SHAPE = np.random.default_rng(0).normal(0.0, 40.0, (N_LANDMARKS, 3))


def face(emotion: Emotion, rng: np.random.Generator) -> Face:
    """Brows tell the emotion, lips speak, the head turns, comes nearer and moves, and every landmark is half a pixel off."""
    points = SHAPE.copy()
    for brow, lift in zip((RIGHT_BROW, LEFT_BROW), LIFTS[emotion.category], strict=True):
        points[list(brow), 1] += lift * emotion.strength
    points[list(INNER_LIPS), 1] += rng.uniform(0.0, 12.0)
    points = Rotation.from_euler("xyz", rng.uniform(-15.0, 15.0, 3), degrees=True).apply(points) * rng.uniform(0.8, 1.2)
    points = points + rng.uniform(-30.0, 30.0, 3) + 128.0 + rng.normal(0.0, 0.5, points.shape)
    return Face(points[:, :2].astype(np.float32), points[:, 2].astype(np.float32), {"jawOpen": rng.random()}, np.eye(4, dtype=np.float32))


@pytest.fixture(scope="module")
def judge() -> EmotionJudge:
    rng = np.random.default_rng(1)
    emotions = [label for label in LABELS for _ in range(60)]
    return EmotionJudge.of_faces([face(emotion, rng) for emotion in emotions], emotions)


def test_judge_recognises_categories_of_faces_it_has_not_seen(judge: EmotionJudge) -> None:
    rng = np.random.default_rng(2)
    right = [judge.category(face(label, rng)) == label.category for label in LABELS for _ in range(20)]
    assert np.mean(right) > 0.95


def test_judge_reads_strengths_in_their_order(judge: EmotionJudge) -> None:
    rng = np.random.default_rng(3)
    for category in EMOTIONS[1:]:
        seen = [
            np.mean([judge.strength_of(face(Emotion(category, s), rng), category) for _ in range(20)]) for s in (0.0, 1 / 3, 2 / 3, 1.0)
        ]
        np.testing.assert_allclose(seen, (0.0, 1 / 3, 2 / 3, 1.0), atol=0.15)


def test_judge_without_a_neutral_face_is_refused() -> None:
    rng, emotions = np.random.default_rng(4), [Emotion("sad", 1.0)] * 3 + [Emotion("happy", 1.0)] * 3
    with pytest.raises(BadInput, match="happy, sad: neutral and at least one other"):
        EmotionJudge.of_faces([face(emotion, rng) for emotion in emotions], emotions)


class KnowingDetector:
    """Finds a face in every picture, and knows which pictures are true."""

    def __init__(self, dataset: Dataset) -> None:
        self._true = {np.asarray(picture).tobytes(): k for k, picture in enumerate(dataset.frames)}

    def detect_face(self, picture: UInt8[np.ndarray, "h w 3"]) -> Face:
        frame = self._true.get(picture.tobytes(), -1)
        landmarks = np.full((N_LANDMARKS, 2), float(frame), np.float32) + np.arange(N_LANDMARKS)[:, None]
        return Face(landmarks, np.zeros(N_LANDMARKS, np.float32), {}, np.eye(4, dtype=np.float32))


class FixedJudge:
    """Right about true pictures, takes all others for happy ones, and finds each stronger than the last; sad ones ever weaker."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._calls = dataset, 0
        self.strength = dict.fromkeys(EMOTIONS[1:])

    def category(self, found: Face) -> str:
        frame = int(found.landmarks[0, 0])
        return "happy" if frame < 0 else self._dataset.emotion(frame).category

    def strength_of(self, found: Face, category: str) -> float:
        self._calls += 1
        return -self._calls if category == "sad" else self._calls


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("takes") / "emotions"
    config = TakeConfig(seconds=8.0, size_px=64, supersample=1, seed=4, voices=("en-us+m3",), emotion="all")
    synthesize(path, config, 1, show_progress=False)
    return Dataset.open(path)


@pytest.mark.parametrize("emotional", [True, False])
def test_emotion_metrics_count_what_the_judge_says(take: Dataset, emotional: bool) -> None:
    avatar, encoder = synthetic_avatar(small=True, size_px=64, emotional=emotional), AudioEncoder.bundled()
    drive = Drive.prepare(avatar, take, encoder)
    found = emotion_metrics(drive, FixedJudge(take), KnowingDetector(take), every=9, moments=2)  # type: ignore[arg-type]
    frames = np.flatnonzero(take.usable())[::9]
    happy = np.mean([take.emotion(int(k)).category == "happy" for k in frames])
    assert found["frames"] == len(frames)
    assert found["accuracy"] == pytest.approx(happy) and found["accuracy_of_truth"] == 1.0
    assert sum(row["frames"] for row in found["by_emotion"].values()) == len(frames)
    if emotional:
        assert found["strength_ordered"] == pytest.approx(0.75) and found["strength_ordered_by_emotion"]["sad"] == 0.0
    else:
        assert found["strength_ordered"] is None and "takes no emotion" in found["strength_ordered_reason"]
    assert len(table(found).splitlines()) >= 2 + len(found["by_emotion"])


def test_drive_shows_the_dataset_s_emotions(take: Dataset) -> None:
    emotional, plain = (synthetic_avatar(small=True, size_px=64, emotional=e) for e in (True, False))
    encoder = AudioEncoder.bundled()
    frame = int(np.flatnonzero(take.track.emotion_intensity == 1.0)[0])
    np.testing.assert_array_equal(Drive.prepare(emotional, take, encoder).condition(frame).emotion, take.emotion_codes()[frame])
    assert Drive.prepare(plain, take, encoder).condition(frame).emotion is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--every", "0"), "--every 0"),
        (("--moments", "-1"), "--moments -1"),
        (("--pictures", "/nowhere/x.jpg"), "its folder does not exist"),
    ],
)
def test_emotions_answers_bad_input_with_one_line(options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emotions", "bundled", "--dataset", "none", "--truth", "none", *options]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
