"""Packages that are not here, as modules that a test puts in their place: pyvirtualcam and sounddevice, with their own errors' words."""

from __future__ import annotations

import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

NO_DEVICE = (
    "'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99]. "
    "Did you run 'modprobe v4l2loopback'? See also pyvirtualcam's documentation."
)
"""Of pyvirtualcam 0.15.0 on a machine without the module, word for word."""


class PretendedCameras(ModuleType):
    """pyvirtualcam as version 0.15.0 has it."""

    PixelFormat = SimpleNamespace(I420="I420")

    def __init__(self, devices: tuple[str, ...] = ("/dev/video2",), backends: tuple[str, ...] = ("v4l2loopback",)) -> None:
        super().__init__("pyvirtualcam")
        self.devices, self.backends = devices, backends
        self.opened: list[PretendedCamera] = []

    def Camera(  # noqa: N802 (its own name)
        self, width: int, height: int, fps: float, *, fmt: str, device: str | None = None, backend: str | None = None
    ) -> PretendedCamera:
        if backend not in self.backends:
            raise KeyError(backend)
        if device is not None and device not in self.devices:
            raise RuntimeError(f"'v4l2loopback' backend: Device {device} does not exist.")
        if not self.devices:
            raise RuntimeError(NO_DEVICE)
        camera = PretendedCamera(device or self.devices[0], width, height, fps, fmt)
        self.opened.append(camera)
        return camera


class PretendedCamera:
    def __init__(self, device: str, width: int, height: int, fps: float, fmt: str) -> None:
        self.device, self.size, self.fps, self.fmt = device, (width, height), fps, fmt
        self.sent: list[np.ndarray] = []
        self.is_closed = False
        self.is_gone = False

    def send(self, frame: np.ndarray) -> None:
        # The real one looks at the length only.
        if frame.size != self.size[0] * self.size[1] * 3 // 2:
            raise ValueError(f"unexpected frame size: {frame.size}")
        if self.is_gone:
            raise RuntimeError("error writing frame: No such device")
        self.sent.append(frame.copy())

    def close(self) -> None:
        self.is_closed = True


class PortAudioError(Exception):
    pass


class PretendedSound(ModuleType):
    """sounddevice: a list of devices, and streams that a test feeds and empties."""

    PortAudioError = PortAudioError

    def __init__(self, *devices: tuple[str, int, int], rates_hz: tuple[int, ...] = (48_000,), default_input: int = 0) -> None:
        """`devices`: name, input channels, output channels."""
        super().__init__("sounddevice")
        self.devices = list(devices)
        self._listed = list(devices)
        """As PortAudio has them: those of its last beginning."""
        self.rates_hz = rates_hz
        self.default = SimpleNamespace(device=(default_input, 0))
        self.streams: list[PretendedStream] = []
        self.restarts = 0

    def query_devices(self, device: int | None = None, kind: str | None = None) -> Any:
        listed = [
            {"name": name, "max_input_channels": inputs, "max_output_channels": outputs, "default_samplerate": float(self.rates_hz[0])}
            for name, inputs, outputs in self._listed
        ]
        return listed if device is None and kind is None else listed[device or 0]

    def check_input_settings(self, device: int | None, channels: int, dtype: str, samplerate: int) -> None:
        if samplerate not in self.rates_hz:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    def RawInputStream(self, **options: Any) -> PretendedStream:  # noqa: N802 (its own name)
        if not self.devices:
            raise PortAudioError("Error querying device -1")
        return self._open(options)

    def RawOutputStream(self, **options: Any) -> PretendedStream:  # noqa: N802 (its own name)
        return self._open(options)

    def _open(self, options: dict[str, Any]) -> PretendedStream:
        stream = PretendedStream(options)
        self.streams.append(stream)
        return stream

    def _terminate(self) -> None:
        self.restarts += 1

    def _initialize(self) -> None:
        self._listed = list(self.devices)


class PretendedStream:
    latency = 0.05

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.is_started = self.is_closed = self.is_gone = False
        self.write_available = 2400
        self.written: list[np.ndarray] = []

    def start(self) -> None:
        self.is_started = True

    def close(self) -> None:
        self.is_closed = True

    def write(self, data: bytes) -> None:
        if self.is_gone:
            raise PortAudioError("Stream is stopped [PaErrorCode -9983]")
        self.written.append(np.frombuffer(data, np.int16))
        self.write_available -= len(self.written[-1])

    def bring(self, samples: np.ndarray, has_overflowed: bool = False) -> None:
        """As PortAudio does, from a thread of its own."""
        data = samples.astype(np.int16).tobytes()
        thread = threading.Thread(target=self.options["callback"], args=(memoryview(data), len(samples), None, has_overflowed))
        thread.start()
        thread.join()
