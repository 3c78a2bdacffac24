"""The AMX kernel with its tile instructions emulated in plain C++, so that its packing and arithmetic are tested on machines without AMX.

Not a test of the instructions themselves.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import renderer.native_library as native_library
from renderer.backends.base import RenderOptions
from renderer.backends.cpu import CpuBackend
from renderer.backends.torch_backend import TorchBackend
from renderer.refiner.native_refiner import NativeRefiner
from renderer.refiner.window import RefineWindow
from tests.renderer.refiner.random_refiner import random_network
from tests.renderer.synthetic_avatar import synthetic_avatar, synthetic_condition

if TYPE_CHECKING:
    from collections.abc import Iterator

NATIVE = Path(__file__).resolve().parents[2] / "renderer" / "native"
EMULATION = Path(__file__).with_name("emulated_tiles.inl")
COMPILER_OPTIONS = ("-std=c++17", "-O1", "-fPIC", "-fwrapv", "-w", "-DVISAVIS_WITH_AMX_BF16", f'-DVISAVIS_EMULATED_TILES="{EMULATION}"')
INSTRUCTION_SET = ("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512bf16", "-mprefer-vector-width=512")
PLAIN_SOURCES = ("cpu_features", "field", "i420", "kernel_portable", "packing", "refiner", "visible_tiles", "workers")

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler"),
    pytest.mark.skipif("avx512_bf16" not in native_library.available_isas(), reason="the kernel's other half needs AVX-512 BF16"),
]


@pytest.fixture(scope="module")
def emulated_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("amx")
    kernel, library = folder / "kernel.o", folder / "emulated.so"
    subprocess.run(["g++", *COMPILER_OPTIONS, *INSTRUCTION_SET, "-c", str(NATIVE / "kernel_amx_bf16.cpp"), "-o", str(kernel)], check=True)
    sources = [str(NATIVE / f"{name}.cpp") for name in PLAIN_SOURCES]
    subprocess.run(["g++", *COMPILER_OPTIONS, "-shared", *sources, str(kernel), "-o", str(library), "-pthread"], check=True)
    return library


@pytest.fixture(autouse=True)
def use_emulation(emulated_library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(native_library, "candidate_paths", lambda name: iter((emulated_library,)))
    native_library.load_library.cache_clear()
    yield
    native_library.load_library.cache_clear()


@pytest.mark.parametrize("small", [True, False])
def test_amx_kernel_matches_torch(small: bool) -> None:
    avatar = synthetic_avatar(small=small)
    condition = synthetic_condition(avatar, 4, appearance=2)
    backend = CpuBackend(avatar, RenderOptions(size=64, isa="amx_bf16"))
    assert backend.isa == "amx_bf16"
    error = backend.render_float(condition) - TorchBackend(avatar, RenderOptions(size=64)).render_float(condition)
    assert -10.0 * np.log10(np.mean(error**2)) >= 40.0


@pytest.mark.parametrize(("features", "growth"), [(32, 16), (48, 16), (64, 32)])
def test_amx_refiner_matches_torch(features: int, growth: int) -> None:
    network = random_network(features, growth)
    native = NativeRefiner(network.to_refiner(), "amx_bf16")
    for width, height in ((6, 6), (32, 4), (40, 10), (78, 22)):
        picture = np.random.default_rng(0).random((24, 80, 3), np.float32)
        window = RefineWindow(2, 2, np.ones(width, np.float32), np.linspace(0.5, 1.0, height, dtype=np.float32))
        with torch.inference_mode():
            expected = network.refine_in(torch.from_numpy(picture), 0.7, window).numpy()
        native.refine(picture, 0.7, window)
        assert np.abs(picture - expected).max() <= 1e-2
