"""Has a performance say texts: queued, one sentence after another, until somebody interrupts."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from renderer.errors import VisavisError
from server.messages import Error, Speech
from server.text_to_speech import SpeechFailed, TextToSpeech, sentences

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.messages import ServerMessage
    from server.speech_queue import SpeechQueue

logger = logging.getLogger(__name__)

MAX_WAITING_TEXTS = 32


class TooMuchToSay(VisavisError):
    """Texts wait already."""


class Narrator:
    """One performance's. At most `MAX_WAITING_TEXTS` wait; one more is refused."""

    def __init__(self, engine: TextToSpeech, queue: SpeechQueue, notify: Callable[[ServerMessage], None]) -> None:
        self._engine, self._queue, self._notify = engine, queue, notify
        self._texts: deque[str] = deque()
        self._task: asyncio.Task[None] | None = None

    def say(self, text: str) -> None:
        """Returns at once; the text is spoken after those before it. Raises TooMuchToSay, SpeechFailed (no engine)."""
        if len(self._texts) >= MAX_WAITING_TEXTS:
            raise TooMuchToSay(f"{MAX_WAITING_TEXTS} texts wait to be spoken; send this one later, or stop first")
        if self._engine.missing is not None:
            raise SpeechFailed(self._engine.missing)
        self._texts.append(text)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._speak())
        else:
            self._report(is_speaking=True)

    def stop(self) -> None:
        """Silence at once, and none of what waits."""
        was_speaking = bool(self._texts) or self._queue.waiting_s > 0 or (self._task is not None and not self._task.done())
        self._texts.clear()
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if was_speaking:
            self._report(is_speaking=False)

    async def aclose(self) -> None:
        task = self._task
        self._texts.clear()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _speak(self) -> None:
        try:
            while self._texts:
                while self._texts:
                    text = self._texts.popleft()
                    self._report(is_speaking=True)
                    for sentence in sentences(text):
                        await self._queue.push(await self._engine.speak(sentence))
                await self._queue.is_empty.wait()
        except SpeechFailed as error:
            self._texts.clear()
            self._notify(Error(code="speech_failed", message=str(error)))
        self._report(is_speaking=False)

    def _report(self, is_speaking: bool) -> None:
        self._notify(Speech(speaking=is_speaking, waiting=len(self._texts)))
