"""What every way of running a field offers, and how one is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from renderer.errors import BackendUnavailable, BadInput
from renderer.refiner.window import SCOPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from jaxtyping import Float, UInt8

    from renderer.avatar import Avatar
    from renderer.types import FrameCondition

BACKENDS = ("cpu", "torch")
MIN_SIZE_PX, MAX_SIZE_PX = 64, 1024


@dataclass(frozen=True)
class RenderOptions:
    """How to run a field; nothing here but `refine_scope` changes what is shown beyond rounding."""

    size: int
    """Height of the picture in pixels, a multiple of 16 in 64...1024; the width follows the avatar's camera."""
    threads: int = 1
    isa: str = "auto"
    """cpu backend: "auto" or an instruction set by name (`available_isas()`)."""
    refine_scope: str = "auto"
    """What a refiner works on: "picture", "face", "mouth" (see `renderer.refiner.window`), or "auto": what the backend has time for."""

    def __post_init__(self) -> None:
        if not MIN_SIZE_PX <= self.size <= MAX_SIZE_PX or self.size % 16:
            raise BadInput(f"size {self.size}: a multiple of 16 from {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels is possible")
        if not 1 <= self.threads <= 64:
            raise BadInput(f"threads {self.threads}: 1 to 64 are possible")
        if self.refine_scope not in ("auto", *SCOPES):
            raise BadInput(f"refine scope {self.refine_scope!r}: one of auto, {', '.join(SCOPES)} is possible")


class Backend(Protocol):
    """A loaded field. Frames are pure functions of their conditions: no state is kept between calls."""

    name: str
    """"cpu" or "torch"."""
    isa: str
    """Instruction set or device in use."""

    def render(self, conditions: Sequence[FrameCondition]) -> UInt8[np.ndarray, "n height width 3"]:
        """Pictures of the given frames, sRGB."""
        ...

    def render_float(self, condition: FrameCondition) -> Float[np.ndarray, "height width 3"]:
        """One picture before rounding, for comparing backends."""
        ...

    def stage_ms(self) -> dict[str, float]:
        """Mean time a frame of each stage since the last call, in ms; empty where it is not measured."""
        ...

    def close(self) -> None: ...


def open_backend(avatar: Avatar, options: RenderOptions, backend: str = "auto") -> Backend:
    """Load `avatar` into a backend. "auto": cpu, else torch with a warning; a backend asked for by name fails loudly."""
    if backend not in ("auto", *BACKENDS):
        raise BadInput(f"backend {backend!r}: one of auto, {', '.join(BACKENDS)} is possible")
    if backend in ("auto", "cpu"):
        from renderer.backends.cpu import CpuBackend

        try:
            return CpuBackend(avatar, options)
        except BackendUnavailable as error:
            if backend == "cpu" or options.isa != "auto":  # an instruction set belongs to the cpu backend: asked for by name
                raise
            return _torch_instead(avatar, options, error)
    from renderer.backends.torch_backend import TorchBackend

    return TorchBackend(avatar, options)


def _torch_instead(avatar: Avatar, options: RenderOptions, reason: BackendUnavailable) -> Backend:
    import logging

    from renderer.backends.torch_backend import TorchBackend

    try:
        backend = TorchBackend(avatar, options)
    except BackendUnavailable as error:
        raise BackendUnavailable(f"no field backend can run: {reason}, or `pip install torch`") from error
    logging.getLogger(__name__).warning("falling back to the slow torch backend: %s", reason)
    return backend
