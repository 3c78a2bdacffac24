"""Small untrained avatars, a tiny encoder, and a real server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from renderer.audio.encoder import AudioEncoder
from renderer.avatar import Avatar, EncoderIdentity
from renderer.avatar_file import save_avatar
from tests.renderer.synthetic_avatar import synthetic_avatar
from tests.server.running_server import RunningServer, start_server
from tests.server.tiny_encoder import write_tiny_encoder


@dataclass(frozen=True)
class Studio:
    """A folder with avatars "first", "second" (with emotions) and "foreign" (for another encoder); the encoder of the first two."""

    folder: Path
    encoder: Path
    first: Path

    def avatar(self, name: str, seed: int = 0, encoder: Path | None = None, emotional: bool = False) -> Avatar:
        spec = AudioEncoder.from_onnx(encoder or self.encoder).spec
        identity = EncoderIdentity(str(encoder or self.encoder), spec.feature_dim, spec.sha256, spec.look_ahead_ms)
        return synthetic_avatar(seed=seed, small=True, size_px=128, emotional=emotional).replace(name=name.title(), encoder=identity)

    def save(self, name: str, seed: int = 0, encoder: Path | None = None, emotional: bool = False) -> Path:
        path = self.folder / f"{name}.avatar"
        save_avatar(self.avatar(name, seed, encoder, emotional), path)
        return path


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("studio")
    encoder, other = folder / "encoder.onnx", folder / "other.onnx"
    write_tiny_encoder(encoder)
    write_tiny_encoder(other, gain=-300.0)
    studio = Studio(folder, encoder, folder / "first.avatar")
    studio.save("first", seed=0)
    studio.save("second", seed=4, emotional=True)
    studio.save("foreign", seed=0, encoder=other)
    return studio


@pytest.fixture(scope="module")
def running(studio: Studio) -> Iterator[RunningServer]:
    """One place, small pictures; shared by the tests of a module."""
    with start_server(studio.first, "--size", "64", "--max-sessions", "1") as server:
        yield server
