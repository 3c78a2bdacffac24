"""The native renderer against the torch reference, in values; needs the native library (`pip install .`)."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from renderer.avatar_file import save_avatar
from renderer.backends.base import RenderOptions, open_backend
from renderer.backends.cpu import CpuBackend
from renderer.backends.torch_backend import TorchBackend
from renderer.emotion import Emotion, emotion_code
from renderer.errors import BackendUnavailable, BadInput
from renderer.native_library import available_isas, rgb_to_i420
from tests.renderer.synthetic_avatar import camera_from_head, synthetic_avatar, synthetic_condition

if TYPE_CHECKING:
    from renderer.avatar import Avatar
    from renderer.types import FrameCondition

SIZE_PX = 64
LEAST_PSNR_DB = {"float": 60.0, "bf16": 40.0}


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10.0 * np.log10(np.mean((a - b) ** 2) + 1e-12))


def required_psnr_db(isa: str) -> float:
    return LEAST_PSNR_DB["bf16" if isa.endswith("bf16") else "float"]


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return synthetic_avatar(small=True)


def reference(avatar: Avatar, condition: FrameCondition, size_px: int = SIZE_PX) -> np.ndarray:
    return TorchBackend(avatar, RenderOptions(size=size_px)).render_float(condition)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Frames and what torch makes of them; made once, compared with every instruction set."""

    avatar: Avatar
    size_px: int
    conditions: tuple[FrameCondition, ...]
    expected: tuple[np.ndarray, ...]


def make_scene(avatar: Avatar, size_px: int, *conditions: FrameCondition) -> Scene:
    return Scene(avatar, size_px, conditions, tuple(reference(avatar, condition, size_px) for condition in conditions))


@functools.cache
def scene(name: str) -> Scene:
    if name == "full field":
        avatar = synthetic_avatar()
        return make_scene(avatar, 64, synthetic_condition(avatar))
    if name in ("square", "wide"):
        avatar = synthetic_avatar(seed=1, small=True, size_px=96, aspect=1.5 if name == "wide" else 1.0)
        poses = (camera_from_head(yaw=0.6, pitch=-0.3, roll=0.4), camera_from_head(yaw=-1.2, distance=4.5))
        changes = {"appearance": 1, "smoothing": 0.5, "eye_ratio": 0.1}
        return make_scene(avatar, 80, *(synthetic_condition(avatar, 3, camera_from_head=pose, **changes) for pose in poses))
    if name == "emotional":
        avatar = synthetic_avatar(seed=2, small=True, emotional=True)
        codes = (None, emotion_code(Emotion("happy", 0.8)), emotion_code(Emotion("sad", 1.0)))
        return make_scene(avatar, 64, *(synthetic_condition(avatar, 2, emotion=code) for code in codes))
    avatar = synthetic_avatar(small=True)
    tensors = {key: array.copy() for key, array in avatar.tensors.items()}
    tensors["head.density2.weight"][0, :2] *= 0.2
    avatar = avatar.replace(tensors=tensors, torso_mask=np.ones((64, 64), bool))
    return make_scene(avatar, 64, synthetic_condition(avatar, 2))


def native(avatar: Avatar, condition: FrameCondition, size_px: int = SIZE_PX, isa: str = "auto", threads: int = 1) -> np.ndarray:
    backend = CpuBackend(avatar, RenderOptions(size=size_px, isa=isa, threads=threads))
    try:
        return backend.render_float(condition)
    finally:
        backend.close()


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", ["full field", "square", "wide", "translucent head", "emotional"])
def test_cpu_backend_matches_torch(name: str, isa: str) -> None:
    wanted = scene(name)
    for condition, expected in zip(wanted.conditions, wanted.expected, strict=True):
        assert psnr_db(native(wanted.avatar, condition, wanted.size_px, isa), expected) >= required_psnr_db(isa)


def test_cpu_backend_matches_torch_from_inside_the_head(avatar: Avatar) -> None:
    condition = synthetic_condition(avatar, camera_from_head=camera_from_head(yaw=0.3, distance=0.4))
    assert psnr_db(native(avatar, condition, isa="portable"), reference(avatar, condition)) >= 60.0


def test_cpu_backend_counts_no_more_than_max_samples() -> None:
    avatar = synthetic_avatar(small=True)
    tensors = {name: array.copy() for name, array in avatar.tensors.items()}
    tensors["head.density2.weight"][0] *= 0.0
    config = dataclasses.replace(avatar.field_config, max_samples=3)
    avatar = avatar.replace(field_config=config, tensors=tensors)
    condition = synthetic_condition(avatar)
    assert psnr_db(native(avatar, condition, isa="portable"), reference(avatar, condition)) >= 60.0


