"""Settings are checked where they are made; editors are opened by name."""

from __future__ import annotations

import pytest

from editing.image_editors import known_instructions, open_image_editor
from editing.image_editors.editor import EditSettings
from renderer.errors import BadInput


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"instruction": "  "}, "empty"),
        ({"text_guidance": 0.0}, "text guidance 0"),
        ({"image_guidance": 0.5}, "image guidance 0.5"),
        ({"steps": 0}, "0 steps"),
        ({"seed": -1}, "seed -1"),
        ({"strength": 1.5}, "strength 1.5"),
    ],
)
def test_edit_settings_reject_what_cannot_be(values: dict[str, object], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        EditSettings(**{"instruction": "neon", **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("filters", {}, "builtin, ip2p"),
        ("builtin", {"batch_size": 4}, "inconsistency"),
        ("builtin", {"inconsistency": 3.0}, "0 to 2"),
        ("ip2p", {"inconsistency": 1.0}, "batch_size"),
        ("ip2p", {"device": "tpu"}, "auto, cpu, cuda"),
        ("ip2p", {"batch_size": 0}, "batch size 0"),
        ("ip2p", {"size_px": 4}, "4 px"),
        ("./no/such/folder", {}, "no such folder"),
    ],
)
def test_open_image_editor_rejects_in_one_line(name: str, options: dict[str, object], named: str) -> None:
    with pytest.raises(BadInput, match=named) as refused:
        open_image_editor(name, **options)
    assert "\n" not in str(refused.value)


def test_builtin_check_needs_no_frames() -> None:
    editor = open_image_editor()
    for known in known_instructions():
        editor.check(known.example)
    with pytest.raises(BadInput, match="hat"):
        editor.check("a hat")
