from __future__ import annotations

import ctypes
import importlib.metadata
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import renderer.native_library as native_library
from renderer.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = Path(__file__).resolve().parents[2] / "renderer" / "native" / "field_abi.h"


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    native_library.load_library.cache_clear()
    yield
    native_library.load_library.cache_clear()


def test_load_library_finds_a_library_with_kernels() -> None:
    assert native_library.load_library().visavis_abi_version() == native_library.ABI_VERSION
    assert native_library.available_isas()[-1] == "portable"


def test_load_library_says_what_to_install_when_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_library, "candidate_paths", lambda name: iter(()))
    with pytest.raises(BackendUnavailable) as caught:
        native_library.load_library()
    message = str(caught.value)
    assert message == "no native library: install a C++ compiler (Debian: apt-get install g++) and run `pip install .` again"


def test_load_library_rejects_another_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_library, "ABI_VERSION", 999)
    with pytest.raises(BackendUnavailable, match="this version needs 999"):
        native_library.load_library()


def test_load_library_rejects_a_file_that_is_not_a_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(native_library, "candidate_paths", lambda name: iter((broken,)))
    with pytest.raises(BackendUnavailable, match="cannot be loaded"):
        native_library.load_library()


def test_candidate_paths_ask_the_installed_distribution(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = native_library.library_name(native_library.LIBRARY)

    class Installed:
        files = (importlib.metadata.PackagePath("renderer/native/other.so"), importlib.metadata.PackagePath(f"renderer/native/{name}"))

        def locate_file(self, file: importlib.metadata.PackagePath) -> Path:
            return tmp_path / file

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed())
    beside, installed = native_library.candidate_paths(name)
    assert beside.parent == HEADER.parent
    assert installed == tmp_path / "renderer" / "native" / name


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_structures_match_the_header(tmp_path: Path) -> None:
    structures = {"VisavisFieldParams": native_library.FieldStructure, "VisavisFrame": native_library.FrameStructure}
    lines = []
    for name, structure in structures.items():
        lines.append(f'std::printf("%zu\\n", sizeof({name}));')
        lines += [f'std::printf("%zu\\n", offsetof({name}, {field[0]}));' for field in structure._fields_]
    source = tmp_path / "offsets.cpp"
    source.write_text(f'#include <cstddef>\n#include <cstdio>\n#include "{HEADER}"\nint main() {{ {" ".join(lines)} }}\n')
    program = tmp_path / "offsets"
    subprocess.run(["g++", "-w", str(source), "-o", str(program)], check=True)
    found = [int(line) for line in subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.split()]
    expected = []
    for structure in structures.values():
        expected.append(ctypes.sizeof(structure))
        expected += [getattr(structure, field[0]).offset for field in structure._fields_]
    assert found == expected
