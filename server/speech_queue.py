"""Sound that waits to be spoken in the microphone's place: of text that was turned into speech, or of a program. 48 kHz, int16, mono.

The performance's own clock pulls it: while anything is here, it takes the place of whatever the microphone says, sample by sample, so
what is pushed faster than it can be spoken waits, and nothing else has to keep time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from server.microphone import SoundBlock
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int16

MAX_WAITING_S = 60.0
"""Sound that may wait; `push` returns when less does."""


class SpeechQueue:
    """Bounded by `MAX_WAITING_S`: whoever pushes more waits until there is room."""

    def __init__(self) -> None:
        self._waiting: deque[Int16[np.ndarray, " n"]] = deque()
        self._samples = 0
        self._epoch = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.is_empty = asyncio.Event()
        """All was spoken, or cleared."""
        self.is_empty.set()

    @property
    def waiting_s(self) -> float:
        """Sound that was not spoken yet."""
        return self._samples / VOICE_RATE_HZ

    async def push(self, samples: Int16[np.ndarray, " n"]) -> bool:
        """Add to the end; False if it was cleared while this waited for room, and then nothing is added."""
        epoch = self._epoch
        await self._has_room.wait()
        if epoch != self._epoch:
            return False
        if len(samples):
            self._waiting.append(samples)
            self._samples += len(samples)
            self.is_empty.clear()
        if self.waiting_s >= MAX_WAITING_S:
            self._has_room.clear()
        return True

    def clear(self) -> None:
        """Say none of it: the interruption."""
        self._waiting.clear()
        self._samples = 0
        self._epoch += 1
        self._has_room.set()
        self.is_empty.set()

    def spoken(self, block: SoundBlock) -> SoundBlock:
        """The block with what waits in place of its own sound."""
        if not self._samples or block.is_late:
            return block
        samples, done = block.samples.copy(), 0
        while done < len(samples) and self._waiting:
            head = self._waiting.popleft()
            n = min(len(head), len(samples) - done)
            samples[done : done + n] = head[:n]
            if n < len(head):
                self._waiting.appendleft(head[n:])
            done += n
        self._samples -= done
        if self.waiting_s < MAX_WAITING_S:
            self._has_room.set()
        if not self._samples:
            self.is_empty.set()
        return SoundBlock(block.first_sample, samples)
