"""Nothing holds the interpreter of a live process for long: no import, no collection of garbage in the middle of a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.server.peer import bursts, join
from tests.server.running_server import start_server

if TYPE_CHECKING:
    import pytest

    from tests.server.conftest import Studio

IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s*(\S+)")
"""Own and whole time in us, and the module: one line of `python -X importtime`, on stderr."""
MAX_IMPORT_US = 5000
COLLECTION = re.compile(r"gc: generation (\d) of (\d+) objects")
MAX_COLLECTED_OBJECTS = 20_000
"""Some 60 000 are loaded in the media process."""
PICTURES = 270
"""Past the first full window of the latency's governor."""
WATCH = """
import gc, sys
def tell(phase, info):
    if phase == "start":
        print(f"gc: generation {info['generation']} of {len(gc.get_objects())} objects", file=sys.stderr, flush=True)
gc.callbacks.append(tell)
"""
"""As `sitecustomize` each Python process of the server runs it first. What `gc.freeze` took away is not among the objects."""


async def test_nothing_holds_the_interpreter_while_the_avatar_speaks(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with start_server(studio.first, "--size", "64") as server:
        assert any(IMPORT.search(line) for line in server.lines), "imports are seen here"
        assert any(COLLECTION.search(line) for line in server.lines), "collections are seen here"
        ready = next(number for number, line in enumerate(server.lines) if "is ready: open" in line)
        async with join(server.socket_url) as peer:
            await peer.wait_for("hello")
            await peer.connect_media(bursts)
            await peer.until(lambda: len(peer.pictures) >= 10, "pictures")
            speaking = len(server.lines)
            await peer.until(lambda: len(peer.pictures) >= PICTURES, f"{PICTURES} pictures")
    imports = [match for line in server.lines[speaking:] if (match := IMPORT.search(line))]
    assert not [match[3] for match in imports if int(match[2]) > MAX_IMPORT_US]
    collections = [match for line in server.lines[ready:] if (match := COLLECTION.search(line))]
    assert collections, "young objects are still collected"
    assert max(int(match[2]) for match in collections) < MAX_COLLECTED_OBJECTS
