from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from editing.style_diffusion.command import main
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train"], "--out"),
        (["train", "--out", "nowhere/model"], "nowhere does not exist"),
        (["train", "nobody", "--out", "model"], "nobody"),
        (["train", "--out", "model", "--person", "cat"], "--person cat"),
        (["train", "--out", "model", "--frames", "0"], "0 frames"),
        (["train", "--out", "model", "--denoiser-steps", "0"], "0 steps"),
        (["train", "--out", "model", "--threads", "0"], "--threads 0"),
        (["sample", "model", "--prompt", "photo of a man", "--out", "x.jpg"], "must end in .png"),
        (["sample", "model", "--prompt", "photo of a man", "--out", "x.png"], "model: no such folder"),
        (["sample", "model", "--prompt", "photo of a man", "--out", "x.png", "--count", "0"], "--count 0"),
        (["sample", "model", "--prompt", "photo of a man", "--out", "x.png", "--guidance", "0"], "--guidance 0"),
        (["sample", "model", "--prompt", "photo of a man", "--out", "x.png", "--steps", "0"], "--steps 0"),
        (["sample", "model", "--prompt", "photo of a man", "--out", "x.png", "--seed", "-1"], "--seed -1"),
    ],
)
def test_bad_input_is_answered_with_one_line(arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=named) as caught:
        main(arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
