from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from renderer.errors import BadAvatar, BadInput
from renderer.refiner.config import MAX_BYTES, RefinerConfig
from renderer.refiner.torch_refiner import TorchRefiner
from tests.renderer.refiner.random_refiner import random_network


def test_shapes_are_those_of_the_torch_reference() -> None:
    config = RefinerConfig(48, 16)
    tensors = TorchRefiner(config).to_refiner().tensors
    assert {name: array.shape for name, array in tensors.items()} == config.shapes()
    assert config.n_bytes == sum(array.nbytes for array in tensors.values())


def test_default_and_the_papers_sizes_fit_into_a_megabyte() -> None:
    assert RefinerConfig().n_bytes < 300_000
    assert 900_000 < RefinerConfig(64, 32).n_bytes <= MAX_BYTES


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"features": 20}, "features 20: a multiple of 16"),
        ({"growth": 0}, "growth 0: a multiple of 16"),
        ({"features": "32"}, "features '32'"),
        ({"features": 128, "growth": 64}, "1048576 are possible"),
        ({"depth": 3}, "depth"),
    ],
)
def test_config_rejects_sizes(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        RefinerConfig.from_json(values)


def test_config_json_round_trip() -> None:
    config = RefinerConfig(48, 32)
    assert RefinerConfig.from_json(config.to_json()) == config


def test_refiner_rejects_tensors_that_do_not_fit() -> None:
    refiner = random_network().to_refiner()
    name = "refiner.conv3.weight"
    for change, message in ((None, "missing"), (np.zeros((16, 3, 3)), "has shape"), (np.full((16, 64, 3, 3), np.nan), "not finite")):
        tensors = {key: array for key, array in refiner.tensors.items() if key != name}
        if change is not None:
            tensors[name] = change
        with pytest.raises(BadAvatar, match=f"{name}.*{message}"):
            dataclasses.replace(refiner, tensors=tensors)
