"""Cameras by pyvirtualcam, sound devices by sounddevice: with those packages pretended, for neither has a device here."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import pytest

from renderer.errors import BadInput
from server.virtual_camera import local_microphone
from server.virtual_camera.device import DeviceUnavailable
from server.virtual_camera.local_microphone import LocalMicrophone
from server.virtual_camera.loopback import LoopbackCamera
from server.virtual_camera.sound_output import SoundOutput
from tests.server.virtual_camera.pretended_devices import NO_DEVICE, PretendedCameras, PretendedSound

PLANES = np.arange(64 * 36 * 3 // 2, dtype=np.uint64).astype(np.uint8)


def use(monkeypatch: pytest.MonkeyPatch, module: PretendedCameras | PretendedSound | None, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, module)


def test_loopback_camera_sends_i420_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = PretendedCameras()
    use(monkeypatch, cameras, "pyvirtualcam")
    camera = LoopbackCamera("v4l2loopback", "/dev/video2", 64, 36)
    camera.show(PLANES)
    camera.show(PLANES[::-1])
    (opened,) = cameras.opened
    assert (camera.name, opened.size, opened.fps, opened.fmt) == ("/dev/video2", (64, 36), 25, "I420")
    assert np.array_equal(opened.sent[0], PLANES) and np.array_equal(opened.sent[1], PLANES[::-1])
    opened.is_gone = True
    with pytest.raises(DeviceUnavailable, match="the camera /dev/video2 has gone: error writing frame: No such device"):
        camera.show(PLANES)
    camera.close()
    assert opened.is_closed


def test_loopback_camera_says_what_pyvirtualcam_says(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, PretendedCameras(devices=()), "pyvirtualcam")
    with pytest.raises(DeviceUnavailable, match=r"Did you run 'modprobe v4l2loopback'\?") as refusal:
        LoopbackCamera("v4l2loopback", None, 64, 36)
    assert str(refusal.value) == NO_DEVICE
    with pytest.raises(DeviceUnavailable, match="Device /dev/video9 does not exist"):
        LoopbackCamera("v4l2loopback", "/dev/video9", 64, 36)
    with pytest.raises(DeviceUnavailable, match="pyvirtualcam has no obs on this system"):
        LoopbackCamera("obs", None, 64, 36)
    use(monkeypatch, None, "pyvirtualcam")
    with pytest.raises(DeviceUnavailable, match="pyvirtualcam is not installed"):
        LoopbackCamera("v4l2loopback", None, 64, 36)


def test_sound_output_plays_into_the_device_of_that_name_and_knows_how_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = PretendedSound(("Built-in Microphone", 1, 0), ("BlackHole 2ch", 2, 2))
    use(monkeypatch, sound, "sounddevice")
    output = SoundOutput("blackhole")
    (stream,) = sound.streams
    assert stream.options["device"] == 1 and stream.options["samplerate"] == 48_000 and stream.is_started
    assert output.latency_s == pytest.approx(0.0, abs=1e-9)
    output.write(np.arange(480, dtype=np.int16))
    assert np.array_equal(stream.written[0], np.arange(480)) and output.latency_s == pytest.approx(0.01)
    stream.is_gone = True
    with pytest.raises(DeviceUnavailable, match="'blackhole' has gone: Stream is stopped"):
        output.write(np.zeros(480, np.int16))
    with pytest.raises(BadInput, match=r"output device 'cable': known are 'BlackHole 2ch'$"):
        SoundOutput("cable")
    use(monkeypatch, None, "sounddevice")
    with pytest.raises(DeviceUnavailable, match="sounddevice is not installed"):
        SoundOutput("blackhole")


async def heard_by(microphone: LocalMicrophone) -> list[tuple[int, np.ndarray]]:
    heard: list[tuple[int, np.ndarray]] = []
    microphone.hear = lambda first, samples: heard.append((first, samples))
    await microphone.open()
    return heard


async def test_local_microphone_numbers_what_it_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = PretendedSound(("Webcam", 1, 0), ("Headset (Ada)", 1, 2))
    use(monkeypatch, sound, "sounddevice")
    microphone = LocalMicrophone("headset")
    heard = await heard_by(microphone)
    (stream,) = sound.streams
    assert (stream.options["device"], stream.options["samplerate"], stream.options["blocksize"]) == (1, 48_000, 960)
    for number in range(3):
        stream.bring(np.full(960, number), has_overflowed=number == 1)
    await asyncio.sleep(0.01)
    assert [first for first, _ in heard] == [0, 960, 1920] and [int(samples[0]) for _, samples in heard] == [0, 1, 2]
    assert microphone.overflows == 1
    microphone.hear = None
    stream.bring(np.zeros(960))
    await asyncio.sleep(0.01)
    assert len(heard) == 3
    await microphone.aclose()
    await microphone.aclose()
    assert stream.is_closed


async def test_local_microphone_converts_the_rate_of_a_device_that_has_no_48_khz(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = PretendedSound(("Old", 1, 0), rates_hz=(16_000,))
    use(monkeypatch, sound, "sounddevice")
    microphone = LocalMicrophone(None)
    heard = await heard_by(microphone)
    (stream,) = sound.streams
    assert (stream.options["samplerate"], stream.options["blocksize"], stream.options["device"]) == (16_000, 320, None)
    for number in range(50):
        stream.bring(8000 * np.sin(2 * np.pi * 400 * (320 * number + np.arange(320)) / 16_000))
    await asyncio.sleep(0.05)
    await microphone.aclose()
    samples = np.concatenate([part for _, part in heard])
    assert len(samples) == pytest.approx(48_000, abs=960)
    crossings = int(((samples[:-1] < 0) & (samples[1:] >= 0)).sum())
    assert crossings == pytest.approx(400 * len(samples) / 48_000, abs=3)


async def test_local_microphone_that_was_plugged_in_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = PretendedSound(("Webcam", 1, 0))
    use(monkeypatch, sound, "sounddevice")
    sound.devices.append(("Headset", 1, 2))
    microphone = LocalMicrophone("headset")
    await microphone.open()
    assert sound.streams[0].options["device"] == 1
    await microphone.aclose()


async def test_local_microphone_that_is_lost_comes_back_later_on_its_time_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK_PERIOD_S", 0.02), ("SILENT_S", 0.2), ("RETRY_S", 0.05)):
        monkeypatch.setattr(local_microphone, name, value)
    sound = PretendedSound(("Webcam", 1, 0))
    use(monkeypatch, sound, "sounddevice")
    microphone = LocalMicrophone("webcam")
    heard = await heard_by(microphone)
    sound.streams[0].bring(np.zeros(960))
    sound.devices.clear()
    await asyncio.sleep(0.5)
    assert len(sound.streams) == 1 and sound.restarts >= 3, "it is looked for again and again"
    sound.devices.append(("Webcam", 1, 0))
    for _ in range(250):
        await asyncio.sleep(0.02)
        if len(sound.streams) == 2:
            break
    await asyncio.sleep(0.05)
    sound.streams[-1].bring(np.zeros(960))
    await asyncio.sleep(0.01)
    await microphone.aclose()
    assert sound.streams[0].is_closed
    assert heard[-1][0] > 960 + 0.4 * 48_000, "what it did not hear has its place too"


async def test_local_microphone_refuses_an_unknown_name_and_a_system_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = PretendedSound(("Webcam", 1, 0), ("Speakers", 0, 2), default_input=-1)
    use(monkeypatch, sound, "sounddevice")
    with pytest.raises(BadInput, match="input device 'speakers': known are 'Webcam'"):
        await LocalMicrophone("speakers").open()
    with pytest.raises(BadInput, match="this system has none"):
        await LocalMicrophone(None).open()
