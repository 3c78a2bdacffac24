"""Head poses learned together with the field: a capture's are off by about a pixel and a degree, which blurs what is trained with them.

Frame k's pose is R = exp(w_k) R_k, t = t_k + d_k around the dataset's (R_k, t_k); (w_k, d_k) is its row of `updates`: radians and
head units, camera axes. The gradient reaches it through the samples' positions alone: distances along rays do not move with
a pose, and what the view direction adds is small and neglected, though the direction itself follows the pose.

The field could turn as a whole with all poses and look the same. This gauge is fixed by the clip: no update, seen from the head, has a
mean over the frames, so the trained head stands where the dataset says, in its box and regions, on average.

There is no prior on time: a capture's error is as rough from frame to frame as its landmarks, so its correction has to be as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from editing.train.config import ADAM_BETAS, ADAM_EPSILON

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from jaxtyping import Float, Int
    from torch import Tensor

    from editing.dataset import Dataset

NEIGHBOUR_FRAMES = 5.0
"""Over which the correlation of two frames' updates falls to 1 / e (measured: .75 to .9 between neighbours, none beyond 10)."""
NEIGHBOUR_REACH = 20
"""Frames beyond which an update says nothing of another."""
UPDATE_NOISE = 0.02
"""Share of an update's variance that is its own frame's alone."""
REGRESSION_RIDGE = 30.0
"""Frames' worth of doubt that an update depends on the pose at all."""


class PoseRefinement:
    """Updates of all poses of a clip, and their optimiser."""

    def __init__(
        self,
        captured: Float[np.ndarray, "n_frames 4 4"],
        prior_weight: float,
        trained: Int[np.ndarray, " n"] | None = None,
        keep_mean: bool = False,
    ) -> None:
        """`trained` are the frames that steps may ask for (default: all); the others' poses are the capture's until they are `settled`.

        `keep_mean`: the field is held, so it fixes the gauge itself.
        """
        self.trained = torch.arange(len(captured)) if trained is None else torch.from_numpy(trained)
        self.captured = torch.from_numpy(captured.copy()).float()
        self.prior_weight, self.keep_mean = prior_weight, keep_mean
        self.updates = torch.zeros(len(captured), 6, requires_grad=True)
        # Not lazy: a frame comes up a few dozen times in a training, and the momentum left behind carries its step on in between.
        self.optimiser = torch.optim.Adam([self.updates], betas=ADAM_BETAS, eps=ADAM_EPSILON)

    def poses(self, frames: Int[np.ndarray, " n"] | Tensor | Sequence[int] | None = None) -> Float[Tensor, "n 4 4"]:
        """camera_from_head of these frames (default: all), differentiable in `updates`."""
        chosen = slice(None) if frames is None else torch.as_tensor(frames)
        return self._moved(self.captured[chosen], self.updates[chosen])

    @staticmethod
    def _moved(captured: Float[Tensor, "n 4 4"], update: Float[Tensor, "n 6"]) -> Float[Tensor, "n 4 4"]:
        rotation = torch.matrix_exp(_skew(update[:, :3])) @ captured[:, :3, :3]
        translation = captured[:, :3, 3] + update[:, 3:]
        top = torch.cat([rotation, translation[..., None]], dim=2)
        return torch.cat([top, captured[:, 3:]], dim=1)

    @torch.no_grad()
    def settled(self) -> Float[Tensor, "n_frames 4 4"]:
        """All poses in the end: where no picture was asked, with the update that the others let expect.

        A capture's error depends on the pose (its rigid head is never quite the right one) and changes slowly: a ridge regression on the
        captured pose's numbers, their squares and products, and on what that leaves a Gaussian process in time, which between two trained
        frames is nearly their mean.
        """
        captured = self.captured.double()
        pose = torch.cat([_rotation_vectors(captured[:, :3, :3]), captured[:, :3, 3]], dim=1)
        updates = self.updates[self.trained].double()
        pose = (pose - pose[self.trained].mean(0)) / pose[self.trained].std(0, correction=0).clamp_min(1e-6)
        i, j = torch.triu_indices(6, 6)
        features = torch.cat([torch.ones(len(pose), 1, dtype=torch.float64), pose, pose[:, i] * pose[:, j]], dim=1)
        x = features[self.trained]
        ridge = REGRESSION_RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
        ridge[0, 0] = 0.0
        expected = features @ torch.linalg.solve(x.T @ x + ridge, x.T @ updates)
        rest = updates - expected[self.trained]
        asked = torch.zeros(len(captured), dtype=torch.bool)
        asked[self.trained] = True
        for frame in torch.nonzero(~asked)[:, 0]:
            near = torch.nonzero((self.trained - frame).abs() <= NEIGHBOUR_REACH)[:, 0]
            if len(near):
                at = self.trained[near].double()
                covariance = torch.exp(-(at[:, None] - at[None]).abs() / NEIGHBOUR_FRAMES)
                covariance += UPDATE_NOISE * torch.eye(len(near), dtype=torch.float64)
                weights = torch.linalg.solve(covariance, torch.exp(-(at - frame).abs() / NEIGHBOUR_FRAMES))
                expected[frame] += weights @ rest[near]
        expected[self.trained] = updates
        return self._moved(self.captured, expected.float())

    def prior(self, frames: Int[np.ndarray, " n"]) -> Float[Tensor, ""]:
        """The squared updates' weighted mean: where the pictures say nothing, a pose stays the capture's."""
        return self.prior_weight * (self.updates[torch.as_tensor(frames)] ** 2).mean()

    def step(self, rate: float) -> None:
        """Move along the gradient, clear it, and remove the mean unless it is to be kept."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if not self.keep_mean:
            self._fix_gauge()

    @torch.no_grad()
    def _fix_gauge(self) -> None:
        """A motion of the head's own frame is one constant update seen from the head, to first order: the mean over frames."""
        rotation = self.poses(self.trained)[:, :3, :3]
        for part in (slice(0, 3), slice(3, 6)):
            updates = self.updates[self.trained, part]
            common = (rotation.transpose(1, 2) @ updates[..., None]).mean(0)
            self.updates[self.trained, part] = updates - (rotation @ common)[..., 0]

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"adam/{name}": value for name, value in self.optimiser.state.get(self.updates, {}).items()}
        return {"updates": self.updates.detach(), **state}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.updates.copy_(state["updates"])
        self.optimiser.state.clear()
        saved = {name.removeprefix("adam/"): value.clone() for name, value in state.items() if name.startswith("adam/")}
        if saved:
            self.optimiser.state[self.updates] = saved


