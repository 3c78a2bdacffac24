"""The virtual camera and microphone of a PipeWire of their own, read back by GStreamer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from renderer.errors import BadInput
from renderer.library import find_avatar
from server.virtual_camera.pulse import SOURCE, pactl
from server.virtual_camera.set_up import CameraSetUp
from server.virtual_camera.virtual_camera import CameraRefused, VirtualCamera
from tests.end_to_end.measure_camera import performing
from tests.server.virtual_camera.captured import capture, measure, read_capture, write_beeps
from tests.server.virtual_camera.sound_session import playing, sound_session

CAPTURED_S = 12.0


@pytest.fixture(scope="module")
def beeps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = write_beeps(tmp_path_factory.mktemp("beeps") / "beeps.wav")
    with sound_session(), playing(path):
        yield path


def has_camera() -> bool:
    listed = subprocess.run(["pw-cli", "ls", "Node"], capture_output=True, text=True, check=True).stdout
    return 'media.class = "Video/Source"' in listed


def has_microphone() -> bool:
    return SOURCE in pactl("list", "short", "sources")


async def test_virtual_camera_and_microphone_are_in_time_with_each_other(beeps: Path, tmp_path: Path) -> None:
    camera = VirtualCamera()
    async with performing(camera):
        await asyncio.sleep(1)
        path = tmp_path / "captured.mkv"
        await asyncio.to_thread(capture, path, CAPTURED_S)
        info = camera.info
        assert (info.state, info.camera, info.microphone, info.size) == ("on", "visavis", "visavis microphone", (640, 360))
        assert info.delay_ms is not None and info.delay_ms >= 300 and not info.holds_delay
    assert not has_camera() and not has_microphone() and camera.is_off
    figures = measure(read_capture(path))
    # The figures of an idle machine are in BENCHMARKS.md; this one may be busy with other tests.
    assert figures.fps == pytest.approx(25, abs=1.5), figures
    assert abs(figures.av_offset_ms) <= 45, figures
    assert figures.beeps >= 7 and figures.longest_picture_gap_ms < 400, figures


async def test_virtual_camera_stays_while_performances_go_and_comes_back_when_its_process_dies(beeps: Path) -> None:
    camera = VirtualCamera()
    async with performing(camera) as performance:
        with pytest.raises(CameraRefused, match="on already"):
            await camera.open(CameraSetUp("pipewire", None, "pulse", ""), (640, 360))
        assert has_camera() and has_microphone()
        assert camera.shown is performance and camera.info.session == performance.id
        await asyncio.sleep(1.5)
        await performance.aclose()
        assert camera.shown is None and camera.info.session is None and camera.info.state == "on"
        await asyncio.sleep(1.5)
        assert has_camera() and camera.info.fps == pytest.approx(25, abs=4), "the last picture, again and again"
        (worker,) = (child for child in psutil.Process().children() if "server.virtual_camera.worker" in " ".join(child.cmdline()))
        os.kill(worker.pid, signal.SIGKILL)
        for _ in range(100):
            await asyncio.sleep(0.1)
            if camera.info.state == "waiting":
                break
        assert camera.info.reason == "the virtual camera's process ended unexpectedly"
        for _ in range(200):
            await asyncio.sleep(0.1)
            if camera.info.state == "on":
                break
        assert camera.info.state == "on" and camera.info.reason is None and has_camera()
    assert not has_camera() and not has_microphone()


async def test_virtual_camera_holds_the_delay_that_is_asked_for(beeps: Path) -> None:
    camera = VirtualCamera()
    with pytest.raises(CameraRefused, match="is off"):
        camera.set_delay(0.4)
    with pytest.raises(CameraRefused, match="is off"):
        await camera.set_privacy(True)
    async with performing(camera, delay_s=0.5) as performance:
        assert performance.latency_s == pytest.approx(0.2), "it goes there smoothly"
        await asyncio.sleep(6)
        assert performance.latency_s == pytest.approx(0.4, abs=0.01)
        assert camera.info.delay_ms == pytest.approx(500, abs=10) and camera.info.holds_delay
        with pytest.raises(BadInput, match="delay_ms 90: 200 to 2000 is possible, or null"):
            camera.set_delay(0.09)
        camera.set_delay(None)
        assert not camera.info.holds_delay
        await camera.set_privacy(True, find_avatar("bundled"))
        assert camera.info.privacy
