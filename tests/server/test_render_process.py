"""The render worker in its own process, spoken to as the sessions do."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from renderer.errors import VisavisError
from server.render_process import RenderProcess
from server.worker_messages import (
    AvatarChosen,
    AvatarRefused,
    ChangeSession,
    FrameReady,
    OpenSession,
    Ready,
    Sound,
    Unpacker,
    WorkerOptions,
    pack,
)

if TYPE_CHECKING:
    from tests.server.conftest import Studio

PATIENCE_S = 60.0
PACKET = 960
LATENCY_S = 0.3


class Recorder:
    """A session that only listens."""

    def __init__(self) -> None:
        self.frames: list[FrameReady] = []
        self.chosen: list[AvatarChosen] = []
        self.refused: list[AvatarRefused] = []
        self.failures: list[str] = []

    def frame_ready(self, message: FrameReady) -> None:
        self.frames.append(message)

    def avatar_chosen(self, message: AvatarChosen) -> None:
        self.chosen.append(message)

    def avatar_refused(self, message: AvatarRefused) -> None:
        self.refused.append(message)

    def render_failed(self, message: str) -> None:
        self.failures.append(message)


def options(studio: Studio, **changes: object) -> WorkerOptions:
    plain = WorkerOptions(
        avatar=str(studio.first), encoder=None, backend="auto", size=64, threads=1, regions=3, max_pixels=128 * 128, log_level="WARNING"
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


async def until(condition: object, what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s for {what}"
        await asyncio.sleep(0.01)


async def speak(render: RenderProcess, session: int, recorder: Recorder, frames: int, heard: int = 0) -> int:
    """Send silence in real time until so many frames have come; returns the samples sent."""
    deadline_s = time.monotonic() + PATIENCE_S
    while len(recorder.frames) < frames:
        assert time.monotonic() < deadline_s, f"{len(recorder.frames)} of {frames} frames; {recorder.failures}"
        start_s = time.monotonic() - heard / 48_000 + LATENCY_S
        render.send(Sound(session, heard, np.zeros(PACKET, np.int16).tobytes(), start_s))
        heard += PACKET
        await asyncio.sleep(0.02)
    return heard


async def open_session(render: RenderProcess, studio: Studio, **changes: object) -> tuple[int, int, Recorder]:
    session, region = render.reserve()
    recorder = Recorder()
    opening = OpenSession(session, region, str(studio.first), 64, smoothing=0.0, omega=0.8, seed=1, start_s=time.monotonic() + LATENCY_S)
    await render.open_session(dataclasses.replace(opening, **changes), recorder)  # type: ignore[arg-type]
    return session, region, recorder


async def test_worker_renders_two_sessions_side_by_side(studio: Studio) -> None:
    render = RenderProcess(options(studio))
    ready = await render.start()
    assert (ready.size, ready.width, ready.backend) == (64, 64, "cpu")
    first, region, recorder = await open_session(render, studio)
    second, other_region, other = await open_session(render, studio, avatar=str(studio.folder / "second.avatar"))
    await asyncio.gather(speak(render, first, recorder, 5), speak(render, second, other, 5))
    for place, heard in ((region, recorder), (other_region, other)):
        message = heard.frames[-1]
        planes = render.ring.read(place, message.frame, message.width, message.height)
        assert planes is not None and np.ptp(planes) > 50, "a picture, not a flat colour"
        indices = [frame.frame for frame in heard.frames]
        assert indices == sorted(set(indices))
    await render.stop()
    assert not render.is_running


async def test_worker_swaps_avatars_and_refuses_those_it_cannot_show(studio: Studio) -> None:
    render = RenderProcess(options(studio))
    await render.start()
    session, _, recorder = await open_session(render, studio)
    heard = await speak(render, session, recorder, 3)
    broken = studio.folder / "broken.avatar"
    broken.write_bytes(b"\x80\x04 this would be a pickle")
    for name in ("second", "foreign", "broken", "missing"):
        news = len(recorder.refused) + len(recorder.chosen)
        render.send(ChangeSession(session, avatar=str(studio.folder / f"{name}.avatar")))
        await until(lambda before=news: len(recorder.refused) + len(recorder.chosen) > before, f"news of {name}")
    assert len(recorder.refused) == 3 and len(recorder.chosen) == 1
    reasons = " ".join(refusal.message for refusal in recorder.refused)
    assert "was trained with encoder" in reasons and "pickle" in reasons and "cannot read" in reasons
    await speak(render, session, recorder, len(recorder.frames) + 3, heard)
    assert not recorder.failures
    broken.unlink()
    await render.stop()


async def test_worker_shows_the_avatar_that_was_asked_for_last(studio: Studio) -> None:
    render = RenderProcess(options(studio))
    await render.start()
    session, _, recorder = await open_session(render, studio)
    for name in ("second", "first"):
        render.send(ChangeSession(session, avatar=str(studio.folder / f"{name}.avatar")))
    await until(lambda: bool(recorder.chosen), "the swap")
    await speak(render, session, recorder, 10)
    assert [chosen.avatar for chosen in recorder.chosen] == [str(studio.first)]
    await render.stop()


async def test_worker_ends_a_broken_session_and_no_other(studio: Studio) -> None:
    render = RenderProcess(options(studio))
    await render.start()
    good, _, recorder = await open_session(render, studio)
    bad, _, broken = await open_session(render, studio)
    heard = await speak(render, good, recorder, 3)
    render.send(Sound(bad, 10**12, b"\0\0", time.monotonic()))
    await until(lambda: bool(broken.failures), "the failure")
    await speak(render, good, recorder, len(recorder.frames) + 3, heard)
    assert not recorder.failures
    await render.stop()


async def test_worker_gives_places_back(studio: Studio) -> None:
    render = RenderProcess(options(studio))
    await render.start()
    for _ in range(7):
        session, _, recorder = await open_session(render, studio)
        render.release(session)
    numbers = [render.reserve()[0] for _ in range(3)]
    assert len(set(numbers)) == 3 and min(numbers) > 7
    with pytest.raises(VisavisError, match="all 3 places"):
        render.reserve()
    assert recorder.failures == []
    await render.stop()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"avatar": "{folder}/missing.avatar"}, "cannot read"),
        ({"encoder": "{folder}/other.onnx"}, "was trained with encoder"),
        ({"backend": "gpu"}, "one of"),
    ],
)
async def test_worker_says_in_one_line_why_it_cannot_start(studio: Studio, changes: dict[str, str], words: str) -> None:
    render = RenderProcess(options(studio, **{key: value.format(folder=studio.folder) for key, value in changes.items()}))
    with pytest.raises(VisavisError, match=words) as error:
        await render.start()
    assert "\n" not in str(error.value)
    await render.stop()


async def test_worker_that_dies_is_noticed_by_its_sessions(studio: Studio) -> None:
    render = RenderProcess(options(studio))
    await render.start()
    _, _, recorder = await open_session(render, studio)
    assert render.pid is not None
    os.kill(render.pid, signal.SIGKILL)
    await asyncio.wait_for(render.ended.wait(), PATIENCE_S)
    assert recorder.failures == ["the render worker ended"]
    with pytest.raises(VisavisError, match="not running"):
        await open_session(render, studio)
    await render.stop()


async def test_worker_ignores_the_terminals_interrupt_and_ends_with_its_socket(studio: Studio) -> None:
    render = RenderProcess(options(studio))
    await render.start()
    assert render.pid is not None
    worker = psutil.Process(render.pid)
    for number in (signal.SIGINT, signal.SIGTERM):
        worker.send_signal(number)
    session, _, recorder = await open_session(render, studio)
    await speak(render, session, recorder, 1)
    await render.stop()
    assert not worker.is_running()


def test_unpacker_cuts_a_stream_anywhere() -> None:
    messages = [Ready(64, 64, 1, 7000, 1.0, 2.0, 3.0, "cpu", "avx2", "words"), FrameReady(1, 2, 64, 64, 3.0), AvatarChosen(1, "a", 4)]
    data = b"".join(pack(message) for message in messages)
    for step in (1, 7, len(data)):
        unpacker = Unpacker()
        found = [message for first in range(0, len(data), step) for message in unpacker.feed(data[first : first + step])]
        assert found == messages


def test_unpacker_rejects_an_impossible_length() -> None:
    with pytest.raises(ValueError, match="4294967295 bytes"):
        Unpacker().feed(b"\xff\xff\xff\xff")
