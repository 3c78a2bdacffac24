"""Tells every page that is open when something on the shelf changes: avatars that come and go, edits that get on.

A listener is told that there is news, not what: it then looks at how things stand. So nothing is queued, and a slow page gets less often
what a quick one gets at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.avatar_library import AvatarLibrary

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the folder is looked at: avatars are put there by other programs too, and no way of being told works everywhere."""
MAX_LISTENERS = 64


class TooManyListeners(Exception):
    """No more pages can be told."""


class Listener:
    """One page's ear."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.is_closed = False

    def tell(self) -> None:
        self._event.set()

    async def news(self) -> None:
        """Returns when something has changed since the last call, or when the feed is closed."""
        await self._event.wait()
        self._event.clear()


class ShelfFeed:
    """Watches the folder and passes on what `announce` is called for."""

    def __init__(self, library: AvatarLibrary) -> None:
        self._library = library
        self._listeners: set[Listener] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._is_closed = False

    def start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Stop watching; every listener is told and finds itself closed."""
        self.close_listeners()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)

    def close_listeners(self) -> None:
        """A stream that never ends would hold up the server's end."""
        self._is_closed = True
        for listener in self._listeners:
            listener.is_closed = True
        self.announce()

    def announce(self) -> None:
        """Something has changed."""
        for listener in self._listeners:
            listener.tell()

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """Raises TooManyListeners."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise TooManyListeners
        listener = Listener()
        listener.is_closed = self._is_closed
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def _watch(self) -> None:
        known = await asyncio.to_thread(self._library.files)
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                files = await asyncio.to_thread(self._library.files)
            except OSError:
                logger.exception("the shelf cannot be looked at")
                continue
            if files != known:
                known = files
                self.announce()
