"""A microphone of this machine, by sounddevice (PortAudio): 48 kHz, mono, in pieces of 20 ms.

PortAudio calls from a thread of its own; here that thread meets the event loop. A microphone that is unplugged is looked for until it is
back; meanwhile nothing comes, which a performance hears as silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.errors import BadInput, VisavisError
from server.media import PACKET_SAMPLES
from server.timeline import VOICE_RATE_HZ
from server.virtual_camera.sound_output import find_device, load_sounddevice

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Int16

    Hear = Callable[[int, Int16[np.ndarray, " n"]], None]

logger = logging.getLogger(__name__)

LOOK_PERIOD_S = 0.5
SILENT_S = 2.0
"""A stream that brings nothing for so long has lost its device."""
RETRY_S = 2.0
PULSE_DEVICE = "pulse"
"""PortAudio's way to a PulseAudio source that it does not list itself; the source is named by the environment."""
PULSE_SOURCE_VARIABLE = "PULSE_SOURCE"


class LocalMicrophone:
    """From `open` to `aclose`; hands what it hears to `hear`, which may be exchanged at any time."""

    def __init__(self, name: str | None, pulse_source: str | None = None) -> None:
        """`name`: of a device, or a part of it; None: the system's default. `pulse_source`: where PortAudio knows no such name."""
        self._name, self._pulse_source = name, pulse_source
        self.hear: Hear | None = None
        """Called in the event loop with the place of the first sample on the microphone's own time line, and the samples."""
        self._loop = asyncio.get_running_loop()
        self._stream: Any = None
        self._next = 0
        """Sample that comes next, at 48 kHz."""
        self._heard_s = self._loop.time()
        self._task: asyncio.Task[None] | None = None
        self.overflows = 0
        """How often PortAudio lost sound because this machine was busy."""

    async def open(self) -> None:
        """Raises BadInput, DeviceUnavailable (no sounddevice, or the microphone cannot be had)."""
        await asyncio.to_thread(self._open)
        self._task = asyncio.create_task(self._keep())

    async def aclose(self) -> None:
        """May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await asyncio.to_thread(self._close)

    def _open(self) -> None:
        sounddevice = load_sounddevice()
        # PortAudio lists devices once, when it begins: that may be long ago (MediaPipe loads it too). Nothing else here has one open.
        sounddevice._terminate()
        sounddevice._initialize()
        device = self._device(sounddevice)
        try:
            rate_hz = _rate_hz(sounddevice, device)
            resampler = _resampler(rate_hz)
            stream = sounddevice.RawInputStream(
                device=device,
                samplerate=rate_hz,
                channels=1,
                dtype="int16",
                blocksize=rate_hz * PACKET_SAMPLES // VOICE_RATE_HZ,
                latency="low",
                callback=lambda data, _n, _times, status: self._called(bytes(data), bool(status), resampler),
            )
            stream.start()
        except sounddevice.PortAudioError as error:
            raise BadInput(f"microphone {self._name or 'of the system'!r}: {error}") from error
        self._stream = stream

    def _device(self, sounddevice: Any) -> int | None:
        if self._pulse_source is not None:
            try:
                index = find_device(sounddevice, PULSE_DEVICE, "input")
            except BadInput:
                index = None
            if index is not None:
                os.environ[PULSE_SOURCE_VARIABLE] = self._pulse_source
                return index
        if self._name is not None:
            return find_device(sounddevice, self._name, "input")
        if sounddevice.default.device[0] < 0:
            raise BadInput("microphone: this system has none (sounddevice lists no input)")
        return None

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(Exception):
                # A device that is gone cannot be closed properly, and PortAudio says so.
                stream.close()

    # ---- PortAudio's thread

    def _called(self, data: bytes, has_overflowed: bool, resampler: Any) -> None:
        samples = np.frombuffer(data, np.int16)
        if resampler is not None:
            samples = _resampled(resampler, samples)
        with contextlib.suppress(RuntimeError):
            # The loop is closed already.
            self._loop.call_soon_threadsafe(self._deliver, samples, has_overflowed)

    # ---- the loop's

    def _deliver(self, samples: Int16[np.ndarray, " n"], has_overflowed: bool) -> None:
        self._heard_s = self._loop.time()
        self.overflows += has_overflowed
        first, self._next = self._next, self._next + len(samples)
        if self.hear is not None and len(samples):
            self.hear(first, samples)

    async def _keep(self) -> None:
        """Open it again when it is lost."""
        while True:
            await asyncio.sleep(LOOK_PERIOD_S)
            silent_s = self._loop.time() - self._heard_s
            if silent_s < SILENT_S:
                continue
            logger.warning("the microphone has been lost; it is looked for every %g s", RETRY_S)
            while True:
                await asyncio.to_thread(self._close)
                try:
                    await asyncio.to_thread(self._open)
                    break
                except VisavisError:
                    await asyncio.sleep(RETRY_S)
            # Time went by, on its own time line too.
            self._next += int((self._loop.time() - self._heard_s) * VOICE_RATE_HZ)
            self._heard_s = self._loop.time()
            logger.info("the microphone is back")


def _rate_hz(sounddevice: Any, device: int | None) -> int:
    """48 kHz, or else what the device has of its own."""
    try:
        sounddevice.check_input_settings(device=device, channels=1, dtype="int16", samplerate=VOICE_RATE_HZ)
    except sounddevice.PortAudioError:
        return int(sounddevice.query_devices(device, "input")["default_samplerate"])
    return VOICE_RATE_HZ


def _resampler(rate_hz: int) -> Any:
    if rate_hz == VOICE_RATE_HZ:
        return None
    import av

    return av.AudioResampler("s16", "mono", VOICE_RATE_HZ), rate_hz


def _resampled(resampler: Any, samples: Int16[np.ndarray, " n"]) -> Int16[np.ndarray, " m"]:
    import av

    converter, rate_hz = resampler
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = rate_hz
    parts = [piece.to_ndarray()[0] for piece in converter.resample(frame)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)
