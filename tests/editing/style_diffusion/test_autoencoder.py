from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.style_diffusion.autoencoder import (
    LATENT_CHANNELS,
    AutoencoderConfig,
    build_autoencoder,
    drawn,
    encoded,
    reconstruction_psnr_db,
    train_autoencoder,
)
from editing.style_diffusion.learning import LearningConfig
from editing.style_diffusion.pictures import cut
from editing.style_diffusion.pipeline_folder import with_normal_latents
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from editing.style_diffusion.renders import StyledRenders

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
CONFIG = AutoencoderConfig(
    size_px=16, channels=(8, 16), learning=LearningConfig(steps=60, batch=6, rate=1e-2, warm_up_steps=5, averaging=0.9)
)


def test_training_brings_what_is_decoded_closer(coloured: StyledRenders, tmp_path: Path) -> None:
    pictures = cut(coloured, CONFIG.size_px, 0)
    network = train_autoencoder(pictures, CONFIG, 0, tmp_path / "a.pt", lambda *_: None)
    torch.manual_seed(0)
    untrained = build_autoencoder(CONFIG).eval()
    assert reconstruction_psnr_db(network, pictures).mean() > reconstruction_psnr_db(untrained, pictures).mean() + 3.0


def test_normal_latents_decode_to_the_same_pictures(coloured: StyledRenders) -> None:
    torch.manual_seed(1)
    network = build_autoencoder(CONFIG).eval()
    pictures = cut(coloured, CONFIG.size_px, 0)
    means, deviations = encoded(network, pictures)
    assert means.shape == (len(pictures), LATENT_CHANNELS, 8, 8)
    changed = copy.deepcopy(network)
    mean, deviation = means.mean((0, 2, 3)), means.std((0, 2, 3))
    with_normal_latents(changed, mean, deviation)
    normal, normal_deviations = encoded(changed, pictures)
    torch.testing.assert_close(normal.mean((0, 2, 3)), torch.zeros(LATENT_CHANNELS), atol=1e-3, rtol=0.0)
    torch.testing.assert_close(normal.std((0, 2, 3)), torch.ones(LATENT_CHANNELS), atol=1e-3, rtol=0.0)
    torch.testing.assert_close(normal_deviations, deviations / deviation[:, None, None], rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(changed.decode(normal).sample, network.decode(means).sample, atol=2e-4, rtol=1e-3)
    assert changed.config.scaling_factor == 1.0


def test_half_of_a_batch_is_whole_pictures_at_least(coloured: StyledRenders) -> None:
    pictures = cut(coloured, CONFIG.size_px, 0)
    chosen = drawn(pictures, 2000, np.random.default_rng(0))
    assert 0.7 < (chosen < pictures.n_whole).mean() < 0.8 and chosen.max() < len(pictures)
    without_windows = cut(coloured, CONFIG.size_px, 0, windows=0)
    assert drawn(without_windows, 200, np.random.default_rng(0)).max() < without_windows.n_whole


@pytest.mark.parametrize(("values", "named"), [({"size_px": 30}, "30 pixels"), ({"channels": (12,)}, "12 channels")])
def test_impossible_networks_are_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        AutoencoderConfig(**values)  # type: ignore[arg-type]
