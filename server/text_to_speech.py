"""Text to sound through whatever engine is installed: a command that reads text and writes a sound file.

The command is a template, cut into words as a shell does and never given to one. The text comes on its standard input, or in place of
`{text}`; the sound is what it writes to its standard output, or to the file named by `{file}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BadInput, VisavisError
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Int16

DEFAULT_COMMAND = "espeak-ng --stdin --stdout"
TIMEOUT_S = 60.0
MAX_SOUND_BYTES = 64 << 20
MAX_SENTENCE = 400
"""Characters; a longer one is cut between two words."""
_SENTENCE_END = re.compile(r"(?<=[.!?…:;。！？])\s+|\n+")


class SpeechFailed(VisavisError):
    """The engine gave no sound; the text says why."""


class TextToSpeech:
    """One engine."""

    def __init__(self, command: str = DEFAULT_COMMAND) -> None:
        """Raises BadInput where the template has no words in it."""
        self._command = check_command(command)

    @property
    def missing(self) -> str | None:
        """What is to be done before it can speak, or None."""
        program = self._command[0]
        if shutil.which(program) is not None:
            return None
        how = "Debian: apt-get install espeak-ng" if program == "espeak-ng" else "see --speech-command"
        return f"the text-to-speech program {program!r} is not installed ({how})"

    async def speak(self, text: str) -> Int16[np.ndarray, " n"]:
        """One sentence as sound, 48 kHz mono. Raises SpeechFailed. Cancelled, it ends the engine."""
        if self.missing is not None:
            raise SpeechFailed(self.missing)
        with tempfile.TemporaryDirectory(prefix="visavis-") as folder:
            file = Path(folder) / "speech.wav"
            words = [word.replace("{file}", str(file)).replace("{text}", _harmless(text)) for word in self._command]
            sound = await self._run(words, None if any("{text}" in word for word in self._command) else text)
            if any("{file}" in word for word in self._command):
                sound = await asyncio.to_thread(file.read_bytes) if file.is_file() else b""
        if not sound:
            raise SpeechFailed(f"{self._command[0]} gave no sound")
        return await asyncio.to_thread(_decode, sound, self._command[0])

    async def _run(self, words: list[str], text: str | None) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=MAX_SOUND_BYTES,
            )
        except OSError as error:
            raise SpeechFailed(f"{words[0]} cannot be started: {error.strerror}") from error
        try:
            sound, complaint = await asyncio.wait_for(process.communicate((text or "").encode()), TIMEOUT_S)
        except asyncio.TimeoutError:
            raise SpeechFailed(f"{words[0]} took longer than {TIMEOUT_S:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            raise SpeechFailed(f"{words[0]} failed: {last[0]}")
        return sound


def check_command(command: str) -> tuple[str, ...]:
    """The words of a template. Raises BadInput."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise BadInput(f"speech_command {command!r}: {error}") from error
    if not words:
        raise BadInput(f"speech_command {command!r}: a program and its arguments were expected, for example {DEFAULT_COMMAND!r}")
    return words


def sentences(text: str) -> list[str]:
    """Pieces that are spoken one after another: the first is heard soon, and an interruption comes between two at the latest."""
    found = []
    for sentence in _SENTENCE_END.split(text):
        words, piece = sentence.split(), ""
        for word in words:
            if piece and len(piece) + 1 + len(word) > MAX_SENTENCE:
                found.append(piece)
                piece = ""
            piece = f"{piece} {word[:MAX_SENTENCE]}" if piece else word[:MAX_SENTENCE]
        if piece:
            found.append(piece)
    return found


def _harmless(text: str) -> str:
    """An argument that no program takes for an option."""
    return text.lstrip("-– ") or " "


def _decode(sound: bytes, program: str) -> Int16[np.ndarray, " n"]:
    import av
    import av.error

    try:
        with av.open(io.BytesIO(sound), "r") as container:
            resampler = av.AudioResampler("s16", "mono", VOICE_RATE_HZ)
            parts = [piece.to_ndarray()[0] for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
            parts += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    except (av.error.FFmpegError, IndexError) as error:
        raise SpeechFailed(f"{program} did not write a sound file") from error
    samples: Int16[np.ndarray, " n"] = np.concatenate(parts).astype(np.int16) if parts else np.zeros(0, np.int16)
    return samples
