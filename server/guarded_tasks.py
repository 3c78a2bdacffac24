"""Tasks that belong to one owner: none is lost, none fails unheard, and all end with it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

logger = logging.getLogger(__name__)


class GuardedTasks:
    """The tasks of a session, a connection, …"""

    def __init__(self, owner: str, on_fault: Callable[[str], None]) -> None:
        """`on_fault` is told in words when one fails: the owner is to end."""
        self._owner, self._on_fault = owner, on_fault
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        # The loop itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel(self) -> None:
        """End all and wait until they have ended."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("%s failed", self._owner)
            self._on_fault(f"the session failed: {type(error).__name__}")
