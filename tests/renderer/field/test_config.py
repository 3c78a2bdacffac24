from __future__ import annotations

import json
from itertools import pairwise

import pytest

from renderer.errors import BadInput
from renderer.field.config import AudioWindowConfig, FieldConfig, GridConfig, RegionConfig


def test_default_grid_has_the_papers_levels() -> None:
    levels = GridConfig(3).levels()
    assert len(levels) == 16
    assert levels[0].scale == 16 and round(levels[-1].scale) == 2048
    assert not levels[0].hashed and levels[-1].hashed
    assert all(level.n_rows <= 1 << 16 for level in levels)
    assert all(a.offset + a.n_rows <= b.offset for a, b in pairwise(levels))


@pytest.mark.parametrize(
    ("look_ahead_ms", "steps", "attention", "window"), [(93, 1, 0, 1), (120, 2, 0, 2), (160, 4, 1, 2), (400, 16, 4, 8)]
)
def test_look_ahead_splits_between_window_and_attention(look_ahead_ms: float, steps: int, attention: int, window: int) -> None:
    shape = AudioWindowConfig(look_ahead_ms=look_ahead_ms)
    assert (shape.future_steps, shape.attention_future_frames, shape.window_future_steps) == (steps, attention, window)


@pytest.mark.parametrize("look_ahead_ms", [95, 120, 160, 240])
def test_look_ahead_is_never_exceeded(look_ahead_ms: float) -> None:
    shape = AudioWindowConfig(look_ahead_ms=look_ahead_ms)
    last_step = shape.first_step(0) + shape.n_steps - 1
    assert last_step * 20 + 12.5 + shape.encoder_look_ahead_ms <= look_ahead_ms


def test_look_ahead_below_the_encoders_is_rejected() -> None:
    with pytest.raises(BadInput, match=r"92\.5"):
        AudioWindowConfig(look_ahead_ms=90)


def test_config_survives_json() -> None:
    config = FieldConfig(feature_dim=40, eye_region=RegionConfig((0, 0.1, 0.5), (0.5, 0.2, 0.4)), n_appearances=7)
    assert FieldConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"spatial_grid": {"n_dims": 5}}, "5 dimensions"),
        ({"torso": {"grid": 3}}, "GridConfig"),
        ({"head_half_extent": -1}, "-1"),
    ],
)
def test_config_rejects_bad_json(change: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        FieldConfig.from_json({"feature_dim": 40} | change)
