"""Ctrl-C between steps, never within one: what a checkpoint holds is then a state that the uninterrupted run passes through."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType


class InterruptBetweenSteps:
    """While entered, an interrupt waits for the next `check`; a second one does not wait.

    Where Python's own handler is not in place (another thread, an embedding program), nothing is changed.
    """

    def __init__(self) -> None:
        self._asked = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    @property
    def asked(self) -> bool:
        """Whether the next `check` raises."""
        return self._asked

    def check(self) -> None:
        """Raise the KeyboardInterrupt that was asked for."""
        if self._asked:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            signal.default_int_handler(number, frame)
        self._asked = True
