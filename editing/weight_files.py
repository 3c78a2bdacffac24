"""Weight files of other projects: read without running what is in them, checked by name and shape before they are used."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

NAMED_IN_ERRORS = 3
"""As many tensors are named in an error, which is one line."""


def read_tensors(path: Path, what: str) -> dict[str, Tensor]:
    """A state dict's tensors by name; `what` is what errors say the file should have been."""
    import torch

    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}; {what} was expected") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise BadInput(f"{path}: not a file of torch tensors; {what} was expected") from error
    if not isinstance(value, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in value.values()):
        raise BadInput(f"{path}: holds no tensors by name; {what} was expected")
    return {str(name): tensor for name, tensor in value.items()}


def check_tensors(path: Path, what: str, tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """BadInput unless exactly the `wanted` tensors are there, in their shapes."""
    missing, foreign = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    for names, complaint in ((missing, "lacks"), (foreign, "has unknown")):
        if names:
            more = f" and {len(names) - NAMED_IN_ERRORS} more" if len(names) > NAMED_IN_ERRORS else ""
            raise BadInput(f"{path}: {complaint} {', '.join(names[:NAMED_IN_ERRORS])}{more}; {what} was expected")
    for name, shape in wanted.items():
        if tuple(tensors[name].shape) != shape:
            raise BadInput(f"{path}: {name} is {tuple(tensors[name].shape)}, wanted {shape}; {what} was expected")
