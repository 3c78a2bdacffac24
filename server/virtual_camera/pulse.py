"""A virtual microphone on Linux: a null sink of PulseAudio (or of PipeWire's PulseAudio server), and a source that hears it.

    voice ──► sink "visavis_voice" ──monitor──► source "visavis_microphone" ──► programs

The source is a remapped one because many programs hide monitors from their list of microphones. Both devices are made by `pactl` and
removed with the virtual camera; those that a killed server left are used again. The voice is played by libpulse, which also says how long
a sample has to wait.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.timeline import VOICE_RATE_HZ
from server.virtual_camera.device import DeviceUnavailable

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int16

SINK, SOURCE = "visavis_voice", "visavis_microphone"
MICROPHONE_TITLE = "visavis microphone"
"""As programs list it."""
LIBRARY = "libpulse-simple.so.0"
ASK_TIMEOUT_S = 5.0
TARGET_MS, BEGIN_MS, REQUEST_MS = 60, 10, 10
"""Sound that waits in the server, that it begins with, and that it asks for at a time: little, and still enough for a busy machine."""
SAMPLE_BYTES = 2
_PLAYBACK, _S16LE, _DEFAULT = 1, 3, 0xFFFFFFFF


def pactl(*words: str) -> str:
    """What `pactl` answers. Raises DeviceUnavailable with its own words."""
    program = shutil.which("pactl")
    if program is None:
        raise DeviceUnavailable("there is no pactl program here")
    try:
        answer = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=ASK_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceUnavailable(f"pactl {words[0]} does not answer: {error}") from error
    if answer.returncode:
        raise DeviceUnavailable(f"pactl {words[0]}: {' '.join(answer.stderr.split()) or 'failed'}")
    return answer.stdout


@dataclass(frozen=True)
class PulseSource:
    """A microphone, or what a loudspeaker plays (a monitor)."""

    name: str
    title: str

    @property
    def is_monitor(self) -> bool:
        return self.name.endswith(".monitor")


def sources() -> list[PulseSource]:
    """Of the sound server. Raises DeviceUnavailable."""
    listed = json.loads(pactl("--format=json", "list", "sources"))
    return [PulseSource(source["name"], source.get("description") or source["name"]) for source in listed]


def default_source() -> str:
    """Name of the microphone that programs take unless told otherwise. Raises DeviceUnavailable."""
    return pactl("get-default-source").strip()


class PulseMicrophone:
    """The two devices; `make` and `remove` wait for `pactl`."""

    def __init__(self) -> None:
        self._modules: list[str] = []

    def make(self) -> None:
        """Both, where they are not there yet. Raises DeviceUnavailable."""
        present = {line.split("\t")[0]: line for line in pactl("list", "short", "modules").splitlines()}
        wanted = {
            f"sink_name={SINK}": (
                "module-null-sink",
                f"rate={VOICE_RATE_HZ}",
                "channels=1",
                "channel_map=mono",
                "sink_properties='device.description=\"visavis voice\"'",
            ),
            f"source_name={SOURCE}": (
                "module-remap-source",
                f"master={SINK}.monitor",
                "channels=1",
                "channel_map=mono",
                "master_channel_map=mono",
                "remix=no",
                f"source_properties='device.description=\"{MICROPHONE_TITLE}\"'",
            ),
        }
        for name, (module, *arguments) in wanted.items():
            known = next((number for number, line in present.items() if name in line.split()), None)
            self._modules.append(known if known is not None else pactl("load-module", module, name, *arguments).strip())

    def remove(self) -> None:
        """Both; a sound server that has ended took them with it."""
        while self._modules:
            try:
                pactl("unload-module", self._modules.pop())
            except DeviceUnavailable:
                continue


class _Specification(ctypes.Structure):
    """`pa_sample_spec`"""

    _fields_ = (("format", ctypes.c_int), ("rate", ctypes.c_uint32), ("channels", ctypes.c_uint8))


class _Buffering(ctypes.Structure):
    """`pa_buffer_attr`, in bytes."""

    _fields_ = tuple((name, ctypes.c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class PulseOutput:
    """A `VoiceDevice`: plays into a sink."""

    def __init__(self, sink: str) -> None:
        """Raises DeviceUnavailable."""
        self._library = load_pulse()
        a_ms = VOICE_RATE_HZ * SAMPLE_BYTES // 1000
        self._error = ctypes.c_int()
        self._stream = self._library.pa_simple_new(
            None,
            b"visavis",
            _PLAYBACK,
            sink.encode(),
            b"voice",
            ctypes.byref(_Specification(_S16LE, VOICE_RATE_HZ, 1)),
            None,
            ctypes.byref(_Buffering(_DEFAULT, TARGET_MS * a_ms, BEGIN_MS * a_ms, REQUEST_MS * a_ms, _DEFAULT)),
            ctypes.byref(self._error),
        )
        if not self._stream:
            raise DeviceUnavailable(f"the sound server gives no way to {sink}: {self._words()}")

    @property
    def latency_s(self) -> float:
        latency_us = self._library.pa_simple_get_latency(self._stream, ctypes.byref(self._error))
        return float(latency_us) / 1e6

    def write(self, samples: Int16[np.ndarray, " n"]) -> None:
        data = samples.astype("<i2").tobytes()
        if self._library.pa_simple_write(self._stream, data, len(data), ctypes.byref(self._error)) < 0:
            raise DeviceUnavailable(f"the sound server has ended: {self._words()}")

    def close(self) -> None:
        if self._stream:
            self._library.pa_simple_free(self._stream)
            self._stream = None

    def _words(self) -> str:
        text: bytes = self._library.pa_strerror(self._error)
        return text.decode(errors="replace")


def load_pulse() -> Any:
    """Raises DeviceUnavailable where the system has no such library."""
    try:
        library: Any = ctypes.CDLL(LIBRARY)
        # In libpulse itself, which the other brings along.
        library.pa_strerror = ctypes.CDLL("libpulse.so.0").pa_strerror
    except OSError:
        raise DeviceUnavailable(f"there is no {LIBRARY} on this system") from None
    pointer, text, error = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)
    signatures = {
        "pa_simple_new": (pointer, (text, text, ctypes.c_int, text, text, pointer, pointer, pointer, error)),
        "pa_simple_write": (ctypes.c_int, (pointer, text, ctypes.c_size_t, error)),
        "pa_simple_get_latency": (ctypes.c_uint64, (pointer, error)),
        "pa_simple_free": (None, (pointer,)),
        "pa_strerror": (text, (ctypes.c_int,)),
    }
    for function, (result, arguments) in signatures.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library