def test_cpu_backend_shows_the_background_where_nothing_is_occupied(avatar: Avatar) -> None:
    empty = avatar.replace(occupancy=np.zeros_like(avatar.occupancy), torso_mask=np.zeros((64, 64), bool))
    background = np.full((32, 32, 3), (10, 200, 60), np.uint8)
    backend = CpuBackend(empty, RenderOptions(size=SIZE_PX))
    picture = backend.render([synthetic_condition(empty, background=background)])[0]
    assert (picture == (10, 200, 60)).all()


def test_cpu_backend_shows_audio_in_the_mouth_only(avatar: Avatar) -> None:
    backend = CpuBackend(avatar, RenderOptions(size=SIZE_PX))
    pose = camera_from_head()
    a, b = (backend.render_float(synthetic_condition(avatar, 0, seed, camera_from_head=pose)) for seed in (1, 2))
    change = np.abs(a - b).max(axis=2)
    assert change.max() > 0.01
    assert change[: SIZE_PX // 3].max() == 0.0


def test_cpu_backend_shows_the_eye_ratio_at_the_eyes_only(avatar: Avatar) -> None:
    backend = CpuBackend(avatar, RenderOptions(size=SIZE_PX))
    pose = camera_from_head()
    a, b = (backend.render_float(synthetic_condition(avatar, eye_ratio=eye, camera_from_head=pose)) for eye in (0.0, 1.0))
    change = np.abs(a - b).max(axis=2)
    assert change.max() > 0.01
    assert change[SIZE_PX * 3 // 4 :].max() == 0.0


def test_cpu_backend_shows_emotion_on_the_head_only() -> None:
    expected = scene("emotional").expected
    for emotional in expected[1:]:
        assert np.abs(emotional - expected[0]).max() > 0.02
        np.testing.assert_array_equal(emotional[0], expected[0][0])


def test_cpu_backend_rounds_as_quantise_does(avatar: Avatar) -> None:
    from renderer.images import quantise

    backend = CpuBackend(avatar, RenderOptions(size=SIZE_PX))
    condition = synthetic_condition(avatar)
    assert (backend.render([condition])[0] == quantise(backend.render_float(condition))).all()


def test_cpu_backend_batch_equals_singles(avatar: Avatar) -> None:
    backend = CpuBackend(avatar, RenderOptions(size=SIZE_PX))
    conditions = [synthetic_condition(avatar, i) for i in (0, 17)]
    batch = backend.render(conditions)
    assert batch.shape == (2, SIZE_PX, SIZE_PX, 3)
    for picture, condition in zip(batch, conditions, strict=True):
        assert (picture == backend.render([condition])[0]).all()
    assert (batch[0] != batch[1]).any()


@pytest.mark.parametrize("threads", [2, 3])
def test_cpu_backend_threads_change_rounding_at_most(avatar: Avatar, threads: int) -> None:
    condition = synthetic_condition(avatar)
    error = np.abs(native(avatar, condition, 160, threads=threads) - native(avatar, condition, 160))
    assert error.max() <= 2.0 * avatar.field_config.transmittance_threshold


def test_cpu_backends_in_two_threads_do_not_disturb_each_other(avatar: Avatar) -> None:
    other = synthetic_avatar(seed=5, small=True)
    conditions = [synthetic_condition(avatar, i) for i in range(8)]
    options = RenderOptions(size=SIZE_PX)
    expected = [CpuBackend(a, options).render(conditions) for a in (avatar, other)]
    backends = [CpuBackend(a, options) for a in (avatar, other)]
    found: dict[int, list[np.ndarray]] = {0: [], 1: []}

    def work(i: int) -> None:
        for _ in range(4):
            found[i].append(backends[i].render(conditions))

    threads = [threading.Thread(target=work, args=(i,)) for i in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, pictures in found.items():
        assert len(pictures) == 4
        assert all((picture == expected[i]).all() for picture in pictures)


def test_cpu_backend_reports_stages_once(avatar: Avatar) -> None:
    backend = CpuBackend(avatar, RenderOptions(size=SIZE_PX))
    assert backend.stage_ms() == {}
    backend.render([synthetic_condition(avatar)])
    stages = backend.stage_ms()
    assert set(stages) == {"march", "encode", "ambient", "audio_grid", "density_colour", "composite", "torso"}
    assert all(ms > 0.0 for ms in stages.values())
    assert backend.stage_ms() == {}


def test_cpu_backend_rejects_an_unknown_isa(avatar: Avatar) -> None:
    with pytest.raises(BackendUnavailable, match=r"isa 'avx9000' is not available here; available: auto, .*portable"):
        CpuBackend(avatar, RenderOptions(size=SIZE_PX, isa="avx9000"))


def test_cpu_backend_rejects_networks_that_are_too_wide() -> None:
    from renderer.field.config import FieldConfig
    from renderer.field.parameters import parameter_shapes

    avatar = synthetic_avatar(small=True)
    wide = FieldConfig(**{**{f.name: getattr(avatar.field_config, f.name) for f in dataclasses.fields(FieldConfig)}, "hidden": 128})
    tensors = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes(wide).items()}
    with pytest.raises(BackendUnavailable, match="takes hidden up to 64, this avatar has 128"):
        CpuBackend(avatar.replace(field_config=wide, tensors=tensors), RenderOptions(size=SIZE_PX))


@pytest.mark.parametrize("size", [0, 63, 100, 1040, -64])
def test_render_options_rejects_sizes(size: int) -> None:
    with pytest.raises(BadInput, match=f"size {size}: a multiple of 16"):
        RenderOptions(size=size)


def test_cpu_backend_rejects_a_picture_that_is_too_wide() -> None:
    avatar = synthetic_avatar(small=True, size_px=64, aspect=8.0)
    with pytest.raises(BadInput, match="8192 x 1024"):
        CpuBackend(avatar, RenderOptions(size=1024))


def test_cpu_backend_rejects_a_window_of_another_length(avatar: Avatar) -> None:
    condition = synthetic_condition(avatar)
    backend = CpuBackend(avatar, RenderOptions(size=SIZE_PX))
    with pytest.raises(BadInput, match="audio window of shape"):
        backend.render([dataclasses.replace(condition, audio_window=condition.audio_window[:-1])])


def test_cpu_backend_refuses_to_render_when_closed(avatar: Avatar) -> None:
    backend = CpuBackend(avatar, RenderOptions(size=SIZE_PX))
    backend.close()
    backend.close()
    with pytest.raises(ValueError, match="closed"):
        backend.render([synthetic_condition(avatar)])


def test_open_backend_auto_prefers_cpu(avatar: Avatar) -> None:
    backend = open_backend(avatar, RenderOptions(size=SIZE_PX))
    assert (backend.name, backend.isa) == ("cpu", available_isas()[0])


def i420_reference(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BT.601, limited range; chroma from the mean of four pixels."""
    r, g, b = (rgb[..., c].astype(np.float64) for c in range(3))
    y = 16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0
    u = 128.0 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255.0
    v = 128.0 + (112.0 * r - 93.786 * g - 18.214 * b) / 255.0
    height, width = y.shape
    half = (height // 2, 2, width // 2, 2)
    return y, u.reshape(half).mean((1, 3)), v.reshape(half).mean((1, 3))


@pytest.mark.parametrize("shape", [(2, 2), (6, 10), (64, 96)])
def test_rgb_to_i420_matches_the_formula(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    rgb[:2, :2] = 255
    found = rgb_to_i420(rgb)
    expected = np.concatenate([plane.reshape(-1) for plane in i420_reference(rgb)])
    assert np.abs(found - expected).max() <= 0.51
    assert found[0] == 235


def test_rgb_to_i420_writes_into_a_buffer_and_rejects_wrong_ones() -> None:
    rgb = np.full((4, 4, 3), 128, np.uint8)
    buffer = np.zeros(24, np.uint8)
    assert rgb_to_i420(rgb, buffer) is buffer
    assert (buffer[16:] == 128).all()
    with pytest.raises(ValueError, match="I420 buffer"):
        rgb_to_i420(rgb, np.zeros(23, np.uint8))
    with pytest.raises(ValueError, match="even height"):
        rgb_to_i420(rgb[:3])


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run([sys.executable, "-m", "renderer", "bench", *arguments], cwd=root, capture_output=True, text=True, timeout=120)


def test_bench_prints_one_json_object(avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "test.avatar"
    save_avatar(avatar, path)
    result = run_bench("--avatar", str(path), "--size", "64", "--frames", "5", "--isa", "portable", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["backend"], report["isa"], report["threads"], report["size"], report["frames"]) == ("cpu", "portable", 1, 64, 5)
    assert 0.0 < report["median_ms"] <= report["p95_ms"] <= report["p99_ms"]
    assert report["fps"] > 0.0
    assert set(report["stages"]) >= {"march", "encode", "torso"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "100"), "size 100"),
        (("--isa", "mmx"), "isa 'mmx' is not available"),
        (("--frames", "0"), "frames 0"),
        (("--backend", "gpu"), "backend 'gpu'"),
    ],
)
def test_bench_rejects_bad_options_in_one_line(avatar: Avatar, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    path = tmp_path / "test.avatar"
    save_avatar(avatar, path)
    result = run_bench("--avatar", str(path), *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
