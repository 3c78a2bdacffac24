"""What long work was asked for, noted in its folder, so that only the same request goes on there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from editing.whole_files import write_whole
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REQUEST_NAME = "request.json"


def was_begun_with(folder: Path, wanted: Mapping[str, Any], way_out: str = "remove that folder") -> bool:
    """Whether the folder holds work on this request; False where it holds none.

    BadInput, naming the first difference and the `way_out` beside asking for the same, where it was begun with another one. The request
    must be of what JSON knows.
    """
    path = folder / REQUEST_NAME
    if not path.is_file():
        return False
    found, asked = json.loads(path.read_text(encoding="utf-8")), as_noted(wanted)
    changed = next((key for key in asked if found.get(key) != asked[key]), None)
    if changed is not None:
        raise BadInput(
            f"{folder} was begun with {changed} {found.get(changed)!r}, now it is {asked[changed]!r}; "
            f"ask for the same to go on, or {way_out}"
        )
    return True


def note_request(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Write the request down, whole at once: the folder counts as begun from here. BadInput where there is no room."""
    write_whole(folder / REQUEST_NAME, lambda path: path.write_text(json.dumps(as_noted(wanted), indent=1), encoding="utf-8"))


def as_noted(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The request as JSON gives it back: tuples are lists."""
    noted: dict[str, Any] = json.loads(json.dumps(dict(wanted)))
    return noted
