"""The virtual camera: a process of its own that feeds the camera and the virtual microphone in time.

Devices block, and a library of a driver may hang or crash: none of that may touch the media process. Three threads: the main one takes
what comes and scales it, one shows pictures at their times, one keeps the microphone's device full.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

# Loaded before anything is in a hurry: `fitted` needs it with the first picture.
import av  # noqa: F401

from renderer.errors import VisavisError
from server.media import TimedPicture, VoicePacket
from server.pauses import leave_out_of_collections
from server.picture_fit import black, fitted
from server.timeline import VOICE_RATE_HZ
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
    ToCamera,
)
from server.virtual_camera.pacing import PicturePacing, ReadyPicture
from server.virtual_camera.playout import VoicePlayout
from server.worker_messages import Unpacker, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.virtual_camera.device import CameraDevice, VoiceDevice

RECEIVE_BYTES = 1 << 18
BLOCK_SAMPLES = VOICE_RATE_HZ // 100
REPORT_PERIOD_S = 1.0
REAL_TIME_PRIORITY = 5
"""Low among those; a sound server has 20 to 88."""

logger = logging.getLogger(__name__)


class CameraWorker:
    """Two devices and the threads that feed them. Whatever is set is set under one lock, which nobody holds while a device works."""

    def __init__(self, options: CameraOptions, camera: CameraDevice, voice: VoiceDevice, say: Callable[[FromCamera], None]) -> None:
        """Takes over both devices. `say` is called from any thread."""
        self._options, self._camera, self._voice, self._say = options, camera, voice, say
        self._pacing = PicturePacing(black(options.width, options.height), options.after_s, time.monotonic())
        self._playout = VoicePlayout(options.after_s)
        self._changed = threading.Condition()
        self._is_over = False
        self._sent = 0
        self._voice_latency_s = 0.0
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._show_pictures, self._play_voice, self._report)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def take(self, message: ToCamera | TimedPicture | VoicePacket) -> None:
        """Act on one message of the media process."""
        width, height = self._options.width, self._options.height
        if isinstance(message, TimedPicture):
            planes = fitted(message, width, height).reshape(-1)
        elif isinstance(message, Still):
            planes = fitted(TimedPicture(0, message.planes, message.width, message.height, 0.0), width, height).reshape(-1)
        with self._changed:
            if isinstance(message, TimedPicture):
                self._pacing.add(ReadyPicture(planes, message.presented_s))
            elif isinstance(message, VoicePacket):
                self._playout.add(message)
                return
            elif isinstance(message, Still):
                self._pacing.set_still(planes)
            elif isinstance(message, Begin):
                self._pacing.begin()
                self._playout.begin()
            elif isinstance(message, SetAfter):
                self._pacing.after_s = self._playout.after_s = message.after_s
            elif isinstance(message, SetPrivacy):
                self._pacing.set_privacy(message.is_on)
                self._playout.is_silent = message.is_on
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            # A device that hangs is left to the end of the process.
            thread.join(1.0)
        for device in (self._camera, self._voice):
            with contextlib.suppress(VisavisError):
                device.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except VisavisError as error:
            self._say(CameraFailed(str(error)))
        except Exception as error:
            logger.exception("the virtual camera failed")
            self._say(CameraFailed(f"the virtual camera failed: {type(error).__name__}"))

    def _show_pictures(self) -> None:
        while True:
            with self._changed:
                while not self._is_over and (wait_s := self._pacing.next_s - time.monotonic()) > 0:
                    self._changed.wait(wait_s)
                if self._is_over:
                    return
                planes = self._pacing.take(time.monotonic())
            self._camera.show(planes)
            self._sent += 1

    def _play_voice(self) -> None:
        while not self._is_over:
            latency_s = self._voice.latency_s
            with self._changed:
                samples = self._playout.read(BLOCK_SAMPLES, time.monotonic(), latency_s)
            self._voice_latency_s = latency_s
            self._voice.write(samples)

    def _report(self) -> None:
        last_s, last_sent = time.monotonic(), self._sent
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._is_over, REPORT_PERIOD_S):
                    return
                now_s, sent = time.monotonic(), self._sent
                report = CameraReport(
                    fps=(sent - last_sent) / (now_s - last_s),
                    repeated=self._pacing.repeated,
                    skipped=self._pacing.skipped,
                    missing_samples=self._playout.missing_samples,
                    jumps=self._playout.jumps,
                    voice_ms=1000 * self._voice_latency_s,
                    voice_error_ms=1000 * self._playout.error_s,
                )
            last_s, last_sent = now_s, sent
            self._say(report)


def open_camera(options: CameraOptions) -> CameraDevice:
    """Raises DeviceUnavailable."""
    if options.camera == "pipewire":
        from server.virtual_camera.pipewire import PipeWireCamera

        return PipeWireCamera(options.title, options.width, options.height)
    from server.virtual_camera.loopback import LoopbackCamera

    return LoopbackCamera(options.camera, options.device, options.width, options.height)


def open_voice(options: CameraOptions) -> VoiceDevice:
    """Raises DeviceUnavailable, BadInput."""
    if options.voice == "pulse":
        from server.virtual_camera.pulse import PulseOutput

        return PulseOutput(options.voice_device)
    from server.virtual_camera.sound_output import SoundOutput

    return SoundOutput(options.voice_device)


def serve(options: CameraOptions, messages: Iterator[ToCamera | TimedPicture | VoicePacket], say: Callable[[FromCamera], None]) -> None:
    """Returns when no more messages come."""
    try:
        camera = open_camera(options)
    except VisavisError as error:
        say(CameraFailed(str(error)))
        return
    try:
        voice = open_voice(options)
    except VisavisError as error:
        camera.close()
        say(CameraFailed(str(error)))
        return
    worker = CameraWorker(options, camera, voice, say)
    leave_out_of_collections()
    worker.start()
    say(CameraReady(camera.name))
    try:
        for message in messages:
            worker.take(message)
    finally:
        worker.close()


def main(arguments: list[str]) -> int:
    """`python -m server.virtual_camera.worker SOCKET`: the descriptor is inherited; options come over it first."""
    # The media process decides when it is over: an interrupt from the terminal reaches every process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _ask_for_real_time()
    # The two threads wait for each other's interpreter lock for at most so long.
    sys.setswitchinterval(0.001)
    connection = socket.socket(fileno=int(arguments[0]))
    messages = _messages(connection)
    options = next(messages)
    assert isinstance(options, CameraOptions)
    logging.basicConfig(level=options.log_level, format="%(levelname)s %(name)s: %(message)s")
    sending = threading.Lock()

    def say(message: FromCamera) -> None:
        with sending, contextlib.suppress(OSError):
            connection.sendall(pack(message))

    serve(options, messages, say)
    return 0


def _ask_for_real_time() -> None:
    """As a driver would have it: it works for a millisecond at a time, and whatever it delivers late is seen. Threads inherit it."""
    with contextlib.suppress(AttributeError, OSError):
        # Only on Linux, and only where the user may.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))


def _messages(connection: socket.socket) -> Iterator[ToCamera | TimedPicture | VoicePacket]:
    unpacker = Unpacker()
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(RECEIVE_BYTES):
            yield from unpacker.feed(data)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
