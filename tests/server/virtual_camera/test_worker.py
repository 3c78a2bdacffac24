"""The camera's process, in this one: its threads, its devices' ends, and its last words."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from server.media import PACKET_SAMPLES, VoicePacket
from server.picture_fit import black
from server.virtual_camera import worker
from server.virtual_camera.device import DeviceUnavailable
from server.virtual_camera.messages import (
    Begin,
    CameraFailed,
    CameraOptions,
    CameraReady,
    CameraReport,
    FromCamera,
    SetAfter,
    SetPrivacy,
    Still,
)
from server.virtual_camera.worker import CameraWorker, serve
from tests.server.pretended_media import picture
from tests.server.virtual_camera.pretended_devices import NO_DEVICE, PretendedCameras

WIDTH, HEIGHT = 64, 36
AFTER_S = 0.05
OPTIONS = CameraOptions("v4l2loopback", None, "visavis", WIDTH, HEIGHT, "pulse", "nowhere", AFTER_S)


class Camera:
    name = "pretended"

    def __init__(self) -> None:
        self.shown: list[tuple[float, np.ndarray]] = []
        self.fault: str | None = None
        self.is_closed = False

    def show(self, planes: np.ndarray) -> None:
        if self.fault:
            raise DeviceUnavailable(self.fault)
        self.shown.append((time.monotonic(), planes.copy()))

    def close(self) -> None:
        self.is_closed = True


class Voice:
    """Takes samples as time goes by, with 20 ms in it."""

    def __init__(self) -> None:
        self.heard: list[np.ndarray] = []
        self.is_closed = False
        self._full_s = time.monotonic()

    @property
    def latency_s(self) -> float:
        return max(0.0, self._full_s - time.monotonic())

    def write(self, samples: np.ndarray) -> None:
        self._full_s = max(self._full_s, time.monotonic()) + len(samples) / 48_000
        time.sleep(max(0.0, self._full_s - 0.02 - time.monotonic()))
        self.heard.append(samples)

    def close(self) -> None:
        self.is_closed = True


def luma(planes: np.ndarray) -> int:
    """In the middle."""
    return int(planes[(HEIGHT // 2) * WIDTH + WIDTH // 2])


def test_worker_feeds_both_devices_and_says_how_it_goes() -> None:
    camera, voice = Camera(), Voice()
    said: list[FromCamera] = []
    running = CameraWorker(OPTIONS, camera, voice, said.append)
    running.start()
    start_s = time.monotonic() + 0.1
    running.take(Begin())
    for frame in range(30):
        shown = picture(frame, 200 if frame >= 15 else 60)
        running.take(type(shown)(frame, shown.planes, shown.width, shown.height, start_s + frame / 25))
        for number in (2 * frame, 2 * frame + 1):
            level = 9000 if frame >= 15 else 100
            running.take(VoicePacket(number * PACKET_SAMPLES, np.full(PACKET_SAMPLES, level, np.int16), start_s + number / 50))
    time.sleep(1.5)
    # A square picture in a wide raster: black beside it.
    assert {int(planes[0]) for _, planes in camera.shown} == {16}
    change_s = next(time_s for time_s, planes in camera.shown if luma(planes) > 150)
    assert change_s == pytest.approx(start_s + 15 / 25 + AFTER_S, abs=0.05)
    assert np.abs(np.concatenate(voice.heard)).max() == 9000
    running.take(SetPrivacy(True))
    running.take(Still(black(64, 36) + 100, 64, 36))
    time.sleep(0.3)
    assert luma(camera.shown[-1][1]) == 116, "the still"
    reports = [message for message in said if isinstance(message, CameraReport)]
    assert reports and reports[-1].fps == pytest.approx(25, abs=4) and reports[-1].jumps == 0
    running.take(SetAfter(0.2))
    running.close()
    assert camera.is_closed and voice.is_closed
    n_shown = len(camera.shown)
    time.sleep(0.1)
    assert len(camera.shown) == n_shown, "nothing is shown any more"


def test_worker_says_why_a_device_has_gone() -> None:
    camera, said = Camera(), list[FromCamera]()
    running = CameraWorker(OPTIONS, camera, Voice(), said.append)
    camera.fault = "the camera /dev/video2 has gone"
    running.start()
    deadline_s = time.monotonic() + 5
    while not said and time.monotonic() < deadline_s:
        time.sleep(0.01)
    running.close()
    assert said[0] == CameraFailed("the camera /dev/video2 has gone")


def test_serve_tells_why_a_device_cannot_be_opened_and_closes_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[FromCamera] = []
    monkeypatch.setitem(sys.modules, "pyvirtualcam", PretendedCameras(devices=()))
    serve(OPTIONS, iter(()), said.append)
    assert said == [CameraFailed(NO_DEVICE)]
    cameras = PretendedCameras()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", cameras)

    def none(options: CameraOptions) -> Voice:
        raise DeviceUnavailable("the sound server gives no way to nowhere: No such entity")

    monkeypatch.setattr(worker, "open_voice", none)
    serve(OPTIONS, iter(()), said.append)
    assert said[1] == CameraFailed("the sound server gives no way to nowhere: No such entity")
    assert cameras.opened[0].is_closed
    monkeypatch.setattr(worker, "open_voice", lambda options: Voice())
    serve(OPTIONS, iter([Begin()]), said.append)
    assert said[2] == CameraReady("/dev/video2") and cameras.opened[1].is_closed
