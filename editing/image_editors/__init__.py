"""Image editors: frames and an instruction in, edited frames out (`editor.ImageEditor`).

`open_image_editor` knows two: `builtin` (no download; understands `known_instructions()`) and `ip2p` (InstructPix2Pix; any sentence).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.errors import BadInput

if TYPE_CHECKING:
    from editing.image_editors.editor import ImageEditor

BUILTIN, IP2P = "builtin", "ip2p"


@dataclass(frozen=True)
class KnownInstruction:
    """One thing that the built-in editor can do."""

    name: str
    """such as “hair colour”"""
    example: str
    """a sentence that asks for it"""
    changes: str
    """what is changed"""
    colours: tuple[str, ...]
    """that it can be had in"""


def known_instructions() -> tuple[KnownInstruction, ...]:
    """What the built-in editor understands, for help and for the page."""
    from editing.image_editors.builtin.looks import LOOKS

    return tuple(KnownInstruction(look.name, look.example, look.changes, look.colours) for look in LOOKS)


def open_image_editor(name: str = BUILTIN, **options: Any) -> ImageEditor:
    """An editor by name: `builtin`, `ip2p`, or the hub name or folder of another InstructPix2Pix pipeline.

    Options are the fields of BuiltinConfig or InstructPix2PixConfig. Raises BadInput for a name, a model or an option that is not there.
    """
    if name == BUILTIN:
        from editing.image_editors.builtin.builtin_editor import BuiltinConfig, BuiltinEditor

        return BuiltinEditor(BuiltinConfig(**_checked(name, options, BuiltinConfig)))
    if name != IP2P and "/" not in name and "\\" not in name and not Path(name).is_dir():
        raise BadInput(f"image editor {name!r}: {BUILTIN}, {IP2P}, a folder or a hub name such as timbrooks/instruct-pix2pix is wanted")
    from editing.image_editors.instruct_pix2pix import DEFAULT_MODEL, InstructPix2PixConfig, InstructPix2PixEditor

    config = InstructPix2PixConfig(**_checked(name, options, InstructPix2PixConfig))
    return InstructPix2PixEditor(DEFAULT_MODEL if name == IP2P else name, config)


def _checked(name: str, options: dict[str, Any], config: type) -> dict[str, Any]:
    possible = [field.name for field in fields(config)]
    for option in options:
        if option not in possible:
            raise BadInput(f"image editor {name!r} has no option {option!r}; it has {', '.join(possible)}")
    return options
