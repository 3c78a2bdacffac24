"""Finding avatars and assets by name: what ships with the program, and a folder of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from renderer.avatar_file import load_avatar
from renderer.errors import BadInput

if TYPE_CHECKING:
    from renderer.avatar import Avatar

ASSETS = Path(__file__).parent / "assets"
BUNDLED = "bundled"


def avatar_paths(folder: Path | None = None) -> dict[str, Path]:
    """Avatar files by name: those that ship, then those of `folder`, which win."""
    found = {path.stem: path for path in sorted(ASSETS.glob("*.avatar"))}
    if folder is not None:
        found |= {path.stem: path for path in sorted(folder.glob("*.avatar"))}
    return found


def find_avatar(name_or_path: str, folder: Path | None = None) -> Path:
    """The file of an avatar given by path or by name. Raises BadInput with the names that exist."""
    known = avatar_paths(folder)
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path)
    if path.exists():
        return path
    names = ", ".join(known) or "none"
    raise BadInput(f"no avatar {name_or_path!r}: neither a file nor one of the known names ({names})")


def open_avatar(name_or_path: str, folder: Path | None = None) -> Avatar:
    """Load an avatar by path or name."""
    return load_avatar(find_avatar(name_or_path, folder))