def follow_pose(positions: Float[Tensor, "n 3"], ends: Sequence[int], poses: Float[Tensor, "n_frames 4 4"]) -> Float[Tensor, "n 3"]:
    """Head-frame `positions`, those up to `ends[k]` of frame k, as functions of the poses: each is fixed to its place before the camera.

    x = R^T (p - t) for p in the camera's frame, so the gradient of a pose is a product of its frame's samples, not a scattered sum.
    """
    parts, begin = [], 0
    for pose, end in zip(poses, ends, strict=True):
        rotation, translation = pose[:3, :3], pose[:3, 3]
        p = positions[begin:end] @ rotation.detach().t() + translation.detach()
        parts.append((p - translation) @ rotation)
        begin = end
    return torch.cat(parts)


def poses_are_estimated(dataset: Dataset) -> bool:
    """Whether refinement is worth while: `synthesize` writes the true poses, and with them, alone, the articulation."""
    return dataset.track.articulation is None


def _rotation_vectors(rotations: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3"]:
    """Of rotations as seen from the first one, in radians, so that those of one clip lie far from a half turn."""
    from scipy.spatial.transform import Rotation

    return torch.from_numpy(Rotation.from_matrix((rotations[:1].transpose(1, 2) @ rotations).numpy()).as_rotvec())


def _skew(w: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """The matrix K with K v = w x v."""
    zero = torch.zeros_like(w[:, 0])
    x, y, z = w.unbind(1)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
