"""The shipped avatar's mouth when nobody speaks, by its pixels: landmarks need a model that is not in this project."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.evaluate import stillness
from editing.evaluate.stillness import held, mouth_stillness, room_noise
from renderer.audio.encoder import AudioEncoder
from renderer.avatar_file import load_avatar
from renderer.backends.base import RenderOptions, open_backend
from renderer.library import find_avatar
from renderer.render import speak
from tests.end_to_end.speech import RATE_HZ, read_sound, write_speech

if TYPE_CHECKING:
    from pathlib import Path

    from renderer.avatar import Avatar

SIZE_PX = 96
ROWS, COLUMNS = slice(46, 70), slice(30, 66)
SETTLED = 25


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return held(load_avatar(find_avatar("bundled")))


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path: Path = tmp_path_factory.mktemp("stillness") / "speech.wav"
    write_speech(path, 6.0)
    return read_sound(path)[:: RATE_HZ // 16_000]


def mouths(avatar: Avatar, samples: np.ndarray) -> np.ndarray:
    backend = open_backend(avatar, RenderOptions(size=SIZE_PX))
    with contextlib.closing(backend):
        pictures = [picture[ROWS, COLUMNS].astype(float) for picture in speak(avatar, AudioEncoder.bundled(), backend, samples)]
    return np.stack(pictures)[SETTLED:]


def test_mouth_rests_in_silence_and_in_noise(avatar: Avatar, speech: np.ndarray) -> None:
    moved = mouths(avatar, speech).std(0).mean()
    assert moved > 3.0, "the mouth does not speak"
    assert mouths(avatar, np.zeros(64_000, np.float32)).std(0).mean() < 0.01 * moved
    assert mouths(avatar, room_noise(4.0)).std(0).mean() < 0.05 * moved


def test_room_noise_has_the_level_asked_for() -> None:
    noise = room_noise(2.0, -30.0)
    assert 20 * np.log10(np.sqrt((noise**2).mean())) == pytest.approx(-30.0, abs=0.01)
    low, high = (np.abs(np.fft.rfft(noise))[band] ** 2 for band in (slice(200, 400), slice(8000, 16000)))
    assert low.mean() > 10 * high.mean(), "not what a room sounds like"


class LevelDetector:
    """Takes the mouth's darkness for its opening, so that the arithmetic can be followed without a landmark model."""

    def detect(self, picture: np.ndarray) -> np.ndarray:
        landmarks = np.zeros((478, 2), np.float32)
        landmarks[263] = (100.0, 0.0)
        mouth = picture[len(picture) // 2 : len(picture) * 3 // 4, len(picture) // 3 : len(picture) * 2 // 3]
        landmarks[14] = (0.0, 255.0 - float(mouth.mean()))
        return landmarks


def test_mouth_stillness_is_a_share_of_the_range_in_speech(avatar: Avatar, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stillness, "QUIET_S", 2.0)
    found = mouth_stillness(avatar, AudioEncoder.bundled(), speech, LevelDetector())  # type: ignore[arg-type]
    assert set(found) == {"mouth_moves_in_silence", "mouth_moves_in_noise", "mouth_open_in_silence"}
    assert 0.0 <= found["mouth_moves_in_silence"] < 0.05
    assert found["mouth_moves_in_silence"] <= found["mouth_moves_in_noise"] < 0.1
    assert mouth_stillness(avatar, AudioEncoder.bundled(), 0 * speech, LevelDetector())["mouth_open_in_silence"] is None  # type: ignore[arg-type]
