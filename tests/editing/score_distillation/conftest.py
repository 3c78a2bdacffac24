"""The shipped avatar at 64 pixels with a clip of a dozen frames, and a diffusion model of random weights for 16 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from editing.score_distillation.config import AppearanceConfig, DistillationConfig, FineTuningConfig, KeyframeConfig
from tests.editing.edit.conftest import avatar, encoder  # noqa: F401
from tests.editing.image_editors.tiny_pipeline import write_tiny_pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from editing.score_distillation.latent_diffusion import LatentDiffusion

MAX_WORDS = 64
BRIEF = DistillationConfig(
    KeyframeConfig(2, 1, 1), FineTuningConfig(4, prior_pictures=5, prior_steps=2), appearance=AppearanceConfig(steps=8), render_px=32
)
"""A few steps of everything."""


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_pipeline(tmp_path_factory.mktemp("stable_diffusion") / "tiny", unet_channels=4, max_words=MAX_WORDS)


@pytest.fixture(scope="session")
def model(model_folder: Path) -> LatentDiffusion:
    from editing.score_distillation.latent_diffusion import LatentDiffusion

    return LatentDiffusion.load(str(model_folder), torch.device("cpu"))
