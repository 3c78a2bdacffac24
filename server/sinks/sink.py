"""The interface that every way out has, and the bounded queue that most of them begin with."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from server.media import TimedPicture

if TYPE_CHECKING:
    from server.media import Media, VoicePacket


class Sink(Protocol):
    """One way out of a performance. It owns its queue and whatever works on it; a performance owns its sinks."""

    def put(self, media: Media) -> None:
        """Take a picture or a voice packet. Called in the event loop at the time of sending, in order; returns at once, whatever happens
        behind it: what does not fit is left out here. Whoever raises is taken off the performance."""
        ...

    async def aclose(self) -> None:
        """End and free everything; may be called twice."""
        ...


class MediaQueue:
    """Pictures and voice packets on their way to somebody who may be slow.

    Bounded by kind: of pictures the oldest is left out for a new one, and so it is with packets. Both keep their order among each other.
    """

    def __init__(self, max_pictures: int, max_packets: int) -> None:
        self._max_pictures, self._max_packets = max_pictures, max_packets
        self._waiting: deque[Media] = deque()
        self._n_pictures = 0
        self._arrived = asyncio.Event()
        self._is_closed = False
        self.dropped_pictures = 0
        self.dropped_packets = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, media: Media) -> None:
        if self._is_closed:
            return
        if isinstance(media, TimedPicture):
            if self._n_pictures >= self._max_pictures:
                self._drop_oldest(pictures=True)
                self.dropped_pictures += 1
            self._n_pictures += 1
        elif len(self._waiting) - self._n_pictures >= self._max_packets:
            self._drop_oldest(pictures=False)
            self.dropped_packets += 1
        self._waiting.append(media)
        self._arrived.set()

    async def get(self) -> Media | None:
        """The next; None when the queue is closed and empty."""
        while not self._waiting:
            if self._is_closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        media = self._waiting.popleft()
        self._n_pictures -= isinstance(media, TimedPicture)
        return media

    def close(self) -> None:
        """Nothing more is taken; what waits still is there to be got."""
        self._is_closed = True
        self._arrived.set()

    def _drop_oldest(self, pictures: bool) -> None:
        index = next(i for i, media in enumerate(self._waiting) if isinstance(media, TimedPicture) is pictures)
        del self._waiting[index]
        self._n_pictures -= pictures


class PictureSlot:
    """A queue of one: the newest picture, for somebody who shows pictures now or not at all."""

    def __init__(self) -> None:
        self._picture: TimedPicture | None = None
        self._arrived = asyncio.Event()

    def put(self, picture: TimedPicture) -> None:
        self._picture = picture
        self._arrived.set()

    async def get(self) -> TimedPicture:
        while self._picture is None:
            self._arrived.clear()
            await self._arrived.wait()
        picture, self._picture = self._picture, None
        return picture


class VoiceQueue:
    """Voice packets in order; beyond `max_packets` the oldest is left out."""

    def __init__(self, max_packets: int) -> None:
        self._waiting: deque[VoicePacket] = deque(maxlen=max_packets)
        self._arrived = asyncio.Event()

    def put(self, packet: VoicePacket) -> None:
        self._waiting.append(packet)
        self._arrived.set()

    async def get(self) -> VoicePacket:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()
