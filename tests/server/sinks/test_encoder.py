"""The encoder's process: what it writes plays, in time, whatever ends it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from server.sinks.encoder_messages import EncoderEnded, EncoderFailed, EncoderOptions
from server.sinks.encoder_process import EncoderProcess
from server.sinks.formats import choose_codecs
from tests.server.pretended_media import flashes_and_beeps, picture
from tests.server.sinks.played import play

if TYPE_CHECKING:
    from server.media import Media

PATIENCE_S = 60.0
FIRST_FRAME = 1000


def options(folder: Path, container: str = "mp4", **changes: Any) -> EncoderOptions:
    video, audio = choose_codecs(container)
    final = folder / f"whole.{container}"
    given = {"target": str(folder / f"unfinished.{container}"), "final": str(final), "is_live": False, "max_video_bits": 2_000_000}
    return EncoderOptions(**{"container": container, "video_codec": video, "audio_codec": audio, **given, **changes})


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s"
        await asyncio.sleep(0.002)


class Fed:
    """An encoder that is fed as fast as it takes it."""

    def __init__(self, chosen: EncoderOptions, **more: Any) -> None:
        self.encoder = EncoderProcess(chosen, **more)
        self.running = asyncio.create_task(self.encoder.run())

    async def feed(self, media: Iterable[Media]) -> None:
        await until(lambda: self.encoder.ready.is_set() or self.running.done())
        for item in media:
            self.encoder.put(item)
            await until(lambda: len(self.encoder._queue) < 20 or self.running.done())

    async def end(self) -> EncoderEnded | EncoderFailed:
        return await asyncio.wait_for(self.running, PATIENCE_S)

    @property
    def process(self) -> psutil.Process:
        assert self.encoder._process is not None
        return psutil.Process(self.encoder._process.pid)


async def encode(chosen: EncoderOptions, media: Iterable[Media], **more: Any) -> EncoderEnded | EncoderFailed:
    fed = Fed(chosen, **more)
    await fed.feed(media)
    fed.encoder.finish()
    return await fed.end()


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
async def test_encoder_keeps_picture_and_voice_in_time(tmp_path: Path, container: str) -> None:
    chosen = options(tmp_path, container)
    end = await encode(chosen, flashes_and_beeps(FIRST_FRAME, 110))
    assert isinstance(end, EncoderEnded), end
    assert end.seconds == pytest.approx(4.4) and end.pictures == 110
    assert left(tmp_path) == [Path(chosen.final).name]
    played = play(chosen.final)
    assert len(played.times_s) == 110
    np.testing.assert_allclose(np.diff(played.times_s), 0.04, atol=0.0015)
    flashes_s, beeps_s = played.flashes_s(), played.beeps_s()
    assert len(flashes_s) == len(beeps_s) == 5
    np.testing.assert_allclose(flashes_s, beeps_s, atol=0.01)
    np.testing.assert_allclose(np.diff(flashes_s), 1.0, atol=0.0015)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
async def test_encoder_killed_outright_leaves_a_file_that_plays(tmp_path: Path, container: str) -> None:
    chosen = options(tmp_path, container)
    fed = Fed(chosen)
    endless = flashes_and_beeps(FIRST_FRAME, 100_000)
    await fed.feed(itertools.takewhile(lambda _: fed.encoder.progress.pictures < 130, endless))
    encoded_s = fed.encoder.progress.seconds
    fed.process.kill()
    end = await fed.end()
    assert isinstance(end, EncoderFailed) and "unexpectedly" in end.message
    played = play(chosen.target)
    assert played.seconds > encoded_s - 2.0
    np.testing.assert_allclose(np.diff(played.times_s), 0.04, atol=0.0015)
    both = min(len(played.flashes_s()), len(played.beeps_s()))
    assert both >= 4
    np.testing.assert_allclose(played.flashes_s()[:both], played.beeps_s()[:both], atol=0.01)


async def test_encoder_finishes_the_file_when_the_server_is_gone(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    fed = Fed(chosen)
    await fed.feed(flashes_and_beeps(FIRST_FRAME, 60))
    process = fed.process
    fed.encoder._kill = lambda: None  # type: ignore[method-assign]
    fed.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fed.running
    await asyncio.to_thread(process.wait, PATIENCE_S)
    assert play(chosen.final).seconds > 1.0
    assert left(tmp_path) == ["whole.mp4"]


async def test_encoder_says_that_the_disk_is_full(tmp_path: Path) -> None:
    end = await encode(options(tmp_path, target="/dev/full", final=""), flashes_and_beeps(0, 100))
    assert isinstance(end, EncoderFailed)
    assert end.is_full and end.message == "no room is left on the disk"


async def test_encoder_says_in_one_line_what_cannot_be_reached(tmp_path: Path) -> None:
    for target, words in (("rtmp://127.0.0.1:1/live/key", "refused"), ("nonsense://x", "protocol")):
        end = await encode(options(tmp_path, "flv", target=target, final="", is_live=True), flashes_and_beeps(0, 30))
        assert isinstance(end, EncoderFailed)
        assert words in end.message and "\n" not in end.message, end
        assert "key" not in end.message


async def test_encoder_gives_chunks_that_make_a_stream(tmp_path: Path) -> None:
    chunks: list[bytes] = []

    async def take(chunk: bytes) -> None:
        chunks.append(chunk)

    end = await encode(options(tmp_path, target="", final="", is_live=True), flashes_and_beeps(50, 100), on_chunk=take)
    assert isinstance(end, EncoderEnded) and end.n_bytes == sum(map(len, chunks))
    assert len(chunks) >= 6, "they come while it runs"
    (tmp_path / "joined.mp4").write_bytes(b"".join(chunks))
    played = play(tmp_path / "joined.mp4")
    assert len(played.times_s) == 100
    np.testing.assert_allclose(played.flashes_s(), played.beeps_s(), atol=0.01)


async def test_encoder_fits_a_picture_of_another_size(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    media = [picture(frame, 235, 64, 64) for frame in range(20)] + [picture(frame, 235, 128, 64) for frame in range(20, 40)]
    end = await encode(chosen, media)
    assert isinstance(end, EncoderEnded), end
    played = play(chosen.final)
    assert played.size == (64, 64) and len(played.times_s) == 40
    assert played.lumas[10] > 225
    assert played.lumas[30] == pytest.approx((235 + 16) / 2, abs=12), "half of it is black bars"


async def test_encoder_fills_gaps_of_the_voice_and_keeps_gaps_of_the_picture(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    media = [item for item in flashes_and_beeps(0, 100) if not 1.2 <= item.presented_s < 1.9]
    end = await encode(chosen, media)
    assert isinstance(end, EncoderEnded)
    played = play(chosen.final)
    gaps_s = np.diff(played.times_s)
    assert gaps_s.max() == pytest.approx(0.72, abs=0.05) and (gaps_s > 0.05).sum() == 1
    np.testing.assert_allclose(played.flashes_s(), played.beeps_s(), atol=0.01)
    assert len(played.flashes_s()) == 4


async def test_encoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sinks.encoder_process.STALL_S", 0.5)
    fed = Fed(options(tmp_path))
    await fed.feed([])
    process, encoder = fed.process, fed.encoder
    process.suspend()
    for frame in range(400):
        encoder.put(picture(frame, 0, 256, 256))
    assert len(encoder._queue) <= 75, "what waits is bounded"
    end = await fed.end()
    assert isinstance(end, EncoderFailed) and "nothing was taken" in end.message
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert encoder.dropped_pictures >= 300
