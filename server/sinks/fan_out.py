"""One performance's sinks: everything that leaves is handed to each of them, once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.media import Media
    from server.sinks.sink import Sink

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 10.0


class FanOut:
    """Sinks may come and go at any time. It queues nothing: that is each sink's own matter."""

    def __init__(self) -> None:
        self._sinks: list[Sink] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._sinks)

    def __contains__(self, sink: Sink) -> bool:
        return sink in self._sinks

    def add(self, sink: Sink) -> None:
        """From the next picture on. Raises RuntimeError where everything has ended already."""
        if self._is_closed:
            raise RuntimeError("the performance has ended")
        self._sinks.append(sink)

    def remove(self, sink: Sink) -> None:
        """Hand it nothing more and close it; nothing happens where it is not among them."""
        if sink not in self._sinks:
            return
        self._sinks.remove(sink)
        task = asyncio.create_task(_close(sink))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def put(self, media: Media) -> None:
        for sink in list(self._sinks):
            try:
                sink.put(media)
            except Exception:
                # One sink's fault is no other's.
                logger.exception("%s failed and is left out from now on", type(sink).__name__)
                self.remove(sink)

    async def aclose(self) -> None:
        """Close all; may be called twice."""
        self._is_closed = True
        for sink in list(self._sinks):
            self.remove(sink)
        await asyncio.gather(*self._closing, return_exceptions=True)


async def _close(sink: Sink) -> None:
    try:
        await asyncio.wait_for(sink.aclose(), CLOSE_TIMEOUT_S)
    except asyncio.TimeoutError:
        logger.warning("%s did not close within %g s", type(sink).__name__, CLOSE_TIMEOUT_S)
    except Exception:
        logger.exception("%s did not close cleanly", type(sink).__name__)
