"""Training with emotion labels and without, on tiny pictures."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.dataset import Dataset
from editing.synthesize.take import TakeConfig, synthesize
from editing.train.clip import TrainingClip, label_chances
from editing.train.command import field_config_for, learns_emotion, parser
from editing.train.command import main as train_main
from editing.train.config import TrainConfig
from editing.train.emotion_tensors import with_emotion, without_emotion
from editing.train.trainer import Trainer
from renderer.audio.encoder import AudioEncoder
from renderer.emotion import Emotion, emotion_code
from renderer.errors import BadInput
from renderer.field.frame_codes import frame_codes
from renderer.field.parameters import EMOTION_TENSORS, parameter_shapes
from tests.renderer.synthetic_avatar import synthetic_avatar, synthetic_condition

if TYPE_CHECKING:
    from pathlib import Path

    from renderer.avatar import Avatar

SAD = emotion_code(Emotion("sad", 1.0))
BRIEF = [
    "--speech-steps",
    "0",
    "--head-steps",
    "3",
    "--lips-steps",
    "1",
    "--torso-steps",
    "1",
    "--threads",
    "1",
    "--finest-resolution",
    "64",
]


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several labels at 32 pixels."""
    path = tmp_path_factory.mktemp("takes") / "emotions"
    voices = ("en-us+m3",)
    synthesize(path, TakeConfig(seconds=6.0, size_px=32, supersample=1, seed=4, voices=voices, emotion="all"), 1, show_progress=False)
    assert Dataset.open(path).has_emotions()
    return path


def biases(avatar: Avatar, emotion: np.ndarray | None) -> np.ndarray:
    codes = frame_codes(avatar.field_config, avatar.tensors, synthetic_condition(avatar, 1, emotion=emotion))
    return np.concatenate([codes.ambient_bias, codes.density_bias, codes.eye_bias, codes.colour_bias])


def test_avatar_that_is_given_emotions_looks_as_before_in_all_of_them() -> None:
    plain = synthetic_avatar(small=True, size_px=64)
    for emotion in (None, SAD):
        np.testing.assert_array_equal(biases(with_emotion(plain), emotion), biases(plain, None))


def test_avatar_without_its_emotions_has_its_neutral_face() -> None:
    emotional = synthetic_avatar(small=True, size_px=64, emotional=True)
    bare = without_emotion(emotional)
    assert not bare.is_emotional and not set(EMOTION_TENSORS) & set(bare.tensors)
    np.testing.assert_allclose(biases(bare, SAD), biases(emotional, None), atol=1e-6)
    assert np.abs(biases(emotional, SAD) - biases(bare, SAD)).max() > 1e-3
    assert with_emotion(emotional) is emotional and without_emotion(bare) is bare


def test_label_chances_favour_the_rare_without_hiding_the_frequent() -> None:
    labels = np.repeat([0, 1], [400, 4])
    chances = label_chances(labels)
    assert chances is not None and chances.sum() == pytest.approx(1.0)
    assert chances[labels == 0].sum() / chances[labels == 1].sum() == pytest.approx(10.0)
    assert label_chances(np.zeros(7, int)) is None


@pytest.mark.parametrize(("option", "asked", "learned"), [([], None, True), (["--no-emotion"], False, False), (["--emotion"], True, True)])
def test_train_learns_emotions_where_the_dataset_has_several(
    take: Path, tiny_take: Path, option: list[str], asked: bool | None, learned: bool
) -> None:
    arguments = parser().parse_args([str(take), "--out", "x.avatar", *option])
    assert arguments.emotion is asked
    assert learns_emotion(arguments.emotion, Dataset.open(take)) == learned
    assert learns_emotion(arguments.emotion, Dataset.open(tiny_take)) == bool(asked)


def test_training_moves_the_emotions_weights(take: Path, tmp_path: Path) -> None:
    """Begun at zero, as with an avatar that knows no emotion, they are learned; frames on the way between labels are not looked at."""
    dataset, encoder = Dataset.open(take), AudioEncoder.bundled()
    config = field_config_for(dataset, encoder.spec, 160.0, 64, emotional=True)
    clip = TrainingClip(dataset, encoder, config)
    assert set(clip.frames) == set(np.flatnonzero(dataset.usable()))
    np.testing.assert_array_equal(clip.emotions, dataset.emotion_codes())
    steps = TrainConfig(speech_steps=0, head_steps=4, lips_steps=0, torso_steps=0, samples_per_step=2048, threads=1)
    trainer = Trainer(clip, None, config, steps, tmp_path / "x.checkpoint")
    plain = Trainer(clip, None, dataclasses.replace(config, emotion_dim=0), steps, tmp_path / "y.checkpoint").snapshot("plain", encoder)
    trainer.start_from(plain)
    assert all(float(trainer.field[name].detach().abs().max()) == 0.0 for name in EMOTION_TENSORS)
    trainer.run(lambda *_: None)
    for name in EMOTION_TENSORS:
        assert float(trainer.field[name].detach().abs().max()) > 0.0, name
    assert set(trainer.snapshot("x", encoder).tensors) == set(parameter_shapes(config))


def test_train_refuses_an_emotion_that_no_avatar_knows(tmp_path: Path) -> None:
    path, voices = tmp_path / "take", ("en-us+m3",)
    config = TakeConfig(seconds=0.4, size_px=32, supersample=1, emotion="surprised", emotion_strength=1.0, voices=voices)
    synthesize(path, config, 1, show_progress=False)
    with pytest.raises(BadInput, match="'surprised' is unknown"):
        train_main([str(path), "--out", str(tmp_path / "x.avatar"), *BRIEF, "--emotion"])
