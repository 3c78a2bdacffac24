"""Files that are whole or not there: written under another name first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """`write` gets another name in the same folder, which is renamed when it is done. BadInput where there is no room."""
    temporary = path.with_name(f".{path.name}")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"cannot write {path}: {error.strerror}; make room, and the same command goes on from here") from error


def write_array(path: Path, **arrays: np.ndarray) -> None:
    """An .npz file."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    write_whole(path, write)
