"""The shipped avatar at 64 pixels with a clip of a dozen frames, and an editor that needs no landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.capture.labels import LABELS
from editing.image_editors.guide import Guide
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from editing.image_editors.editor import EditSettings
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

SIZE_PX, N_TRACK = 64, 12


@pytest.fixture(scope="session")
def encoder() -> AudioEncoder:
    from renderer.audio.encoder import AudioEncoder

    return AudioEncoder.bundled()


@pytest.fixture(scope="session")
def avatar(tiny_take: Path, encoder: AudioEncoder) -> Avatar:
    from editing.dataset import Dataset
    from renderer.audio.streaming import encode_all
    from renderer.avatar_file import load_avatar
    from renderer.images import quantise, resize_picture
    from renderer.library import find_avatar

    avatar = load_avatar(find_avatar("bundled"))
    return avatar.replace(
        camera=avatar.camera.resized(SIZE_PX, SIZE_PX),
        background=quantise(resize_picture(avatar.background, SIZE_PX, SIZE_PX)),
        poster=None,
        pose_track=avatar.pose_track[:N_TRACK],
        eye_track=avatar.eye_track[:N_TRACK],
        audio_track=encode_all(encoder, Dataset.open(tiny_take).audio()).steps[: 2 * N_TRACK],
    )


def completed_by_halves(self: Guide, frames: np.ndarray, indices: object = None, detector: object = None, progress: object = None) -> Guide:
    """In place of `Guide.completed`: landmarks are not looked for, and labels are the upper and the lower part of the person."""
    assert self.person is not None
    labels = np.where(self.person > 0.5, LABELS["cloth"], LABELS["background"]).astype(np.uint8)
    labels[:, : SIZE_PX * 2 // 3][self.person[:, : SIZE_PX * 2 // 3] > 0.5] = LABELS["face"]
    return Guide(np.zeros((len(frames), 478, 2), np.float32), labels, self.person, frames)


@pytest.fixture
def without_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `completed_by_halves`."""
    monkeypatch.setattr(Guide, "completed", completed_by_halves)


class Redder:
    """Moves the person's colours towards red, by s_T/6."""

    name = "redder"

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], EditSettings, bool]] = []
        self.interrupt_after: int | None = None
        """Frames until somebody presses Ctrl-C."""

    def check(self, instruction: str) -> None:
        if "red" not in instruction:
            raise BadInput(f"{instruction!r}: only red is known")

    def edit(self, frames, condition, settings, *, indices=None, guide=None, progress=None):  # type: ignore[no-untyped-def]
        if self.interrupt_after is not None:
            self.interrupt_after -= len(frames)
            if self.interrupt_after < 0:
                raise KeyboardInterrupt
        self.calls.append((list(indices), settings, condition is not None))
        red = np.array([255.0, 0.0, 0.0])
        share = (guide.person * min(1.0, settings.text_guidance / 6.0) * 0.6)[..., None]
        for done in range(len(frames)):
            progress(done + 1)
        return np.round(frames * (1.0 - share) + red * share).astype(np.uint8)


@pytest.fixture
def redder() -> Redder:
    return Redder()
