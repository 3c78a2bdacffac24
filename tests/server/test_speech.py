from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from renderer.errors import BadInput
from server.microphone import SoundBlock
from server.narrator import MAX_WAITING_TEXTS, Narrator, TooMuchToSay
from server.speech_queue import MAX_WAITING_S, SpeechQueue
from server.text_to_speech import MAX_SENTENCE, SpeechFailed, TextToSpeech, sentences

SECOND = np.full(48_000, 7, np.int16)


def block(first: int, length: int = 960, level: int = 1) -> SoundBlock:
    return SoundBlock(first, np.full(length, level, np.int16))


def script(tmp_path: Path, text: str) -> str:
    """A command that runs a piece of Python."""
    path = tmp_path / f"engine{len(list(tmp_path.iterdir()))}.py"
    path.write_text(text)
    return f"{sys.executable} {path}"


TONE = """
import io, sys, wave
text = sys.stdin.read()
out = io.BytesIO()
with wave.open(out, "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(24000)
    file.writeframes(b"\\x10\\x27" * (240 * len(text)))
sys.stdout.buffer.write(out.getvalue())
"""


async def test_speech_takes_the_microphones_place_until_it_is_over() -> None:
    queue = SpeechQueue()
    await queue.push(np.arange(100, 1600, dtype=np.int16))
    assert queue.spoken(block(0)).samples.tolist() == list(range(100, 1060))
    second = queue.spoken(block(960))
    assert second.first_sample == 960
    assert second.samples.tolist() == list(range(1060, 1600)) + [1] * 420
    third = block(1920)
    assert queue.spoken(third) is third and queue.is_empty.is_set()


async def test_speech_leaves_late_sound_alone_and_can_be_cleared() -> None:
    queue = SpeechQueue()
    await queue.push(SECOND)
    late = SoundBlock(0, np.ones(960, np.int16), is_late=True)
    assert queue.spoken(late) is late
    queue.clear()
    assert queue.waiting_s == 0 and queue.spoken(block(0)).samples[0] == 1


async def test_speech_is_bounded_and_an_interruption_frees_who_waits() -> None:
    queue = SpeechQueue()
    for _ in range(int(MAX_WAITING_S)):
        assert await queue.push(SECOND)
    waiting = asyncio.create_task(queue.push(SECOND))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    queue.spoken(block(0))
    assert await waiting
    waiting = asyncio.create_task(queue.push(SECOND))
    await asyncio.sleep(0.01)
    queue.clear()
    assert await waiting is False and queue.waiting_s == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there. How are you?\nFine!", ["Hello there.", "How are you?", "Fine!"]),
        ("version 1.2 is here", ["version 1.2 is here"]),
        (" \n ", []),
        ("你好。再见。", ["你好。再见。"]),
    ],
)
def test_sentences_are_spoken_one_by_one(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_sentences_have_a_longest_length() -> None:
    found = sentences("word " * 400 + "x" * 2000)
    assert all(len(sentence) <= MAX_SENTENCE for sentence in found)
    assert " ".join(found).startswith("word word") and len(found) >= 5


async def test_engine_reads_its_input_and_its_sound_is_resampled(tmp_path: Path) -> None:
    sound = await TextToSpeech(script(tmp_path, TONE)).speak("x" * 50)
    assert len(sound) == pytest.approx(50 * 480, abs=200)
    assert sound[5000] == pytest.approx(10_000, abs=100)


async def test_engine_gets_text_as_one_word_and_may_write_a_file(tmp_path: Path) -> None:
    engine = script(tmp_path, TONE.replace("sys.stdin.read()", "sys.argv[1]").replace("sys.stdout.buffer", "open(sys.argv[2], 'wb')"))
    sound = await TextToSpeech(f"{engine} {{text}} {{file}}").speak("--help; rm -rf /")
    assert len(sound) == pytest.approx(480 * len("help; rm -rf /"), abs=200)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit('no such voice')", "no such voice"),
        ("pass", "gave no sound"),
        ("print('hello')", "did not write a sound file"),
    ],
)
async def test_engine_that_fails_says_so_in_one_line(tmp_path: Path, code: str, words: str) -> None:
    with pytest.raises(SpeechFailed) as failed:
        await TextToSpeech(script(tmp_path, code)).speak("hello")
    assert words in str(failed.value) and "\n" not in str(failed.value)


async def test_engine_that_is_not_there(tmp_path: Path) -> None:
    engine = TextToSpeech("no-such-engine --fast")
    assert engine.missing is not None and "no-such-engine" in engine.missing
    with pytest.raises(BadInput, match="a program"):
        TextToSpeech("  ")
    with pytest.raises(BadInput, match="quotation"):
        TextToSpeech("espeak 'unclosed")


async def test_narrator_queues_and_is_interrupted_while_the_engine_works(tmp_path: Path) -> None:
    slow = script(tmp_path, "import time; time.sleep(600)")
    messages: list[Any] = []
    queue = SpeechQueue()
    narrator = Narrator(TextToSpeech(slow), queue, messages.append)
    narrator.say("first")
    narrator.say("second")
    deadline_s = time.monotonic() + 20
    while not (engines := [p for p in psutil.Process().children(recursive=True) if "engine0.py" in " ".join(p.cmdline())]):
        assert time.monotonic() < deadline_s, "the engine was not started"
        await asyncio.sleep(0.02)
    narrator.stop()
    assert messages[-1].speaking is False and messages[-1].waiting == 0
    await narrator.aclose()
    _, alive = await asyncio.to_thread(psutil.wait_procs, engines, 10)
    assert not alive, "the engine ends with the interruption"
    for _ in range(MAX_WAITING_TEXTS):
        narrator.say("again")
    with pytest.raises(TooMuchToSay, match=str(MAX_WAITING_TEXTS)):
        narrator.say("one too many")
    await narrator.aclose()


async def test_narrator_tells_what_went_wrong(tmp_path: Path) -> None:
    messages: list[Any] = []
    narrator = Narrator(TextToSpeech(script(tmp_path, "raise SystemExit('out of breath')")), SpeechQueue(), messages.append)
    narrator.say("hello")
    assert narrator._task is not None
    await narrator._task
    assert [message.type for message in messages] == ["speech", "error", "speech"]
    assert messages[1].code == "speech_failed" and "out of breath" in messages[1].message
    assert not messages[2].speaking


async def test_bundled_command_speaks() -> None:
    engine = TextToSpeech()
    assert engine.missing is None, "espeak-ng belongs to the tests' requirements"
    sound = await engine.speak("-v is not an option here")
    assert len(sound) > 24_000 and np.abs(sound.astype(np.int32)).max() > 3000
