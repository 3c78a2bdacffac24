from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from renderer.errors import BadInput
from server.sinks import recording as recording_module
from server.sinks.recording import NoRoom, Recording, RecordingLimits, RecordingRefused, Recordings, UnknownRecording
from tests.server.pretended_media import flashes_and_beeps
from tests.server.sinks.played import play

NO_LIMITS = RecordingLimits(3600, 1 << 40)
PATIENCE_S = 40.0


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s"
        await asyncio.sleep(0.02)


async def feed_until_it_ends(recording: Recording) -> list[Recording]:
    """Pictures and voice, ten times as fast as time."""
    ended: list[Recording] = []
    recording.start(ended.append)
    deadline_s = time.monotonic() + PATIENCE_S
    for media in flashes_and_beeps(0, 100_000):
        if ended:
            break
        assert time.monotonic() < deadline_s, recording.info
        # Before the encoder is there nothing is taken; it does not matter where a recording begins.
        recording.put(media)
        await asyncio.sleep(0.001)
    return ended


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_recording_ends_at_its_longest_time(tmp_path: Path) -> None:
    recording = Recordings(tmp_path, RecordingLimits(seconds=2.0, n_bytes=1 << 40)).make("mp4", "s", "First")
    assert await feed_until_it_ends(recording) == [recording]
    info = recording.info
    assert info.state == "ended" and info.reason is not None and "longest time" in info.reason
    assert left(tmp_path) == [info.name] and info.name.endswith("First.mp4")
    assert play(tmp_path / info.name).seconds >= 2.0


async def test_recording_ends_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = Recordings(tmp_path, NO_LIMITS)
    recording = recordings.make("mkv", "s", "first")
    monkeypatch.setattr(recording_module, "_free_bytes", lambda _: 10 << 20)
    await feed_until_it_ends(recording)
    assert recording.info.reason == "the disk is nearly full" and recording.info.state == "ended"
    with pytest.raises(NoRoom, match="10 MB are free"):
        recordings.make("mp4", "s", "first")


async def test_recordings_are_one_at_a_time_and_named_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module.time, "strftime", lambda _: "2026-01-02 03.04.05")
    recordings = Recordings(tmp_path / "made", NO_LIMITS)
    first = recordings.make("mp4", "s", "../first")
    with pytest.raises(RecordingRefused, match="already"):
        recordings.make("mp4", "s", "first")
    ended: list[Recording] = []
    first.start(ended.append)
    await first.stop()
    assert ended == [first] and first.info.state == "ended" and first.info.file is None, "nothing was recorded, and no file stays"
    assert left(tmp_path / "made") == []
    assert first.path.name == "2026-01-02 03.04.05 ..first.mp4"
    first.path.touch()
    assert recordings.make("mkv", "t", "../first").path.name == "2026-01-02 03.04.05 ..first 2.mkv"
    with pytest.raises(BadInput, match="mp4, mkv"):
        recordings.make("avi", "u", "first")
    with pytest.raises(UnknownRecording, match="'nobody'"):
        recordings.get("nobody")


def test_recordings_refuse_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="recordings"):
        Recordings(tmp_path / "file" / "folder", NO_LIMITS).make("mp4", "s", "first")


def test_unfinished_recordings_get_their_names_unless_somebody_writes_them(tmp_path: Path) -> None:
    (tmp_path / "a.unfinished.mp4").write_bytes(b"film")
    (tmp_path / "b.unfinished.mkv").write_bytes(b"film")
    (tmp_path / "empty.unfinished.mp4").touch()
    with (tmp_path / "b.unfinished.mkv").open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert Recordings(tmp_path, NO_LIMITS).name_unfinished() == ["a.mp4"]
    assert left(tmp_path) == ["a.mp4", "b.unfinished.mkv"]
    assert Recordings(tmp_path / "nowhere", NO_LIMITS).name_unfinished() == []
