"""The torch engine in a whole training: against the native one, interrupted, on another device, and on a GPU where there is one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from editing.dataset import Dataset
from editing.lpips import Lpips
from editing.train import trainer as trainer_module
from editing.train.clip import TrainingClip
from editing.train.command import field_config_for
from editing.train.engine import Engine, NativeEngine, TorchEngine, engine_of
from editing.train.occupancy import visual_hull
from editing.train.stages import TorsoStage
from editing.train.trainer import Trainer
from renderer.audio.encoder import AudioEncoder
from renderer.field import native_ops
from tests.editing.test_lpips import written
from tests.editing.train.test_trainer import CONFIG, REFINING, lessons
from tests.pretended_device import DEVICE, PretendedDevice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from editing.train.stages import StepReport

CPU = torch.device("cpu")
BRIEF = dataclasses.replace(REFINING, speech_steps=2, head_steps=8, lips_steps=2, torso_steps=3, samples_per_step=1024, prune_after=2)
"""Passes every stage, the pose refinement, a pruning and the tightening."""
LEARNING = dataclasses.replace(CONFIG, speech_steps=5, head_steps=40, lips_steps=2, torso_steps=40, samples_per_step=4096)


@pytest.fixture(scope="module")
def clip(tiny_take: Path) -> TrainingClip:
    dataset, encoder = Dataset.open(tiny_take), AudioEncoder.bundled()
    return TrainingClip(dataset, encoder, field_config_for(dataset, encoder.spec, 160.0, 64))


@pytest.fixture(scope="module")
def hull(clip: TrainingClip) -> np.ndarray:
    return visual_hull(clip, field_config_for(clip.dataset, AudioEncoder.bundled().spec, 160.0, 64))


@pytest.fixture(autouse=True)
def quick_occupancy(monkeypatch: pytest.MonkeyPatch, hull: np.ndarray) -> None:
    """The hull takes a second or two, and so do a few whole pictures, by which the grid is tightened, with plain torch on a CPU."""
    monkeypatch.setattr(trainer_module, "visual_hull", lambda *_: hull.copy())
    monkeypatch.setattr(trainer_module, "TIGHTENING_FRAMES", 2)


@pytest.fixture
def float32_kernels() -> Iterator[None]:
    """Without bfloat16 products, so that the engines differ by rounding alone."""
    best = native_ops.instruction_set()
    native_ops.select_instruction_set("base")
    yield
    native_ops.select_instruction_set(best)


def trainer(clip: TrainingClip, checkpoint: Path, engine: Engine, config: Any = BRIEF, lpips: Any = None) -> Trainer:
    field_config = field_config_for(clip.dataset, AudioEncoder.bundled().spec, 160.0, 64)
    return Trainer(clip, lessons(clip, field_config), field_config, config, checkpoint, lpips, engine)


def gradients(run: Trainer) -> dict[str, torch.Tensor]:
    named = {name: tensor.grad for name, tensor in run.field.tensors.items()} | {"poses": run.poses.updates.grad}
    return {name: grad.cpu().clone() for name, grad in named.items() if grad is not None}


def assert_same_training(ours: Trainer, theirs: Trainer) -> None:
    for name, tensor in theirs.average.items():
        assert torch.equal(ours.field[name].detach().cpu(), theirs.field[name].detach().cpu()), name
        assert torch.equal(ours.average[name].cpu(), tensor.cpu()), f"average of {name}"
    for name in ("hull", "grid", "seen"):
        assert torch.equal(getattr(ours.occupancy, name).cpu(), getattr(theirs.occupancy, name).cpu()), name
    assert torch.equal(ours.poses.updates, theirs.poses.updates)


def one_step(clip: TrainingClip, checkpoint: Path, engine: Engine, step: str) -> tuple[StepReport, dict[str, torch.Tensor]]:
    """What a step of this kind says, and its gradients."""
    run = trainer(clip, checkpoint, engine)
    with torch.no_grad():  # an untrained field is nearly constant
        run.field["head.spatial_grid"].mul_(50.0)
    if step == "torso":
        report = TorsoStage(run.field, clip, run.config, run.rng).step(1)
    else:
        report = run.head.step(0 if step == "whole hull" else 1, step == "lips", run.poses if step == "refined poses" else None)
    return report, gradients(run)


@pytest.mark.usefixtures("float32_kernels")
@pytest.mark.parametrize("step", ["whole hull", "refined poses", "lips", "torso"])
def test_a_step_of_the_torch_engine_has_the_gradients_of_the_native_one(clip: TrainingClip, tmp_path: Path, step: str) -> None:
    theirs, their_gradients = one_step(clip, tmp_path / "x.checkpoint", NativeEngine(), step)
    ours, our_gradients = one_step(clip, tmp_path / "x.checkpoint", TorchEngine(CPU), step)
    assert ours.n_samples == theirs.n_samples and ours.n_rays == theirs.n_rays
    assert float(ours.loss) == pytest.approx(float(theirs.loss), rel=1e-5)
    assert ours.psnr_db == pytest.approx(theirs.psnr_db, abs=1e-3)
    assert our_gradients.keys() == their_gradients.keys()
    assert ("poses" in our_gradients) == (step == "refined poses")
    for name, expected in their_gradients.items():
        assert float((our_gradients[name] - expected).norm()) <= 1e-3 * float(expected.norm()) + 1e-9, name


def learn(clip: TrainingClip, checkpoint: Path, engine: Engine) -> list[float]:
    """The PSNR that the head, the lips and the torso end with, in dB."""
    psnr: dict[str, list[float]] = {"speech": [], "head": [], "lips": [], "torso": []}
    trainer(clip, checkpoint, engine, LEARNING).run(lambda stage, step, n, report: psnr[stage].append(report.psnr_db))
    assert np.mean(psnr["head"][-8:]) > np.mean(psnr["head"][:8]) + 2.0
    return [float(np.mean(psnr[stage][-8:])) for stage in ("head", "lips", "torso")]


def test_training_with_the_torch_engine_learns_what_the_native_one_does(clip: TrainingClip, tmp_path: Path) -> None:
    native, *torchs = (
        learn(clip, tmp_path / "x.checkpoint", engine)
        for engine in (NativeEngine(), TorchEngine(CPU), TorchEngine(CPU, network_dtype=torch.bfloat16))
    )
    for reached in torchs:
        np.testing.assert_allclose(reached, native, atol=0.5)


def test_interrupted_training_with_the_torch_engine_equals_an_uninterrupted_one(clip: TrainingClip, tmp_path: Path) -> None:
    whole = trainer(clip, tmp_path / "whole.checkpoint", TorchEngine(CPU))
    whole.run(lambda *_: None)
    checkpoint = tmp_path / "cut.checkpoint"
    trainer(clip, checkpoint, TorchEngine(CPU)).save_checkpoint()
    for cut in (("speech", 1), ("head", 3), ("lips", 1), ("torso", 2)):
        run_until(clip, checkpoint, TorchEngine(CPU), cut)
    resumed = trainer(clip, checkpoint, TorchEngine(CPU))
    resumed.load_checkpoint()
    resumed.run(lambda *_: None)
    assert_same_training(resumed, whole)
    assert whole.poses.updates.any()


def run_until(clip: TrainingClip, checkpoint: Path, engine: Engine, cut: tuple[str, int]) -> None:
    """Go on from a checkpoint up to this step, leaving another."""

    def stop(stage: str, step: int, *_: object) -> None:
        if (stage, step) == cut:
            raise KeyboardInterrupt

    part = trainer(clip, checkpoint, engine)
    part.load_checkpoint()
    with pytest.raises(KeyboardInterrupt):
        part.run(stop)


def test_a_training_on_another_device_keeps_to_it(clip: TrainingClip, tmp_path: Path) -> None:
    """Nothing of a step may be made on the CPU and forgotten there: a device that says it is another tells, and computes the same."""
    files = written(tmp_path, "alex")
    here = trainer(clip, tmp_path / "here.checkpoint", TorchEngine(CPU), lpips=Lpips(*files))
    here.run(lambda *_: None)
    with PretendedDevice():
        there = trainer(clip, tmp_path / "there.checkpoint", TorchEngine(DEVICE), lpips=Lpips(*files, DEVICE))
        assert all(p.device.type == DEVICE.type for p in there.field.parameters())
        there.run(lambda *_: None)
        snapshot = there.snapshot("x", AudioEncoder.bundled())
        assert_same_training(there, here)
    for name, mean in here.average.items():
        np.testing.assert_array_equal(snapshot.tensors[name], mean.numpy())
    np.testing.assert_array_equal(snapshot.occupancy, here.occupancy.grid.numpy())


def test_a_checkpoint_goes_on_with_another_engine_and_on_another_device(clip: TrainingClip, tmp_path: Path) -> None:
    checkpoint = tmp_path / "x.checkpoint"
    trainer(clip, checkpoint, NativeEngine()).save_checkpoint()
    run_until(clip, checkpoint, NativeEngine(), ("head", 2))
    native = trainer(clip, checkpoint, NativeEngine())
    native.load_checkpoint()
    with PretendedDevice():
        there = trainer(clip, checkpoint, TorchEngine(DEVICE))
        there.load_checkpoint()
        assert (there.stage, there.step) == ("head", 2)
        assert_same_training(there, native)
        run_until(clip, checkpoint, TorchEngine(DEVICE), ("head", 6))
        there.load_checkpoint()
    back = trainer(clip, checkpoint, NativeEngine())
    back.load_checkpoint()
    assert (back.stage, back.step) == ("head", 6)
    with PretendedDevice():
        assert_same_training(back, there)
    back.run(lambda *_: None)
    assert all(torch.isfinite(mean).all() for mean in back.average.values())


def test_an_avatar_starts_a_training_on_another_device(clip: TrainingClip, tmp_path: Path) -> None:
    avatar = trainer(clip, tmp_path / "x.checkpoint", NativeEngine()).snapshot("x", AudioEncoder.bundled())
    with PretendedDevice():
        run = trainer(clip, tmp_path / "y.checkpoint", TorchEngine(DEVICE), dataclasses.replace(BRIEF, seed=1))
        run.start_from(avatar)
        run.head.step(1)
        np.testing.assert_array_equal(run.field.arrays()["head.density1.weight"], avatar.tensors["head.density1.weight"])
        assert run.occupancy.grid.device.type == DEVICE.type


def test_engine_of_a_cpu_is_native_and_of_anything_else_torch() -> None:
    assert isinstance(engine_of(CPU), NativeEngine)
    engine = engine_of(DEVICE)
    assert isinstance(engine, TorchEngine) and engine.device == DEVICE and engine.network_dtype == torch.float32


@pytest.mark.requires_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU: training on one is not tested here")
@pytest.mark.parametrize("network_dtype", [torch.float32, None], ids=["float32", "the device's own"])
def test_training_on_cuda_learns_what_the_native_engine_does(clip: TrainingClip, tmp_path: Path, network_dtype: torch.dtype | None) -> None:
    native = learn(clip, tmp_path / "native.checkpoint", NativeEngine())
    reached = learn(clip, tmp_path / "cuda.checkpoint", TorchEngine(torch.device("cuda", 0), network_dtype))
    np.testing.assert_allclose(reached, native, atol=0.5)
    other = trainer(clip, tmp_path / "cuda.checkpoint", NativeEngine(), LEARNING)
    other.load_checkpoint()
    assert (other.stage, other.step) == ("torso", LEARNING.torso_steps)


@pytest.mark.requires_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU: training on one is not tested here")
@pytest.mark.usefixtures("float32_kernels")
@pytest.mark.parametrize("step", ["whole hull", "refined poses", "lips", "torso"])
def test_a_step_on_cuda_has_the_gradients_of_the_native_engine(clip: TrainingClip, tmp_path: Path, step: str) -> None:
    theirs, their_gradients = one_step(clip, tmp_path / "x.checkpoint", NativeEngine(), step)
    ours, our_gradients = one_step(clip, tmp_path / "x.checkpoint", TorchEngine(torch.device("cuda", 0), torch.float32), step)
    # A sample here or there may fall into another cell by rounding.
    assert ours.n_samples == pytest.approx(theirs.n_samples, rel=1e-3)
    assert float(ours.loss) == pytest.approx(float(theirs.loss), rel=1e-2)
    for name, expected in their_gradients.items():
        assert float((our_gradients[name] - expected).norm()) <= 0.05 * float(expected.norm()) + 1e-9, name
