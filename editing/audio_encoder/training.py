"""Training of the bundled encoder: frame cross-entropy on augmented windows of the corpus.

Time base: a window of `n_steps` steps holds 400 + 320·(n_steps − 1) samples; step i is centred on sample 320·i + 200.
The run is limited by wall time, not steps: the learning rate follows a cosine over `minutes`. A checkpoint every few
minutes holds everything, so that an interrupted run goes on where it was; the exponential mean of the weights is what is
kept at the end.
"""

from __future__ import annotations

import json
import math
import pickle
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.audio_encoder.augmentation import Augmentation, AugmentationConfig
from editing.audio_encoder.corpus import DEFAULT_SOURCES, HELD_OUT_ESPEAK, HELD_OUT_SYNTHESISER, Recording, load_source
from editing.audio_encoder.held_phones import with_held_phone
from editing.audio_encoder.network import NetworkConfig, build_network, frame_logits, normalised
from editing.audio_encoder.voices import LABEL_SAMPLES, NO_LABEL
from editing.phones import PHONE_INDEX, PHONES, SILENCE
from renderer.audio.framing import CENTRE_SAMPLES, STEP_SAMPLES, steps_in_window, window_of_steps
from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Bool, Float, Float32, Int64
    from torch import Tensor

CHECKPOINT_NAME = "checkpoint.pt"

SILENT = PHONE_INDEX[SILENCE]
# What lips show most, and what is hardest to hear.
EMPHASISED_PHONES = ("M", "B", "P", "F", "V")


@dataclass(frozen=True)
class TrainingConfig:
    """One training run."""

    minutes: float = 38.0
    """wall time, without loading"""
    batch: int = 40
    """windows to a step"""
    learning_rate: float = 1.5e-3
    """highest; reached after `warm_up_steps`"""
    warm_up_steps: int = 200
    """steps over which the rate rises from 0"""
    weight_decay: float = 0.02
    """of AdamW"""
    label_smoothing: float = 0.03
    """of the cross-entropy"""
    ema: float = 0.998
    """decay of the exponential mean of the weights"""
    long_steps: int = 50
    """steps of a window at first"""
    live_steps: int = 38
    """steps of a window in the last part, and of the exported encoder"""
    live_from: float = 0.7
    """share of the time after which windows have `live_steps`, and steps near the live one count more"""
    warp: float = 0.16
    """largest change of speed (pitch and formants with it), as a natural logarithm"""
    emphasis: float = 1.6
    """weight of the phones that lips show most"""
    held_phone: float = 0.25
    """share of windows in which a phone is held longer than synthesisers do"""
    only_noise: float = 0.06
    """share of windows with noise alone, labelled silent"""
    silent_edge: float = 0.14
    """share of windows in which the speech begins or ends abruptly"""
    threads: int = 2
    """of torch"""
    seed: int = 0
    """of everything random"""
    checkpoint_minutes: float = 3.0
    """between checkpoints"""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        if self.minutes <= 0:
            raise BadInput(f"minutes {self.minutes} must be more than 0")
        if not 0.0 <= self.live_from <= 1.0:
            raise BadInput(f"live_from {self.live_from} is outside 0...1")


UNCHANGED = TrainingConfig(warp=0.0, held_phone=0.0, only_noise=0.0, silent_edge=0.0)
"""Windows as they are in the corpus."""


