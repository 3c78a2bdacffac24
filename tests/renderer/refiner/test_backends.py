"""Refiners inside of the backends: the same picture from each, and no seam."""

from __future__ import annotations

import numpy as np
import pytest

from renderer.avatar_file import save_avatar
from renderer.backends.base import RenderOptions
from renderer.backends.cpu import CpuBackend
from renderer.backends.torch_backend import TorchBackend
from renderer.bench import main as bench
from renderer.errors import BadInput
from renderer.images import quantise
from renderer.native_library import available_isas
from renderer.refiner.window import SCOPES, refine_window
from tests.renderer.refiner.random_refiner import refined_avatar
from tests.renderer.synthetic_avatar import camera_from_head, synthetic_avatar, synthetic_condition

SIZE_PX = 64
AVATAR = refined_avatar(size_px=SIZE_PX)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10.0 * np.log10(np.mean((a - b) ** 2) + 1e-12))


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("scope", SCOPES)
def test_cpu_backend_refines_as_torch_does(scope: str, isa: str) -> None:
    condition = synthetic_condition(AVATAR, 3, camera_from_head=camera_from_head(yaw=0.2, roll=0.1))
    native = CpuBackend(AVATAR, RenderOptions(SIZE_PX, isa=isa, refine_scope=scope))
    reference = TorchBackend(AVATAR, RenderOptions(SIZE_PX, refine_scope=scope))
    found, expected = native.render_float(condition), reference.render_float(condition)
    assert psnr_db(found, expected) >= (40.0 if isa.endswith("bf16") else 60.0)
    plain = TorchBackend(synthetic_avatar(small=True, size_px=SIZE_PX), RenderOptions(SIZE_PX)).render_float(condition)
    assert psnr_db(expected, plain) < 35.0, "the refiner does nothing"


def test_backends_refine_pictures_of_any_width() -> None:
    avatar = refined_avatar(size_px=128, aspect=72 / 128)
    options, condition = RenderOptions(80, refine_scope="picture"), synthetic_condition(avatar)
    found = CpuBackend(avatar, options).render_float(condition)
    assert found.shape == (80, 45, 3)
    assert psnr_db(found, TorchBackend(avatar, options).render_float(condition)) >= 40.0


@pytest.mark.parametrize("backend", [CpuBackend, TorchBackend])
def test_weight_0_equals_no_refiner_bit_for_bit(backend: type) -> None:
    condition = synthetic_condition(AVATAR, 1, refine_weight=0.0)
    refined, plain = (backend(a, RenderOptions(SIZE_PX)) for a in (AVATAR, synthetic_avatar(small=True, size_px=SIZE_PX)))
    assert (refined.render([condition]) == plain.render([condition])).all()
    assert (refined.render_float(condition) == plain.render_float(condition)).all()


@pytest.mark.parametrize("backend", [CpuBackend, TorchBackend])
def test_weight_does_nothing_without_a_refiner(backend: type) -> None:
    plain = backend(synthetic_avatar(small=True, size_px=SIZE_PX), RenderOptions(SIZE_PX))
    pictures = plain.render([synthetic_condition(AVATAR, 1, refine_weight=weight) for weight in (0.0, 1.0)])
    assert (pictures[0] == pictures[1]).all()


@pytest.mark.parametrize("backend", [CpuBackend, TorchBackend])
def test_picture_is_linear_in_the_weight(backend: type) -> None:
    opened = backend(AVATAR, RenderOptions(SIZE_PX))
    none, half, all_of_it = (opened.render_float(synthetic_condition(AVATAR, 1, refine_weight=w)) for w in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(half, 0.5 * (none + all_of_it), atol=1e-5)


def test_cpu_backend_rounds_the_refined_picture() -> None:
    backend, condition = CpuBackend(AVATAR, RenderOptions(SIZE_PX)), synthetic_condition(AVATAR)
    assert (backend.render([condition])[0] == quantise(backend.render_float(condition))).all()


def test_cpu_backend_refines_the_mouth_without_a_seam() -> None:
    """What the refiner adds falls to nothing at the window's edge, wherever the head is."""
    avatar = refined_avatar(size_px=128)
    backend = CpuBackend(avatar, RenderOptions(128))
    for yaw in (-0.3, 0.0, 0.4):
        pose = camera_from_head(yaw=yaw)
        window = refine_window("mouth", avatar.field_config, avatar.camera, pose)
        assert window is not None
        smooth, detailed = (backend.render_float(synthetic_condition(avatar, camera_from_head=pose, refine_weight=w)) for w in (0.0, 1.0))
        added = np.abs(detailed - smooth).max(2)
        inside = np.zeros(added.shape, bool)
        inside[window.y : window.y + len(window.rows), window.x : window.x + len(window.columns)] = True
        assert added[~inside].max() == 0.0
        edge = inside.copy()
        edge[window.y + 1 : window.y + len(window.rows) - 1, window.x + 1 : window.x + len(window.columns) - 1] = False
        assert added.max() > 0.1
        assert added[edge].max() < 0.03 * added.max()


def test_mouth_shows_what_the_whole_picture_would() -> None:
    """Inside, where the window's edge is out of the network's reach, both scopes agree."""
    avatar = refined_avatar(size_px=256)
    pose = camera_from_head()
    window = refine_window("mouth", avatar.field_config, avatar.camera, pose)
    assert window is not None
    condition = synthetic_condition(avatar, camera_from_head=pose)
    mouth, whole = (CpuBackend(avatar, RenderOptions(256, refine_scope=scope)).render_float(condition) for scope in ("mouth", "picture"))
    core = np.outer(window.rows == 1.0, window.columns == 1.0)
    core[:16], core[-16:], core[:, :16], core[:, -16:] = False, False, False, False
    part = (slice(window.y, window.y + len(window.rows)), slice(window.x, window.x + len(window.columns)))
    assert core.sum() > 500
    assert np.abs(mouth[part] - whole[part])[core].max() < 1e-5


def test_cpu_backend_reports_the_refiner_as_a_stage() -> None:
    backend = CpuBackend(AVATAR, RenderOptions(SIZE_PX))
    backend.render([synthetic_condition(AVATAR, i) for i in range(2)])
    assert backend.stage_ms()["refiner"] > 0.0
    backend.render([synthetic_condition(AVATAR, refine_weight=0.0)])
    assert backend.stage_ms()["refiner"] == 0.0


def test_bench_shows_the_refiner(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    save_avatar(AVATAR, tmp_path / "a.avatar")
    assert bench(["--avatar", str(tmp_path / "a.avatar"), "--size", "64", "--frames", "2", "--refine", "picture"]) == 0
    assert "refiner" in capsys.readouterr().out


def test_render_options_rejects_an_unknown_scope() -> None:
    with pytest.raises(BadInput, match="refine scope 'ears': one of auto, picture, face, mouth"):
        RenderOptions(64, refine_scope="ears")
