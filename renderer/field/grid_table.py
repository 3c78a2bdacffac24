"""The optimiser of one grid's table, plain torch: the twin that `native_ops.GridTable` is held to, and what other devices use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from renderer.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class GridTable:
    """A table's gradient buffer and the state of a lazy Adam.

    `table.grad` is the buffer; it stays allocated. Moments of a row move only in steps in which the row had a gradient: a grid is touched
    here and there, and a row that waits for its next sample must not drift. The bias correction counts all steps.
    """

    def __init__(self, table: Float[Tensor, "rows 2"]) -> None:
        """Raises BadInput for a table that is not a contiguous leaf of two float32 columns."""
        if not (table.is_leaf and table.requires_grad and table.is_contiguous() and table.ndim == 2 and table.shape[1] == 2):
            raise BadInput(f"a table of shape {tuple(table.shape)}: a contiguous leaf [rows, 2] that requires a gradient is needed")
        if table.dtype != torch.float32:
            raise BadInput(f"a table of {table.dtype}: float32 is needed")
        self.table = table
        table.grad = torch.zeros_like(table)
        self.first_moment, self.second_moment = torch.zeros_like(table.grad), torch.zeros_like(table.grad)
        self.n_steps = 0
        self.average: Tensor | None = None
        """Exponential moving average of the table, from the first `update_average` on."""

    @property
    def grad(self) -> Float[Tensor, "rows 2"]:
        if self.table.grad is None:
            raise BadInput("table.grad is None: clear a GridTable's gradient with adam_step or grad.zero_(), not by zero_grad")
        return self.table.grad

    @torch.no_grad()
    def adam_step(self, lr: float, betas: tuple[float, float] = (0.9, 0.99), eps: float = 1e-15) -> None:
        """Move the rows that have a gradient and clear it."""
        self.n_steps += 1
        self._move(lr, betas, eps)

    def _move(self, lr: float, betas: tuple[float, float], eps: float) -> None:
        grad, (b1, b2) = self.grad, betas
        touched = (grad != 0.0).any(1, keepdim=True)
        self.first_moment = torch.where(touched, b1 * self.first_moment + (1.0 - b1) * grad, self.first_moment)
        self.second_moment = torch.where(touched, b2 * self.second_moment + (1.0 - b2) * grad * grad, self.second_moment)
        spread = (self.second_moment / (1.0 - b2**self.n_steps)).sqrt() + eps
        self.table.sub_(touched * (lr / (1.0 - b1**self.n_steps)) * self.first_moment / spread)
        grad.zero_()

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """average = decay * average + (1 - decay) * table, over all rows."""
        if self.average is None:
            self.average = self.table.detach().clone()
        self._move_average(self.average, decay)

    def _move_average(self, average: Tensor, decay: float) -> None:
        average.lerp_(self.table, 1.0 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"first": self.first_moment, "second": self.second_moment, "n_steps": self.n_steps, "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, whatever device it was taken on."""
        self.first_moment.copy_(state["first"])
        self.second_moment.copy_(state["second"])
        self.n_steps = state["n_steps"]
        self.average = None if state["average"] is None else state["average"].to(self.table.device, copy=True)
