from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from editing.edit.command import main
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--instruction", "bronze statue", "--out", "x.wrong"], "must end in .avatar"),
        (["--instruction", "bronze statue", "--out", "nowhere/x.avatar"], "does not exist"),
        (["--instruction", " ", "--out", "x.avatar"], "the instruction is empty"),
        (["--instruction", "bronze statue", "--out", "x.avatar", "--rounds", "0"], "--rounds 0"),
        (["--instruction", "bronze statue", "--out", "x.avatar", "--editor", "photoshop"], "photoshop"),
        (["--instruction", "bronze statue", "--out", "x.avatar", "--editor", "a/b", "--inconsistency", "1"], "--inconsistency 1"),
        (["--instruction", "give him wings", "--out", "x.avatar"], "wings"),
        (["--instruction", "bronze statue", "--out", "x.avatar", "--preset", "endless"], "--preset endless"),
        (["--instruction", "bronze statue"], "--out is missing"),
    ],
)
def test_edit_answers_bad_input_with_one_line(arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=named) as caught:
        main(["bundled", *arguments])
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_edit_lists_what_can_be_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACE_LANDMARKER_TASK", raising=False)
    assert main(["--list-instructions"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == ["FACE_LANDMARKER_TASK must name MediaPipe's face_landmarker.task"]
    assert {"name", "example", "changes", "colours"} == set(found["instructions"][0])
    assert found["strategies"] == ["progressive", "one-time", "iterative"] and "draft" in found["presets"]
