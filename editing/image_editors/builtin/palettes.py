"""Painters' colours by brightness: ramps of (brightness 0…1, 0xRRGGBB)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from editing.image_editors.builtin.colour import Ramp


@dataclass(frozen=True)
class Palette:
    """What a painter makes of a person and of what is behind."""

    skin: Ramp
    hair: Ramp
    cloth: Ramp
    background: Ramp
    """by whatever the painter lays out behind the person"""
    own: float
    """share of the person's own colours that stays"""


VAN_GOGH = Palette(
    skin=((0.0, 0x283438), (0.3, 0x805432), (0.5, 0xCC8842), (0.75, 0xF0C06E), (1.0, 0xFCEEB2)),
    hair=((0.0, 0x221822), (0.25, 0x70381C), (0.5, 0xC66824), (0.8, 0xF2B248), (1.0, 0xFCE28C)),
    cloth=((0.0, 0x0E1842), (0.3, 0x184A7E), (0.6, 0x428CA0), (1.0, 0xD8E6C4)),
    background=((0.0, 0x0A123E), (0.35, 0x1A3E8E), (0.6, 0x4680C0), (0.85, 0xAACEC8), (1.0, 0xF0E082)),
    own=0.3,
)
MUNCH = Palette(
    skin=((0.0, 0x242C34), (0.3, 0x74643E), (0.55, 0xBAA460), (0.8, 0xDECE92), (1.0, 0xF2EAC4)),
    hair=((0.0, 0x121220), (0.35, 0x3E2A22), (0.65, 0x80502C), (1.0, 0xCEA060)),
    cloth=((0.0, 0x0A0E1E), (0.4, 0x1A2842), (0.7, 0x3C505C), (1.0, 0xB0AC8C)),
    background=((0.0, 0xC4341C), (0.16, 0xE87024), (0.3, 0xF0A840), (0.42, 0xCE6030), (0.52, 0x5C5460), (0.7, 0x1E3458), (1.0, 0x101A2C)),
    own=0.22,
)
MODIGLIANI = Palette(
    skin=((0.0, 0x401E14), (0.3, 0x924E2C), (0.55, 0xCE804C), (0.8, 0xE8AA74), (1.0, 0xF6D4A4)),
    hair=((0.0, 0x140C0A), (0.4, 0x422216), (0.75, 0x784226), (1.0, 0xB47C4C)),
    cloth=((0.0, 0x101018), (0.4, 0x2C2C3C), (0.75, 0x686060), (1.0, 0xE0D0B0)),
    background=((0.0, 0x3E5254), (0.5, 0x70847A), (0.8, 0x969E88), (1.0, 0xB09874)),
    own=0.15,
)
FAUVISM = Palette(
    skin=((0.0, 0x2C1660), (0.25, 0x1E786E), (0.42, 0xD65054), (0.62, 0xFC964A), (0.82, 0xFFD468), (1.0, 0xFFF4BE)),
    hair=((0.0, 0x1E1246), (0.3, 0x2C3EA8), (0.55, 0xBE3C5A), (0.8, 0xFA8C32), (1.0, 0xFFDC78)),
    cloth=((0.0, 0x3C0A32), (0.3, 0xBE1E32), (0.6, 0xF05A3C), (1.0, 0xFFE2AA)),
    background=((0.0, 0x184696), (0.3, 0x1A96A0), (0.5, 0x82C46E), (0.7, 0xFABE5A), (1.0, 0xEC6E96)),
    own=0.12,
)
