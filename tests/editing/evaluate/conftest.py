"""The shipped avatar at 64 pixels, driven by the tiny take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from editing.evaluate.driving import Drive

SIZE_PX = 64


@pytest.fixture(scope="session")
def drive(tiny_take: Path) -> Drive:
    from editing.dataset import Dataset
    from editing.evaluate.driving import Drive
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar_file import load_avatar
    from renderer.images import quantise, resize_picture
    from renderer.library import find_avatar

    avatar = load_avatar(find_avatar("bundled"))
    background = quantise(resize_picture(avatar.background, SIZE_PX, SIZE_PX))
    avatar = avatar.replace(camera=avatar.camera.resized(SIZE_PX, SIZE_PX), background=background, poster=None)
    return Drive.prepare(avatar, Dataset.open(tiny_take), AudioEncoder.bundled())
