"""What an image editor is: frames and an instruction in, edited frames out.

`frames` are what is edited: pictures of the avatar as it renders now. `condition` are the original pictures of the same frames, the extra
image condition of InstructPix2Pix as Instruct-NeRF2NeRF uses it; None leaves it out, as Instruct-NeuralTalker does ("Progressive Dataset
Update"): the frames themselves are then the image condition. All pictures are RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import UInt8

    from editing.image_editors.guide import Guide

Progress: TypeAlias = Callable[[int], None]
"""Called with the number of frames that are done, between frames or batches. An exception that it raises stops the edit and reaches the
caller; the editor can be used again."""


@dataclass(frozen=True)
class EditSettings:
    """One edit. The paper's names and values: Instruct-NeuralTalker, equation 3 and supplement."""

    instruction: str
    """in plain English"""
    text_guidance: float = 6.0
    """s_T: how strongly the instruction is followed; the paper ramps it from 3 to 6"""
    image_guidance: float = 1.5
    """s_I, at least 1: how strongly the result keeps to the image condition; 1.5 in the paper"""
    steps: int = 20
    """t: steps of the reverse diffusion; the paper ramps them from 10 to 20"""
    seed: int = 0
    """of everything random; each frame has its own numbers, made of this and its index"""
    strength: float = 1.0
    """above 0, to 1. ip2p: the noise level that the reverse diffusion starts from; 1 is the highest. builtin: scales the effect"""

    def __post_init__(self) -> None:
        if not self.instruction.strip():
            raise BadInput("the instruction is empty; say what to change, such as “make him look like a bronze statue”")
        if not 0.0 < self.text_guidance <= 30.0:
            raise BadInput(f"text guidance {self.text_guidance:g}: above 0, to 30, is possible")
        if not 1.0 <= self.image_guidance <= 10.0:
            raise BadInput(f"image guidance {self.image_guidance:g}: 1 to 10 is possible")
        if not 1 <= self.steps <= 1000:
            raise BadInput(f"{self.steps} steps: 1 to 1000 are possible")
        if not 0 <= self.seed < 2**63:
            raise BadInput(f"seed {self.seed}: 0 to 2^63 - 1 is possible")
        if not 0.0 < self.strength <= 1.0:
            raise BadInput(f"strength {self.strength:g}: above 0, to 1, is possible")


class ImageEditor(Protocol):
    """Edits pictures by an instruction. The result of a frame depends on the frame and its index, not on what it is edited with."""

    name: str
    """for the lineage of an edited avatar"""

    def check(self, instruction: str) -> None:
        """Raise BadInput if the instruction cannot be followed; costs nothing."""
        ...

    def edit(
        self,
        frames: UInt8[np.ndarray, "n h w 3"],
        condition: UInt8[np.ndarray, "n h w 3"] | None,
        settings: EditSettings,
        *,
        indices: Sequence[int] | None = None,
        guide: Guide | None = None,
        progress: Progress | None = None,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """The edited frames. `indices` number the frames in their clip (default 0, 1, …); `guide` is what is known of them."""
        ...


def check_pictures(
    frames: UInt8[np.ndarray, "n h w 3"], condition: UInt8[np.ndarray, "n h w 3"] | None, indices: Sequence[int] | None
) -> list[int]:
    """The frames' indices; BadInput where the shapes do not fit."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise BadInput(f"frames are {frames.dtype} {frames.shape}, wanted uint8 [n, height, width, 3]")
    if condition is not None and (condition.dtype != np.uint8 or condition.shape != frames.shape):
        raise BadInput(f"condition is {condition.dtype} {condition.shape}, wanted uint8 {frames.shape} like the frames")
    numbers = list(range(len(frames))) if indices is None else [int(index) for index in indices]
    if len(numbers) != len(frames) or any(number < 0 for number in numbers):
        raise BadInput(f"{len(numbers)} indices for {len(frames)} frames; one for each, from 0 on, is wanted")
    return numbers
