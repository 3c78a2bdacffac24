"""Where a training runs: `--device`, checked before anything is read."""

from __future__ import annotations

import re

import torch

from renderer.errors import BadInput

CPU = torch.device("cpu")


def choose_device(asked: str | None, preset: str) -> torch.device:
    """The device of that name: cpu, cuda (the first one) or cuda:N.

    Without a name, the CPU for the preset made for it, and for the others the first CUDA device if there is one. Raises BadInput for
    another name and for a device that is not here.
    """
    if asked is None:
        return torch.device("cuda", 0) if preset != "cpu" and torch.cuda.is_available() else CPU
    if asked == "cpu":
        return CPU
    found = re.fullmatch(r"cuda(?::([0-9]{1,3}))?", asked)
    if found is None:
        raise BadInput(f"--device {asked}: cpu, cuda or cuda:N (from 0) is possible")
    if torch.version.cuda is None and torch.version.hip is None:
        raise BadInput(f"--device {asked}: torch {torch.__version__} was built without CUDA; install a build with it, or use --device cpu")
    if not torch.cuda.is_available():
        raise BadInput(f"--device {asked}: torch finds no GPU or no driver of one here; --device cpu is possible")
    index, n_devices = int(found[1] or 0), torch.cuda.device_count()
    if index >= n_devices:
        raise BadInput(f"--device {asked}: here are {', '.join(f'cuda:{k}' for k in range(n_devices))} and cpu")
    return torch.device("cuda", index)


def describe_device(device: torch.device, asked: str | None, preset: str) -> str:
    """One line for people: where the training runs, and why there if that was not asked for."""
    if device.type == "cuda":
        return f"training on {device} ({torch.cuda.get_device_name(device)})"
    if asked is None and preset != "cpu":
        return f"training on the CPU: torch finds no CUDA device for preset {preset}"
    return "training on the CPU"
