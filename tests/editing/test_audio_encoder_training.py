"""Training on a tiny corpus: the network, its fast twin, augmentation, loss, resuming, export."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from editing.audio_encoder.augmentation import Augmentation, AugmentationConfig
from editing.audio_encoder.corpus import DEFAULT_SOURCES, Recording
from editing.audio_encoder.export import ExportConfig, export_bundled
from editing.audio_encoder.network import LEVEL_FLOOR, NetworkConfig, build_network, frame_logits, normalised
from editing.audio_encoder.training import (
    CHECKPOINT_NAME,
    TrainingConfig,
    WindowDrawer,
    averaged_network,
    frame_loss,
    phone_weights,
    step_weights,
    train,
)
from editing.audio_encoder.voices import LABEL_SAMPLES, NO_LABEL
from editing.phones import PHONE_INDEX, PHONES
from renderer.audio.encoder import AudioEncoder
from renderer.audio.framing import window_of_steps
from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

TINY = NetworkConfig(conv_channels=(8, 8, 8, 16, 16, 16, 32), hidden=32, layers=2, heads=2, feed_forward=48)
GEOMETRY = {"long_steps": 24, "live_steps": 16}
POOLS = AugmentationConfig(rooms=4, noises=8)


def tones(seconds: float = 40.0, seed: int = 0) -> Recording:
    """Three "phones" that a linear ear could tell apart: silence, a low and a high tone, 0.1...0.3 s each."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate(
        [np.full(generator.integers(10, 30), generator.choice([0, PHONE_INDEX["AA"], PHONE_INDEX["S"]])) for _ in range(int(seconds * 5))]
    ).astype(np.uint8)
    hertz = np.select([labels == 0, labels == PHONE_INDEX["AA"]], [0.0, 300.0], 3000.0)
    phase = np.cumsum(np.repeat(hertz, LABEL_SAMPLES)) / SAMPLE_RATE_HZ
    return Recording((np.sin(2 * np.pi * phase) * 8000).astype(np.int16), labels)


def write_corpus(folder: Path) -> None:
    folder.mkdir()
    for index, source in enumerate(DEFAULT_SOURCES):
        recording = tones(seed=index)
        np.savez(folder / f"{source.name}_00.npz", samples=recording.samples, labels=recording.labels)


class FakeClock:
    """A clock that advances by a fixed amount at each look."""

    def __init__(self, tick_s: float) -> None:
        self.now_s, self.tick_s = 0.0, tick_s

    def __call__(self) -> float:
        self.now_s += self.tick_s
        return self.now_s


@pytest.mark.parametrize("config", [TINY, NetworkConfig()])
def test_frame_logits_match_the_class_itself(config: NetworkConfig) -> None:
    network = build_network(config).eval()
    windows = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, window_of_steps(20) + 77)).astype(np.float32))
    with torch.no_grad():
        wanted = network(windows).logits
        torch.testing.assert_close(frame_logits(network, windows), wanted, atol=1e-4, rtol=1e-4)
        half = torch.log_softmax(frame_logits(network, windows, half=True), -1)
    assert (half - torch.log_softmax(wanted, -1)).abs().mean() < 0.05


def test_frame_logits_gradients_match_the_class_itself() -> None:
    network = build_network(TINY).eval()
    windows = torch.randn(2, window_of_steps(12), generator=torch.Generator().manual_seed(0))
    gradients = []
    for forward in (lambda w: network(w).logits, lambda w: frame_logits(network, w)):
        network.zero_grad()
        forward(windows).square().sum().backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, wanted in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], wanted, atol=1e-3, rtol=1e-3, msg=name)


def test_normalised_windows_have_unit_level_above_the_floor() -> None:
    loud = torch.randn(1, 8000) * 0.1 + 0.05
    quiet = torch.randn(1, 8000) * LEVEL_FLOOR / 10
    assert abs(float(normalised(loud).square().mean()) - 1) < 0.01
    assert float(normalised(quiet).square().mean()) < 0.02
    assert not normalised(torch.zeros(1, 8000)).any()


