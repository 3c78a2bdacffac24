"""A render worker without a process: every frame whose sound is there is a picture of one shade of grey, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.frame_ring import FrameRing, RingLayout
from server.worker_messages import FrameReady, Sound

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from server.render_process import FrameListener
    from server.worker_messages import OpenSession

SIZE_PX = 16
FRAME_SAMPLES = 1920


class PretendedRender:
    """What a performance needs of `RenderProcess`. Frame k is ready when the sound up to its end is heard, and its luma is k modulo 200."""

    def __init__(self, first_frame: int = 0) -> None:
        """`first_frame`: those before it are left out, as the worker does with what cannot be in time."""
        self.ring = FrameRing.create(RingLayout(1, SIZE_PX * SIZE_PX))
        self.sent: list[Any] = []
        self.heard_samples = 0
        self.released = False
        self._listener: FrameListener | None = None
        self._first_frame, self._next_frame = first_frame, 0

    def reserve(self) -> tuple[int, int]:
        return 1, 0

    async def open_session(self, opening: OpenSession, listener: FrameListener) -> None:
        self._listener = listener

    def release(self, session: int) -> None:
        self.released = True

    def send(self, message: Any) -> None:
        self.sent.append(message)
        if not isinstance(message, Sound):
            return
        self.heard_samples = message.first_sample + len(message.pcm) // 2
        while (self._next_frame + 1) * FRAME_SAMPLES <= self.heard_samples:
            if self._next_frame >= self._first_frame:
                self._render(self._next_frame)
            self._next_frame += 1

    def _render(self, frame: int) -> None:
        assert self._listener is not None
        self.ring.slot_for_writing(0, SIZE_PX, SIZE_PX, frame)[:] = self._planes(frame, SIZE_PX)
        self.ring.publish(0, frame)
        self._listener.frame_ready(FrameReady(1, frame, SIZE_PX, SIZE_PX, 1.0))

    def _planes(self, frame: int, size_px: int) -> UInt8[np.ndarray, " n"] | int:
        """I420, or one value for all of it."""
        return frame % 200

    def fail(self, message: str) -> None:
        assert self._listener is not None
        self._listener.render_failed(message)
