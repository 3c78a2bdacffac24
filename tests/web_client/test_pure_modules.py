"""Runs the page's tests that need no browser (`node --test`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_pure_modules_pass_under_node() -> None:
    result = subprocess.run(
        ["node", "--test", str(Path(__file__).parent / "pure_modules.test.mjs")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