def test_window_drawer_labels_fit_the_windows() -> None:
    config = TrainingConfig(only_noise=0.0, silent_edge=0.0)
    drawer = WindowDrawer({"x": tones()}, {"x": 1.0}, config)
    windows, phones, only_noise = drawer.draw(8, window_of_steps(40), np.random.default_rng(0))
    assert windows.shape == (8, window_of_steps(40)) and phones.shape == (8, 40) and not only_noise.any()
    for window, row in zip(windows, phones, strict=True):
        level = np.array([np.abs(window[i * 320 + 160 : i * 320 + 240]).max() for i in range(40)])
        # Steps within 20 ms of a border may show both sides.
        inner = np.convolve(np.abs(np.diff(row, prepend=row[0], append=row[-1])) > 0, np.ones(4), "same")[:40] == 0
        assert ((level > 0.05) == (row != 0))[inner].mean() > 0.97


def test_window_drawer_makes_noise_and_silent_edges_silent() -> None:
    drawer = WindowDrawer({"x": tones()}, {"x": 1.0}, TrainingConfig(only_noise=0.5, silent_edge=1.0))
    windows, phones, only_noise = drawer.draw(40, window_of_steps(30), np.random.default_rng(0))
    assert 8 < only_noise.sum() < 32
    assert (phones[only_noise] == 0).all()
    edges = windows[~only_noise]
    assert ((edges[:, 0] == 0) | (edges[:, -1] == 0)).mean() > 0.9


