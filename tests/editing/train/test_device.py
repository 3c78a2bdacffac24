"""Which device a training runs on, and what is said of it."""

from __future__ import annotations

import pytest
import torch

from editing.train.command import parser
from editing.train.device import choose_device, describe_device
from renderer.errors import BadInput

CPU = torch.device("cpu")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
def test_presets_made_for_a_gpu_take_one_if_it_is_there() -> None:
    assert choose_device(None, "cpu") == CPU
    for preset in ("gpu", "paper"):
        assert choose_device(None, preset) == torch.device("cuda", 0)
        assert choose_device("cpu", preset) == CPU
    assert choose_device("cuda", "cpu") == torch.device("cuda", 0)
    assert choose_device("cuda:1", "cpu") == torch.device("cuda", 1)
    assert describe_device(torch.device("cuda", 1), "cuda:1", "cpu") == "training on cuda:1 (Card 1)"


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_it_is_said_that_the_cpu_trains() -> None:
    assert choose_device(None, "gpu") == choose_device(None, "cpu") == choose_device("cpu", "paper") == CPU
    assert describe_device(CPU, None, "gpu") == "training on the CPU: torch finds no CUDA device for preset gpu"
    assert describe_device(CPU, "cpu", "gpu") == describe_device(CPU, None, "cpu") == "training on the CPU"


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("wrong", ["gpu", "", "cuda:", "cuda:-1", "cuda:x", "cuda:0 ", "CUDA", "cuda:1234"])
def test_other_names_are_refused_with_those_that_are_possible(wrong: str) -> None:
    with pytest.raises(BadInput, match=rf"--device {wrong}: cpu, cuda or cuda:N"):
        choose_device(wrong, "gpu")


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadInput, match="--device cuda:2: here are cuda:0, cuda:1 and cpu"):
        choose_device("cuda:2", "cpu")


@pytest.mark.usefixtures("no_gpu")
def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"--device cuda: torch finds no GPU.*--device cpu"):
        choose_device("cuda", "gpu")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(BadInput, match=r"--device cuda:0: torch .* was built without CUDA.*--device cpu"):
        choose_device("cuda:0", "gpu")


def test_the_option_has_no_default_of_its_own() -> None:
    assert parser().parse_args(["take", "--out", "x.avatar"]).device is None
    assert parser().parse_args(["take", "--out", "x.avatar", "--device", "cuda:1"]).device == "cuda:1"
