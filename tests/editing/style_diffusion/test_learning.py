from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.style_diffusion.learning import LearningConfig, learn
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")
CONFIG = LearningConfig(steps=40, batch=32, rate=0.2, warm_up_steps=3)


def line(outputs: int = 1) -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Linear(2, outputs)


def loss_with(network: torch.nn.Module):  # type: ignore[no-untyped-def]
    def loss_of(generator: np.random.Generator) -> torch.Tensor:
        x = torch.from_numpy(generator.normal(size=(CONFIG.batch, 2)).astype(np.float32))
        return (network(x) - (2.0 * x[:, :1] - x[:, 1:] + 0.5)).square().mean()

    return loss_of


def test_the_loss_falls_and_the_averaged_weights_are_kept(tmp_path: Path) -> None:
    network, losses = line(), []
    learn({"line": network}, loss_with(network), CONFIG, (0,), tmp_path / "c.pt", lambda done, total, loss: losses.append(loss))
    assert len(losses) == CONFIG.steps and losses[-1] < 0.2 * losses[0]
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    torch.testing.assert_close(network.weight.detach(), state["averaged"][0])
    assert not torch.equal(network.weight, state["networks"]["line"]["weight"])


def test_a_stopped_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, stopped = line(), line()
    learn({"line": whole}, loss_with(whole), CONFIG, (0,), tmp_path / "whole.pt", lambda *_: None)

    def stop(done: int, total: int, loss: float) -> None:
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn({"line": stopped}, loss_with(stopped), CONFIG, (0,), tmp_path / "c.pt", stop)
    again, steps = line(), []
    learn({"line": again}, loss_with(again), CONFIG, (0,), tmp_path / "c.pt", lambda done, *_: steps.append(done))
    assert steps[0] == 12
    assert torch.equal(whole.weight, again.weight) and torch.equal(whole.bias, again.bias)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    network, other = line(), line(3)
    learn({"line": network}, loss_with(network), CONFIG, (0,), tmp_path / "c.pt", lambda *_: None)
    with pytest.raises(BadInput, match=r"c\.pt does not fit this training"):
        learn({"line": other}, loss_with(other), CONFIG, (0,), tmp_path / "c.pt", lambda *_: None)
    (tmp_path / "c.pt").write_bytes(b"no checkpoint")
    with pytest.raises(BadInput, match=r"c\.pt does not fit this training"):
        learn({"line": network}, loss_with(network), CONFIG, (0,), tmp_path / "c.pt", lambda *_: None)


def test_the_rate_rises_and_falls() -> None:
    rates = [CONFIG.rate_at(step) for step in range(CONFIG.steps)]
    assert rates[0] < rates[1] < rates[2] and rates[3:] == sorted(rates[3:], reverse=True)
    assert max(rates) <= CONFIG.rate and min(rates) > 0.0


@pytest.mark.parametrize(("values", "named"), [({"steps": 0}, "0 steps"), ({"batch": 0}, "0 pictures"), ({"rate": 2.0}, "rate 2")])
def test_impossible_schedules_are_refused(values: dict[str, float], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        LearningConfig(**({"steps": 1, "batch": 1, "rate": 0.1} | values))  # type: ignore[arg-type]
