"""What another library's exception said, short enough for a line of our own."""

from __future__ import annotations

import textwrap

REASON_LETTERS = 160


def short_reason(error: BaseException) -> str:
    """The exception's kind, and the beginning of what it says."""
    return f"{type(error).__name__}: {textwrap.shorten(str(error), REASON_LETTERS, placeholder=' …')}"
