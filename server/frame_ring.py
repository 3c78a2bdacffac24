"""Pictures on their way from the render worker to the media process: planes of I420 in memory that both processes map.

The memory is an anonymous file that has no name anywhere, so nothing is left behind however the processes end; the worker inherits its
descriptor. It is divided into regions, one a session, of a few slots each; frame k lies in slot k modulo the number of slots, so a
picture is overwritten only when it is `slots` frames old. A slot begins with the index of its frame, which is what makes an overwritten
or half-written picture visible to the reader. Memory is committed by the system when a page is first written.

I420: a full-size Y plane, then U and V planes of half the width and height, rows without padding. Width and height are even.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import UInt8

SLOTS = 8
"""320 ms at 25 frames a second: more than the worker ever renders ahead."""
SLOT_HEADER_BYTES = 64
PAGE_BYTES = 4096
EMPTY = -1


def i420_bytes(width: int, height: int) -> int:
    return width * height * 3 // 2


@dataclass(frozen=True)
class RingLayout:
    """How the memory is divided; both processes compute it from these two numbers."""

    regions: int
    max_pixels: int
    """Largest picture that fits a slot, in pixels."""

    @property
    def slot_bytes(self) -> int:
        return -(-(SLOT_HEADER_BYTES + self.max_pixels * 3 // 2) // PAGE_BYTES) * PAGE_BYTES

    @property
    def total_bytes(self) -> int:
        return self.regions * SLOTS * self.slot_bytes


class FrameRing:
    """One end of the ring: the media process creates it, the worker attaches to its descriptor."""

    def __init__(self, descriptor: int, layout: RingLayout) -> None:
        """Takes over `descriptor`."""
        self.descriptor, self.layout = descriptor, layout
        if os.fstat(descriptor).st_size < layout.total_bytes:
            raise ValueError(f"the shared memory has {os.fstat(descriptor).st_size} bytes; {layout.total_bytes} were expected")
        self._map = mmap.mmap(descriptor, layout.total_bytes)
        self._bytes = np.frombuffer(self._map, np.uint8)

    @classmethod
    def create(cls, layout: RingLayout) -> FrameRing:
        descriptor = _anonymous_file()
        os.ftruncate(descriptor, layout.total_bytes)
        return cls(descriptor, layout)

    def slot_for_writing(self, region: int, width: int, height: int, frame: int) -> UInt8[np.ndarray, " n"]:
        """The memory for the planes of `frame`; call `publish` when they are complete."""
        if width % 2 or height % 2 or width * height > self.layout.max_pixels:
            raise ValueError(f"a picture of {width}x{height}: even sides and at most {self.layout.max_pixels} pixels fit a slot")
        start = self._slot(region, frame)
        self._index(start)[0] = EMPTY
        first = start + SLOT_HEADER_BYTES
        return self._bytes[first : first + i420_bytes(width, height)]

    def publish(self, region: int, frame: int) -> None:
        # Slots begin as zero bytes, so frame k is stored as k + 1.
        self._index(self._slot(region, frame))[0] = frame + 1

    def read(self, region: int, frame: int, width: int, height: int) -> UInt8[np.ndarray, " n"] | None:
        """A copy of the planes of `frame`, or None if it was overwritten."""
        start = self._slot(region, frame)
        first = start + SLOT_HEADER_BYTES
        if self._index(start)[0] != frame + 1:
            return None
        planes = self._bytes[first : first + i420_bytes(width, height)].copy()
        return planes if self._index(start)[0] == frame + 1 else None

    def clear(self, region: int) -> None:
        """Make the pictures of a former session unreadable."""
        for frame in range(SLOTS):
            self._index(self._slot(region, frame))[0] = EMPTY

    def close(self) -> None:
        self._bytes = np.zeros(0, np.uint8)
        self._map.close()
        os.close(self.descriptor)

    def _slot(self, region: int, frame: int) -> int:
        if not 0 <= region < self.layout.regions or frame < 0:
            raise IndexError(f"region {region} of {self.layout.regions}, frame {frame}")
        return (region * SLOTS + frame % SLOTS) * self.layout.slot_bytes

    def _index(self, start: int) -> np.ndarray:
        return self._bytes[start : start + 8].view(np.int64)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("visavis-frames", os.MFD_CLOEXEC)
    # Systems without memfd (macOS): a temporary file that has lost its name.
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
