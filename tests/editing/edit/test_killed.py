"""An edit that is killed again and again, at random times, ends with the same avatar, and nothing half-written is ever seen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renderer.avatar_file import save_avatar

if TYPE_CHECKING:
    from renderer.avatar import Avatar

ROOT = Path(__file__).parents[3]
KILLS = 8


def test_an_edit_that_is_killed_at_random_times_ends_with_the_same_avatar(avatar: Avatar, tmp_path: Path) -> None:
    source = tmp_path / "source.avatar"
    save_avatar(avatar, source)
    command = [sys.executable, "-m", "tests.editing.edit.killed_edit", str(source), str(tmp_path), str(KILLS)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert len(set(found["places"])) == KILLS // 2 + 1, f"not killed in every part: {found['places']}"
    assert found["seen"] == [], "beside the avatars"
    assert found["resumed"] == found["whole"], f"killed {found['places']}"
