"""A camera of this machine that the avatar follows where there is no page: by PyAV, through the system's own interface.

It is opened when following begins and closed when it ends, so no light glows for nothing; what it shows goes to the face tracker and
nowhere else. One that is taken by another program, or unplugged, is tried again. A video file can stand in for a camera: it is played in
its own time, again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av

from renderer.errors import BadInput
from server.camera_picture import CameraPicture
from server.virtual_camera.set_up import System, loopback_devices

if TYPE_CHECKING:
    from collections.abc import Callable

    See = Callable[[CameraPicture, float], None]

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 2.0
RETRY_S = 2.0
CLOSE_TIMEOUT_S = 3.0
WIDTH_PX, HEIGHT_PX = 640, 480
"""Asked for; a camera that has no such size gives its nearest (Linux), or its own."""
_SIZE = f"{WIDTH_PX}x{HEIGHT_PX}"


@dataclass(frozen=True)
class CameraSource:
    """What FFmpeg opens."""

    name: str
    format: str | None = None
    """None: a file."""
    options: dict[str, str] = field(default_factory=dict)


def find_camera(wish: str, system: System | None = None) -> CameraSource:
    """`wish`: a device ("/dev/videoN" on Linux, its name or number elsewhere), a video file, or "auto", the first there is.

    Raises BadInput where there is none, or it is a virtual camera."""
    system = system or System()
    if wish != "auto" and not wish.startswith("/dev/") and Path(wish).is_file():
        return CameraSource(wish)
    if system.name == "Darwin":
        return CameraSource("0" if wish == "auto" else wish, "avfoundation", {"video_size": _SIZE, "framerate": "30"})
    if system.name == "Windows":
        if wish == "auto":
            raise BadInput("follow_camera auto: on Windows the camera's name is needed (ffmpeg -list_devices true -f dshow -i dummy)")
        return CameraSource(f"video={wish}", "dshow", {"video_size": _SIZE})
    virtual, present = loopback_devices(system), _devices(system)
    if wish in virtual:
        raise BadInput(f"follow_camera {wish!r}: that is a virtual camera; the avatar would follow itself")
    usable = [device for device in present if device not in virtual]
    if wish == "auto" and usable:
        wish = usable[0]
    if wish not in usable:
        raise BadInput(f"follow_camera {wish!r}: neither a camera nor a video file; cameras here: {', '.join(usable) or 'none'}")
    return CameraSource(wish, "v4l2", {"video_size": _SIZE})


def _devices(system: System) -> list[str]:
    """ "/dev/videoN" in the order of their numbers. Of one camera's devices the first is the one with pictures."""
    numbers = [int(entry.name[5:]) for entry in (system.folder / "dev").glob("video*") if entry.name[5:].isdigit()]
    return [f"/dev/video{number}" for number in sorted(numbers)]


class LocalCamera:
    """Reads from its making to `aclose`, in a thread of its own."""

    def __init__(self, source: CameraSource) -> None:
        self.see: See | None = None
        """Called in the event loop with each picture and the local monotonic time at which it came; may be exchanged at any time."""
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._is_over = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._keep_reading, name="local camera", daemon=True)
        self._thread.start()

    async def aclose(self) -> None:
        """Let the camera go; may be called twice."""
        self.see = None
        self._is_over.set()
        # A driver that hangs is left to the end of the process.
        await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)

    # ---- the thread's

    def _keep_reading(self) -> None:
        while not self._is_over.is_set():
            try:
                n_pictures = self._read()
                if self._source.format is None and n_pictures:
                    # A file that is at its end begins again.
                    continue
                reason = "it brings no more pictures"
            except (OSError, av.FFmpegError) as error:
                reason = error.strerror or str(error)
            if reason != self._said and not self._is_over.is_set():
                self._said = reason
                logger.warning("camera %s: %s; it is tried again every %g s", self._source.name, reason, RETRY_S)
            self._is_over.wait(RETRY_S)

    def _read(self) -> int:
        """Until it ends; how many pictures there were."""
        source, n_pictures = self._source, 0
        with av.open(source.name, format=source.format, options=source.options, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S)) as device:
            if not device.streams.video:
                raise OSError(None, "it has no pictures")
            start_s = time.monotonic()
            for frame in device.decode(video=0):
                if source.format is None and frame.time is not None:
                    self._is_over.wait(max(0.0, start_s + frame.time - time.monotonic()))
                if self._is_over.is_set():
                    break
                self._said = ""
                n_pictures += 1
                picture = CameraPicture.of(frame if frame.format.name == "yuv420p" else frame.reformat(format="yuv420p"))
                if picture is not None:
                    with contextlib.suppress(RuntimeError):
                        # The loop is closed already.
                        self._loop.call_soon_threadsafe(self._deliver, picture, time.monotonic())
        return n_pictures

    # ---- the loop's

    def _deliver(self, picture: CameraPicture, came_s: float) -> None:
        if self.see is not None:
            self.see(picture, came_s)
