"""The shipped avatar at 64 pixels with a clip of a dozen frames, styles that are mere tints, and a schedule of seconds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.image_editors.guide import Guide
from editing.landmarks import N_LANDMARKS
from editing.style_diffusion import renders
from editing.style_diffusion.autoencoder import AutoencoderConfig
from editing.style_diffusion.denoiser import DenoiserConfig
from editing.style_diffusion.learning import LearningConfig
from editing.style_diffusion.model import StyleDiffusionConfig
from editing.style_diffusion.renders import StyledRenders
from editing.style_diffusion.styles import STYLES
from tests.editing.edit.conftest import SIZE_PX, avatar, completed_without_landmarks, encoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from editing.image_editors.editor import EditSettings

__all__ = ["avatar", "encoder"]

TINTS = {
    style.instruction: np.array(tint)
    for style, tint in zip(STYLES[1:], ((200, 120, 0), (230, 230, 230), (0, 40, 255), (60, 180, 60), (255, 60, 160)), strict=True)
}
TINY = StyleDiffusionConfig(
    frames=4,
    held_out=2,
    autoencoder=AutoencoderConfig(size_px=16, channels=(8, 8), learning=LearningConfig(steps=3, batch=2, rate=2e-3)),
    denoiser=DenoiserConfig(
        channels=(16, 16), text_size=16, text_layers=1, attention_heads=2, learning=LearningConfig(steps=3, batch=2, rate=1e-3)
    ),
    samples=2,
    sampling_steps=2,
)


class Tinting:
    """In place of the built-in editor: mixes the picture with the style's colour."""

    def edit(self, frames, condition, settings: EditSettings, *, indices, guide):  # type: ignore[no-untyped-def]
        assert condition is None and len(indices) == len(frames) and guide.landmarks is not None
        return (0.4 * frames + 0.6 * TINTS[settings.instruction]).astype(np.uint8)


def completed_with_some_landmarks(self: Guide, frames: np.ndarray, *_: object, **__: object) -> Guide:
    """In place of `Guide.completed`: points on a line, one a pixel, so that a mouth has an opening."""
    points = np.repeat(np.arange(N_LANDMARKS, dtype=np.float32)[:, None], 2, axis=1)
    return dataclasses.replace(completed_without_landmarks(self, frames), landmarks=np.stack([points] * len(frames)))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No landmarks are looked for, and a style is a tint."""
    monkeypatch.setattr(Guide, "completed", completed_with_some_landmarks)
    monkeypatch.setattr(renders, "BuiltinEditor", Tinting)
    monkeypatch.setattr(renders, "RENDER_PX", SIZE_PX)


@pytest.fixture
def coloured() -> StyledRenders:
    """Six frames in every style: grey above, the style's colour below, noise; odd ones face right with an open mouth."""
    generator = np.random.default_rng(0)
    colours = np.stack([np.full(3, 128), *TINTS.values()])[:, None, None, None]
    pictures = np.where(np.arange(32)[:, None, None] < 16, 128, colours) + generator.normal(0.0, 12.0, (len(STYLES), 6, 32, 32, 3))
    odd = np.arange(6) % 2
    return StyledRenders(pictures.clip(0, 255).astype(np.uint8), (odd * 20.0).astype(np.float32), (0.05 + 0.2 * odd).astype(np.float32))
