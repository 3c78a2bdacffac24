"""A tiny synthetic take, made once: 1.2 s at 64 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny_take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from editing.synthesize.take import TakeConfig, synthesize

    path = tmp_path_factory.mktemp("takes") / "tiny"
    config = TakeConfig(seconds=1.2, size_px=64, supersample=1, seed=5, voices=("en-us+m3",), sentences="train")
    synthesize(path, config, 1, show_progress=False)
    return path