class WindowDrawer:
    """Draws labelled windows from the corpus, at random places and speeds."""

    def __init__(self, recordings: Mapping[str, Recording], shares: Mapping[str, float], config: TrainingConfig) -> None:
        self._recordings = [recordings[name] for name in shares]
        weights = np.array(list(shares.values()))
        self._probabilities = weights / weights.sum()
        self._config = config

    def draw(
        self, n: int, n_samples: int, generator: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "n n_samples"], Int64[np.ndarray, "n n_steps"], Bool[np.ndarray, " n"]]:
        """Windows, the phone of every step (NO_LABEL: unknown), and which windows are to hold noise alone."""
        config = self._config
        centres = np.arange(steps_in_window(n_samples)) * STEP_SAMPLES + CENTRE_SAMPLES
        windows = np.empty((n, n_samples), np.float32)
        phones = np.empty((n, len(centres)), np.int64)
        only_noise = generator.random(n) < config.only_noise
        positions = np.arange(n_samples, dtype=np.float32)
        for row in range(n):
            recording = self._recordings[generator.choice(len(self._recordings), p=self._probabilities)]
            speed = float(np.exp(generator.uniform(-config.warp, config.warp)))
            needed = int(n_samples * speed) + 4
            n_labels = -(-needed // LABEL_SAMPLES) + 1
            first = int(generator.integers(0, len(recording.labels) - n_labels))
            labels = recording.labels[first : first + n_labels]
            stretch = recording.samples[first * LABEL_SAMPLES : (first + n_labels) * LABEL_SAMPLES]
            stretch = stretch.astype(np.float32) / 32768.0
            if generator.random() < config.held_phone:
                stretch, labels = with_held_phone(stretch, labels, generator)
            begin = int(generator.integers(0, len(stretch) - needed + 1))
            windows[row] = np.interp(positions * speed + begin, np.arange(len(stretch)), stretch)
            phones[row] = labels[((begin + centres * speed) / LABEL_SAMPLES).astype(int)]
            if only_noise[row]:
                phones[row] = SILENT
            elif generator.random() < config.silent_edge:
                cut = int(generator.integers(n_samples // 10, n_samples * 8 // 10))
                begins = generator.random() < 0.6
                windows[row, slice(None, cut) if begins else slice(cut, None)] = 0.0
                phones[row, centres < cut if begins else centres >= cut] = SILENT
        return windows, phones, only_noise


def step_weights(n_steps: int, live: bool) -> Float32[np.ndarray, " n_steps"]:
    """How much each step of a window counts: those with a little future and much past are the ones used live."""
    future = np.arange(n_steps)[::-1]
    past = np.arange(n_steps)
    weights = np.where(future == 0, 0.3, np.where(future == 1, 0.6, 1.0))
    weights = weights * np.where(past < 6, 0.5, 1.0)
    if live:
        weights = weights * np.where((future >= 2) & (future <= 5), 3.0, np.where(future > 12, 0.5, 1.0))
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def phone_weights(emphasis: float) -> Float32[np.ndarray, " n_phones"]:
    """How much each phone counts."""
    return np.array([emphasis if phone in EMPHASISED_PHONES else 1.0 for phone in PHONES], np.float32)


def frame_loss(
    logits: Float[Tensor, "n n_steps n_phones"],
    phones: Int64[Tensor, "n n_steps"],
    weights_of_step: Float[Tensor, " n_steps"],
    weights_of_phone: Float[Tensor, " n_phones"],
    label_smoothing: float,
) -> Float[Tensor, ""]:
    """Weighted cross-entropy, without the steps whose phone is unknown."""
    import torch.nn.functional as functional

    known = phones != NO_LABEL
    target = phones.masked_fill(~known, 0)
    losses = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none", label_smoothing=label_smoothing).view_as(
        target
    )
    weights = weights_of_step * weights_of_phone[target] * known
    return (losses * weights).sum() / weights.sum()


def clean_accuracy(network: Any, recording: Recording, n_steps: int, seed: int = 1, windows: int = 160) -> float:
    """Share of steps with 2...5 steps of future whose likeliest phone is right, on unchanged sound."""
    import torch

    generator = np.random.default_rng(seed)
    drawer = WindowDrawer({"held": recording}, {"held": 1.0}, UNCHANGED)
    sound, phones, _ = drawer.draw(windows, window_of_steps(n_steps), generator)
    with torch.no_grad():
        likeliest = frame_logits(network, normalised(torch.from_numpy(sound))).argmax(-1).numpy()
    return float((likeliest == phones)[:, -6:-2].mean())


def train(
    config: TrainingConfig,
    corpus: Path,
    out: Path,
    start_from: Sequence[Path] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Train, or go on with an unfinished run in `out`; returns the folder with the finished network.

    A new run begins with the mean of the averaged weights of the checkpoints `start_from`, or else with random weights.
    """
    import torch
    from tqdm import tqdm

    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    shares = {source.name: source.share for source in DEFAULT_SOURCES if source.share > 0}
    recordings = {name: load_source(corpus, name) for name in shares}
    held_out = {name: load_source(corpus, name) for name in (HELD_OUT_ESPEAK, HELD_OUT_SYNTHESISER)}
    network = averaged_network(start_from, config.network) if start_from else build_network(config.network)
    averaged: Any = build_network(config.network)
    averaged.load_state_dict(network.state_dict())
    averaged.eval()
    network.train()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
    )
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / CHECKPOINT_NAME
    step, elapsed_s = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        step, elapsed_s = state["step"], state["elapsed_s"]
    generator = np.random.default_rng((config.seed, step))
    drawer = WindowDrawer(recordings, shares, config)
    speech = recordings["flite"].samples[: 600 * SAMPLE_RATE_HZ].astype(np.float32) / 32768.0
    augmentations = {
        steps: Augmentation(config.augmentation, window_of_steps(steps), speech, generator)
        for steps in {config.long_steps, config.live_steps}
    }
    weights_of_phone = torch.from_numpy(phone_weights(config.emphasis))
    budget_s = config.minutes * 60
    last_s = clock()
    saved_s = elapsed_s
    losses: list[float] = []
    bar = tqdm(total=round(config.minutes, 2), initial=round(elapsed_s / 60, 2), unit="min", desc="training")
    log = out / "log.jsonl"
    while elapsed_s < budget_s:
        progress = elapsed_s / budget_s
        live = progress >= config.live_from
        n_steps = config.live_steps if live else config.long_steps
        rate = config.learning_rate * min(1.0, (step + 1) / config.warm_up_steps)
        rate *= max(0.01, 0.5 * (1.0 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        sound, phones, only_noise = drawer.draw(config.batch, window_of_steps(n_steps), generator)
        changed = augmentations[n_steps](torch.from_numpy(sound), torch.from_numpy(only_noise))
        logits = frame_logits(network, normalised(changed), half=True)
        loss: Any = frame_loss(
            logits,
            torch.from_numpy(phones),
            torch.from_numpy(step_weights(n_steps, live)),
            weights_of_phone,
            config.label_smoothing,
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        decay = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, parameter in zip(averaged.parameters(), network.parameters(), strict=True):
                mean.lerp_(parameter, 1.0 - decay)
        losses.append(loss.item())
        now_s = clock()
        elapsed_s += now_s - last_s
        last_s = now_s
        bar.n = round(elapsed_s / 60, 2)
        bar.set_postfix(step=step, loss=f"{np.mean(losses[-50:]):.3f}", refresh=len(losses) % 10 == 0)
        if elapsed_s - saved_s >= config.checkpoint_minutes * 60 or elapsed_s >= budget_s:
            saved_s = elapsed_s
            report = {"minutes": elapsed_s / 60, "step": step, "loss": float(np.mean(losses[-100:])), "rate": rate}
            for name, recording in held_out.items():
                report[name] = clean_accuracy(averaged, recording, config.live_steps)
            with log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(report) + "\n")
            state = {
                "network": network.state_dict(),
                "averaged": averaged.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "elapsed_s": elapsed_s,
            }
            _save_atomically(state, checkpoint)
    bar.close()
    return save_network(averaged, config, out)


def _save_atomically(state: dict[str, Any], path: Path) -> None:
    import torch

    unfinished = path.with_suffix(".tmp")
    torch.save(state, unfinished)
    unfinished.rename(path)


def _weights_of(path: Path) -> dict[str, Any]:
    """Averaged weights of a checkpoint."""
    import torch

    try:
        state = torch.load(path, weights_only=True)
        return dict(state["averaged"])
    except (OSError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"{path} is not a checkpoint of this training: {reason}") from error


def save_network(network: Any, config: TrainingConfig, out: Path) -> Path:
    """Write the network as transformers does (`network/`), with the run's settings beside it."""
    folder = out / "network"
    network.save_pretrained(folder)
    (out / "training.json").write_text(json.dumps(asdict(config), indent=2), encoding="utf-8")
    return folder


def averaged_network(checkpoints: Sequence[Path], config: NetworkConfig) -> Any:
    """The network with the mean of the checkpoints' weights, ready for use."""
    network: Any = build_network(config)
    states = [_weights_of(checkpoint) for checkpoint in checkpoints]
    try:
        network.load_state_dict({name: sum(state[name] for state in states) / len(states) for name in states[0]})
    except (KeyError, RuntimeError) as error:
        raise BadInput(f"{', '.join(map(str, checkpoints))}: not checkpoints of one and the same network: {error}") from error
    return network.eval()