def test_augmentation_keeps_shape_range_and_timing() -> None:
    generator = np.random.default_rng(0)
    speech = tones().samples.astype(np.float32) / 32768
    n_samples = window_of_steps(24)
    augmentation = Augmentation(POOLS, n_samples, speech, generator)
    windows = torch.zeros(64, n_samples)
    windows[:, n_samples // 2 :] = torch.from_numpy(speech[: n_samples - n_samples // 2])
    only_noise = torch.zeros(64, dtype=torch.bool)
    only_noise[:8] = True
    changed = augmentation(windows, only_noise)
    assert changed.shape == windows.shape and changed.dtype == torch.float32
    assert torch.isfinite(changed).all() and changed.abs().max() <= 1
    level = changed[8:].square()
    before, after = level[:, : n_samples // 2].mean(1), level[:, n_samples // 2 :].mean(1)
    assert (after > before).float().mean() > 0.9
    decibels = 10 * torch.log10(changed.square().mean(1) + 1e-12)
    assert decibels[8:].max() - decibels[8:].min() > 15


def test_frame_loss_ignores_unknown_phones_and_weighs_steps() -> None:
    logits = torch.zeros(1, 3, len(PHONES))
    logits[0, 0, 5] = 50.0
    ones, phones = torch.ones(3), torch.ones(len(PHONES))
    known = frame_loss(logits, torch.tensor([[5, NO_LABEL, NO_LABEL]]), ones, phones, 0.0)
    assert float(known) < 1e-3
    both = frame_loss(logits, torch.tensor([[5, 7, NO_LABEL]]), ones, phones, 0.0)
    assert abs(float(both) - np.log(len(PHONES)) / 2) < 1e-3
    weighted = frame_loss(logits, torch.tensor([[5, 7, NO_LABEL]]), torch.tensor([3.0, 1.0, 1.0]), phones, 0.0)
    assert abs(float(weighted) - np.log(len(PHONES)) / 4) < 1e-3


def test_weights_favour_live_steps_and_visible_phones() -> None:
    weights = step_weights(38, live=True)
    assert abs(weights.mean() - 1) < 1e-5
    assert weights[-4] == weights.max() > 2 * weights[10] > 0
    assert weights[-1] < weights[-4] / 3
    assert phone_weights(1.6)[PHONE_INDEX["M"]] > phone_weights(1.6)[PHONE_INDEX["N"]] == 1


def test_training_learns_resumes_and_exports(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    config = TrainingConfig(
        minutes=1.0, batch=8, learning_rate=4e-3, warm_up_steps=5, ema=0.9, checkpoint_minutes=0.25, threads=1,
        network=TINY, augmentation=POOLS, **GEOMETRY,
    )  # fmt: skip
    run = tmp_path / "run"

    class Interrupted(Exception):
        pass

    class InterruptingClock(FakeClock):
        def __call__(self) -> float:
            if self.now_s > 35:
                raise Interrupted
            return super().__call__()

    with pytest.raises(Interrupted):
        train(config, tmp_path / "corpus", run, clock=InterruptingClock(0.7))
    done = torch.load(run / CHECKPOINT_NAME, weights_only=True)
    assert done["step"] > 20
    network = train(config, tmp_path / "corpus", run, clock=FakeClock(0.7))
    assert (network / "config.json").exists() and (run / "training.json").exists()
    after = torch.load(run / CHECKPOINT_NAME, weights_only=True)
    assert done["step"] < after["step"] < done["step"] + 75
    log = [float(line.split('"loss": ')[1].split(",")[0]) for line in (run / "log.jsonl").read_text().splitlines()]
    assert log[-1] < 0.6 * np.log(len(PHONES)) and log[-1] < log[0]

    geometry = ExportConfig(window_steps=16, future_steps=3)
    path = tmp_path / "encoder.onnx"
    spec = export_bundled([run / CHECKPOINT_NAME], geometry, path, TINY)
    encoder = AudioEncoder.from_onnx(path)
    assert encoder.spec == spec and spec.labels == PHONES and spec.look_ahead_ms == 72.5
    windows = torch.from_numpy(tones(seed=9).samples[: 4 * spec.window_samples].reshape(4, -1).astype(np.float32) / 32768)
    with torch.no_grad():
        wanted = torch.log_softmax(frame_logits(averaged_network([run / CHECKPOINT_NAME], TINY), normalised(windows)), -1)
    wanted = wanted[:, 11:13].clamp(-10, 0).numpy()
    # Packing rounds the weights; without it the values are the same.
    np.testing.assert_allclose(encoder.encode_windows(windows.numpy()), wanted, atol=0.3)
    export_bundled([run / CHECKPOINT_NAME], dataclasses.replace(geometry, packed=False), path, TINY)
    np.testing.assert_allclose(AudioEncoder.from_onnx(path).encode_windows(windows.numpy()), wanted, atol=1e-4)


def test_several_runs_are_averaged(tmp_path: Path) -> None:
    paths, states = [], []
    for seed in range(2):
        torch.manual_seed(seed)
        states.append(build_network(TINY).state_dict())
        paths.append(tmp_path / f"{seed}.pt")
        torch.save({"averaged": states[-1]}, paths[-1])
    mean = averaged_network(paths, TINY).state_dict()
    for name, value in mean.items():
        torch.testing.assert_close(value, (states[0][name] + states[1][name]) / 2)
    write_corpus(tmp_path / "corpus")
    still = TrainingConfig(
        minutes=0.02, batch=2, learning_rate=1e-12, weight_decay=0.0, threads=1, network=TINY, augmentation=POOLS, **GEOMETRY
    )
    train(still, tmp_path / "corpus", tmp_path / "run", paths, clock=FakeClock(0.7))
    for name, value in averaged_network([tmp_path / "run" / CHECKPOINT_NAME], TINY).state_dict().items():
        torch.testing.assert_close(value, mean[name])
    other = tmp_path / "other.pt"
    torch.save({"averaged": build_network(dataclasses.replace(TINY, hidden=2 * TINY.hidden)).state_dict()}, other)
    with pytest.raises(BadInput, match="one and the same network"):
        averaged_network([other], TINY)
    with pytest.raises(BadInput, match="one and the same network"):
        averaged_network([paths[0], other], TINY)


def test_train_rejects_a_missing_corpus_and_foreign_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no shard"):
        train(TrainingConfig(), tmp_path, tmp_path / "run")
    foreign = tmp_path / "foreign.pt"
    foreign.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="not a checkpoint"):
        averaged_network([foreign], TINY)
    with pytest.raises(BadInput, match="minutes"):
        TrainingConfig(minutes=0)
