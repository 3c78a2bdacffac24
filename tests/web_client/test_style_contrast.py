"""Every pair of colours that carries text or the outline of a control, held to WCAG 2.2, in light and in dark."""

from __future__ import annotations

import re

import pytest

from .scripted_server import PAGE_DIR

TEXT = 4.5
CONTROL = 3.0

PAIRS = [
    ("ink", "ground", TEXT),
    ("ink", "ground-low", TEXT),
    ("ink-soft", "ground", TEXT),
    ("ink-soft", "ground-low", TEXT),
    ("ink", "surface", TEXT),
    ("ink-soft", "surface", TEXT),
    ("ink-soft", "notice", TEXT),
    ("accent", "notice", TEXT),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-hover", TEXT),
    ("on-stop", "stop", TEXT),
    ("on-stop", "stop-hover", TEXT),
    ("control", "surface", CONTROL),
    ("accent", "surface", CONTROL),
    ("focus", "ground", CONTROL),
    ("focus", "surface", CONTROL),
    ("good", "ground", CONTROL),
    ("wait", "ground", CONTROL),
    ("bad", "ground", CONTROL),
    ("bad-text", "surface", TEXT),
]


def colours(scheme: str) -> dict[str, str]:
    """The custom properties of :root, light first, dark over them."""
    blocks = re.findall(r":root \{(.*?)\}", (PAGE_DIR / "style.css").read_text(encoding="utf-8"), re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return light if scheme == "light" else light | dark


def luminance(colour: str) -> float:
    """Relative luminance, 0...1, of `#rrggbb` (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_contrast_is_enough(scheme: str, front: str, back: str, least: float) -> None:
    table = colours(scheme)
    lighter, darker = sorted((luminance(table[front]), luminance(table[back])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= least, f"{front} {table[front]} on {back} {table[back]}"
