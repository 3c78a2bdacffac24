"""A sound output by its name as the virtual microphone's entrance: BlackHole on macOS, VB-CABLE on Windows, whatever PortAudio lists."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from renderer.errors import BadInput
from server.timeline import VOICE_RATE_HZ
from server.virtual_camera.device import DeviceUnavailable

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int16

LATENCY_S = 0.04


def load_sounddevice() -> Any:
    """The package, which brings PortAudio except on Linux. Raises DeviceUnavailable."""
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise DeviceUnavailable(f"sounddevice is not installed: {error}") from error
    except OSError as error:
        raise DeviceUnavailable(f"sounddevice: {error}") from error


def find_device(sounddevice: Any, name: str, direction: str) -> int:
    """Index of the "input" or "output" device whose name is `name`, or else contains it. Raises BadInput, which lists them."""
    devices = [
        (index, str(device["name"])) for index, device in enumerate(sounddevice.query_devices()) if device[f"max_{direction}_channels"] > 0
    ]
    wanted = name.casefold()
    for matches in (
        [index for index, known in devices if known.casefold() == wanted],
        [index for index, known in devices if wanted in known.casefold()],
    ):
        # Windows lists a device once for each of its sound systems; the first is as good.
        if matches:
            return matches[0]
    raise BadInput(f"{direction} device {name!r}: known are {', '.join(repr(known) for _, known in devices) or 'none'}")


class SoundOutput:
    """A `VoiceDevice`."""

    def __init__(self, name: str) -> None:
        """Raises DeviceUnavailable, BadInput."""
        sounddevice = load_sounddevice()
        self._error: type[Exception] = sounddevice.PortAudioError
        index = find_device(sounddevice, name, "output")
        try:
            self._stream = sounddevice.RawOutputStream(
                device=index, samplerate=VOICE_RATE_HZ, channels=1, dtype="int16", latency=LATENCY_S, blocksize=0
            )
            self._stream.start()
        except self._error as error:
            raise DeviceUnavailable(f"output device {name!r}: {error}") from error
        self._room = int(self._stream.write_available)
        """Of the empty device, in samples."""
        self._name = name

    @property
    def latency_s(self) -> float:
        waiting = max(0, self._room - int(self._stream.write_available)) / VOICE_RATE_HZ
        # PortAudio's figure is that of the full buffer.
        return waiting + max(0.0, float(self._stream.latency) - self._room / VOICE_RATE_HZ)

    def write(self, samples: Int16[np.ndarray, " n"]) -> None:
        try:
            self._stream.write(samples.tobytes())
        except self._error as error:
            raise DeviceUnavailable(f"output device {self._name!r} has gone: {error}") from error

    def close(self) -> None:
        self._stream.close()
