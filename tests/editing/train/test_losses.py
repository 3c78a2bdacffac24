from __future__ import annotations

import math

import torch

from editing.train.losses import colour_loss, dynamic_loss, entropy_loss, rate_at, structural_loss


def test_colour_loss_is_the_mean_squared_error() -> None:
    assert math.isclose(float(colour_loss(torch.full((4, 3), 0.5), torch.zeros(4, 3))), 0.25)


def test_entropy_loss_is_largest_at_one_half_and_small_at_the_ends() -> None:
    half, ends = entropy_loss(torch.tensor([0.5])), entropy_loss(torch.tensor([0.0, 1.0]))
    assert math.isclose(float(half), math.log(2), rel_tol=1e-5)
    assert float(ends) < 2e-3


def test_dynamic_loss_counts_only_what_is_outside_the_face_and_seen() -> None:
    ambient = torch.tensor([[0.5, -0.5], [1.0, 1.0], [0.3, 0.1]])
    loss = dynamic_loss(ambient, torch.tensor([0.5, 1.0, 0.0]), torch.tensor([True, False, True]), n_rays=2)
    assert math.isclose(float(loss), 0.25)


def test_structural_loss_sees_a_shifted_edge_but_not_equality() -> None:
    picture = torch.zeros(1, 24, 24, 3)
    picture[:, :, 12:] = 1.0
    shifted = torch.roll(picture, 2, dims=2)
    assert float(structural_loss(picture, picture)) < 1e-6
    assert float(structural_loss(picture, shifted)) > 0.05


def test_rate_warms_up_and_decays_to_its_share() -> None:
    assert rate_at(0, 1000, 1.0, 0.1) == 0.01
    assert math.isclose(rate_at(1000, 1000, 1.0, 0.1), 0.1)
    assert rate_at(500, 1000, 1.0, 0.1) > rate_at(900, 1000, 1.0, 0.1)
