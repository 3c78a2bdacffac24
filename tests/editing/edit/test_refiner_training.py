from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from editing.edit.refiner_losses import FilterBank
from editing.edit.refiner_training import Lips, RefinerPair, RefinerTrainer, RefinerTrainingConfig, patch_corner, train_refiner
from renderer.errors import BadInput
from renderer.refiner.config import RefinerConfig
from tests.editing.edit.picture_pairs import picture_pair

SMALL = RefinerTrainingConfig(refiner=RefinerConfig(16, 16), steps=3, fine_tune_steps=2, patch_px=24, lip_patch_px=16, batch=2, seed=5)
PAIRS = [picture_pair(i) for i in range(4)]


def batch(*names: str) -> list[torch.Tensor]:
    return [torch.from_numpy(np.stack([getattr(pair, name) for pair in PAIRS])).float() / 255.0 for name in names]


def equal_states(a: RefinerTrainer, b: RefinerTrainer) -> bool:
    networks = ((a.network, b.network), (a.discriminator, b.discriminator))
    return all(torch.equal(x, y) for one, two in networks for x, y in zip(one.parameters(), two.parameters(), strict=True))


def test_training_lowers_the_losses_and_restores_detail() -> None:
    config = RefinerTrainingConfig(steps=120, fine_tune_steps=0, patch_px=32, batch=2, learning_rate=1e-3)
    trainer, history = RefinerTrainer(config, FilterBank()), []
    train_refiner(PAIRS, trainer, lambda _, losses: history.append(losses) is None)
    assert len(history) == 120
    for name in ("perceptual", "style", "total"):
        first, last = (np.mean([losses[name] for losses in part]) for part in (history[:10], history[-10:]))
        assert last < 0.85 * first, name
    rendered, edited = batch("rendered", "edited")
    with torch.inference_mode():
        refined = trainer.network.refine(rendered, 0.8)
    detail = [float(pictures.diff(dim=2).abs().mean()) for pictures in (rendered, refined, edited)]
    assert abs(detail[1] - detail[2]) < 0.5 * abs(detail[0] - detail[2])


def test_training_is_deterministic_and_resumes_exactly() -> None:
    whole, first, resumed, other = (RefinerTrainer(c, FilterBank()) for c in (SMALL, SMALL, SMALL, dataclasses.replace(SMALL, seed=6)))
    train_refiner(PAIRS, whole)
    train_refiner(PAIRS, first, lambda step, _: step < 4)
    assert first.step == 4
    resumed.load_state_dict(first.state_dict())
    train_refiner(PAIRS, resumed)
    assert resumed.step == whole.step == 5
    assert equal_states(whole, resumed)
    train_refiner(PAIRS, other)
    assert not equal_states(whole, other)


def test_fine_tune_adds_the_lip_edge_loss() -> None:
    names: list[set[str]] = []
    train_refiner(PAIRS, RefinerTrainer(SMALL, FilterBank()), lambda _, losses: names.append(set(losses)) is None)
    assert ["lip_edge" in step for step in names] == [False] * 3 + [True] * 2


def test_total_weighs_the_terms_as_equations_9_and_10() -> None:
    trainer = RefinerTrainer(SMALL, FilterBank())
    rendered, edited, original = batch("rendered", "edited", "original")
    lips = Lips(original, torch.from_numpy(np.stack([pair.lips for pair in PAIRS])).float())
    for given in (None, lips):
        values = trainer.losses(rendered, edited, given).values()
        total = values["reconstruction"] + 0.001 * values["perceptual"] + 10 * values["style"] + 0.01 * values["adversarial"]
        assert values["total"] == pytest.approx(total + 0.1 * values.get("lip_edge", 0.0), rel=1e-5)


@pytest.mark.parametrize("detail_to_field", [True, False])
def test_gradients_reach_the_field_as_equation_4_says(detail_to_field: bool) -> None:
    trainer = RefinerTrainer(dataclasses.replace(SMALL, detail_to_field=detail_to_field), FilterBank())
    rendered, edited = batch("rendered", "edited")
    rendered.requires_grad_()
    found = trainer.losses(rendered, edited)
    (of_low,) = torch.autograd.grad(found.terms["reconstruction"], rendered, retain_graph=True)
    torch.testing.assert_close(of_low, 2.0 * (rendered.detach() - edited) / edited.numel())
    found.total.backward()
    assert rendered.grad is not None
    assert torch.allclose(rendered.grad, of_low, atol=1e-9) != detail_to_field
    before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
    trainer.update(found, edited)
    assert trainer.step == 1
    assert any((a != b).any() for a, b in zip(before, trainer.network.parameters(), strict=True))


def test_the_discriminator_learns_to_tell_them_apart() -> None:
    trainer = RefinerTrainer(dataclasses.replace(SMALL, learning_rate=2e-3), FilterBank())
    rendered, edited = batch("rendered", "edited")
    for _ in range(20):
        found = trainer.losses(rendered, edited)
        trainer.update(found, edited)  # without backward(): the refiner stays as it is
    with torch.inference_mode():
        assert trainer.discriminator(edited).mean() > trainer.discriminator(rendered).mean() + 0.5


def test_lip_patch_is_centred_on_the_lips() -> None:
    pair = picture_pair(0, 64)
    row, column = patch_corner(pair.lips, 16, 16, np.random.default_rng(0), on_lips=True)
    rows, columns = np.nonzero(pair.lips)
    assert abs(row + 8 - rows.mean()) <= 2 and abs(column + 8 - columns.mean()) <= 2
    corners = [patch_corner(pair.lips, 16, 16, np.random.default_rng(i), on_lips=False) for i in range(50)]
    assert all(place % 2 == 0 and 0 <= place <= 48 for corner in corners for place in corner)
    assert len(set(corners)) > 20


def test_state_of_another_training_is_refused() -> None:
    trainer = RefinerTrainer(SMALL, FilterBank())
    for state in (RefinerTrainer(dataclasses.replace(SMALL, refiner=RefinerConfig(32, 16)), FilterBank()).state_dict(), {}):
        with pytest.raises(BadInput, match="not a state of this refiner's training"):
            trainer.load_state_dict(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"refine_weight": 0.0}, "refine_weight 0.0"),
        ({"learning_rate": 0.0}, "learning_rate 0.0"),
        ({"batch": 0}, "batch 0"),
        ({"patch_px": 33}, "patch_px 33"),
    ],
)
def test_config_rejects_values(changes: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        RefinerTrainingConfig(**changes)  # type: ignore[arg-type]


def test_training_rejects_pictures_that_do_not_fit() -> None:
    pair = PAIRS[0]
    with pytest.raises(BadInput, match="at least one pair"):
        train_refiner([], RefinerTrainer(SMALL, FilterBank()))
    blind = dataclasses.replace(pair, lips=np.zeros_like(pair.lips))
    with pytest.raises(BadInput, match="no picture has a lip mask"):
        train_refiner([blind], RefinerTrainer(SMALL, FilterBank()))
    with pytest.raises(BadInput, match="edited has shape"):
        dataclasses.replace(pair, edited=pair.edited[:-2])
    tiny = pair.rendered[:8, :8]
    with pytest.raises(BadInput, match="from 16 pixels on"):
        RefinerPair(tiny, tiny, tiny, pair.lips[:8, :8])
