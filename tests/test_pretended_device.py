"""The pretended device itself: that it computes as the CPU does, and that it tells when the two are mixed."""

from __future__ import annotations

import pytest
import torch

from tests.pretended_device import DEVICE, PretendedDevice


def test_it_computes_and_differentiates_as_the_cpu_does() -> None:
    with PretendedDevice():
        here = torch.tensor([1.0, 2.0, 3.0])
        there = here.to(DEVICE).requires_grad_()
        value = (there * torch.tensor([2.0, 0.0, 1.0], device=DEVICE) + there.new_tensor([1.0, 1.0, 1.0])).square().sum()
        value.backward()
        assert value.device.type == there.grad.device.type == DEVICE.type
        assert float(value.detach()) == 26.0
        assert there.grad.cpu().tolist() == [12.0, 0.0, 8.0]
        there.detach()[1:] += 5.0
        assert there.detach().cpu().tolist() == [1.0, 7.0, 8.0]
        assert here.tolist() == [1.0, 2.0, 3.0]


def test_it_refuses_tensors_of_both_sides() -> None:
    with PretendedDevice():
        there = torch.ones(3, device=DEVICE)
        assert float((there * torch.tensor(2.0)).sum()) == 6.0, "a number goes everywhere"
        for mix in (lambda: there + torch.ones(3), lambda: torch.ones(3)[None] @ there, lambda: there[torch.tensor([1])]):
            with pytest.raises(RuntimeError, match="mixes tensors of the CPU"):
                mix()
        with pytest.raises(RuntimeError):
            there.numpy()
