"""The server's virtual camera and microphone: one pair of devices, and whichever performance is shown through them.

off ──► opening ──► on ◄──► waiting (a device has gone; the next try is set)
 ▲         │         │         │
 └─────────┴─────────┴─────────┘

The devices stay open while performances come and go, and whatever these do: a program that uses a camera gives up one that stops. Both
devices follow a performance's time of presentation by one constant, so what is seen and what is heard leave together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from renderer.avatar_file import read_poster
from renderer.errors import BadInput, VisavisError
from server.frame_ring import i420_bytes
from server.i420 import i420_writer
from server.performance import MAX_HELD_LATENCY_S, MIN_HELD_LATENCY_S
from server.virtual_camera.camera_process import CameraProcess
from server.virtual_camera.device import DeviceUnavailable
from server.virtual_camera.messages import Begin, CameraOptions, SetAfter, SetPrivacy, Still
from server.virtual_camera.pulse import MICROPHONE_TITLE, SINK, PulseMicrophone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server.media import Media
    from server.performance import Performance
    from server.virtual_camera.messages import CameraReport
    from server.virtual_camera.set_up import CameraSetUp

logger = logging.getLogger(__name__)

TITLE = "visavis"
"""Of the camera, where it is made here."""
AFTER_S = 0.1
"""Both devices' constant at first: the sound that waits in a sound server, and a margin for a busy machine."""
AFTER_STEP_S, MAX_AFTER_S = 0.02, 0.3
"""It grows by so much, up to so much, when the voice was not there in time; unless a delay is asked for."""
MISSING_SAMPLES = 480
"""Of a second, from which on it grows: 10 ms."""
PAUSE_S = 2.0
"""Before a device that has gone is opened again."""

CameraState = Literal["off", "opening", "on", "waiting"]


class CameraRefused(VisavisError):
    """Not now: it is on already, or it is off."""


class CameraInfo(BaseModel):
    state: CameraState
    here: bool = True
    """Whether there can be one at all: only where the server is on its user's own machine."""
    camera: str | None = None
    """Its name, as programs list it."""
    microphone: str | None = None
    """Name of the virtual microphone, as programs list it."""
    size: tuple[int, int] | None = None
    """Width and height of the camera, px."""
    session: str | None = None
    """Whose picture it shows; null: the last one's, standing still."""
    delay_ms: float | None = None
    """From a sound's arrival to picture and voice in the virtual devices."""
    least_delay_ms: float | None = None
    """What may be asked for, at least."""
    holds_delay: bool = False
    """Whether it was asked for; otherwise it grows where this machine turns out to be too slow for it."""
    privacy: bool = False
    """Whether a still is shown, and nothing heard."""
    fps: float | None = None
    repeated: int = 0
    """Pictures shown again because the next was not there in time."""
    missing_ms: float = 0.0
    """Of the voice, silent because it was not there in time."""
    reason: str | None = None
    """Why it waits, or why there can be none here: what is missing, and the command that adds it."""
    remarks: list[str] = []
    """What may keep some programs from seeing it."""


class VirtualCamera:
    """Of one server. All its methods but `open`, `close` and `set_privacy` return at once."""

    def __init__(self) -> None:
        self._state: CameraState = "off"
        self._set_up: CameraSetUp | None = None
        self._size = (0, 0)
        self._process: CameraProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._source: _CameraSink | None = None
        self._after_s = AFTER_S
        self._delay_s: float | None = None
        self._is_private = False
        self._still: Still | None = None
        self._report: CameraReport | None = None
        self._missing_before = 0
        self._reason: str | None = None
        self._name: str | None = None

    @property
    def is_off(self) -> bool:
        return self._state == "off"

    async def open(self, set_up: CameraSetUp, size: tuple[int, int], delay_s: float | None = None) -> None:
        """Open both devices; `size` is width and height, px, even. Raises DeviceUnavailable, BadInput, CameraRefused (it is on)."""
        if self._task is not None:
            raise CameraRefused("the virtual camera is on already")
        self._after_s = AFTER_S
        self._set_up, self._size, self._delay_s = set_up, size, self._checked(delay_s)
        self._report, self._missing_before = None, 0
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(opened))
        try:
            await opened
        except VisavisError:
            await self.close()
            raise

    async def close(self) -> None:
        """Let programs see the camera no more; may be called twice."""
        if self._source is not None:
            self._source.leave()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._state, self._name, self._reason = "off", None, None

    # ---- what is shown

    def show(self, performance: Performance) -> None:
        """Show this performance from now on, in place of the last one. Raises CameraRefused where it has ended."""
        if performance.is_over:
            raise CameraRefused("the session has ended")
        if self._source is not None:
            self._source.leave()
        self._source = _CameraSink(performance, self._put, self._left)
        performance.sinks.add(self._source)
        performance.never_shorten_latency()
        self._begin()

    @property
    def shown(self) -> Performance | None:
        return None if self._source is None else self._source.performance

    def set_delay(self, delay_s: float | None) -> None:
        """One constant delay for picture and voice, from a sound's arrival on; None: what this machine needs.

        Raises BadInput, CameraRefused (it is off)."""
        if self.is_off:
            raise CameraRefused("the virtual camera is off")
        self._delay_s = self._checked(delay_s)
        self._hold_delay()

    async def set_privacy(self, is_on: bool, poster: Path | None = None) -> None:
        """On: a still, from an avatar's file where `poster` names one that has it, and silence. Raises CameraRefused (it is off)."""
        if self.is_off:
            raise CameraRefused("the virtual camera is off")
        self._is_private = is_on
        self._tell(SetPrivacy(is_on))
        if is_on and poster is not None and (still := await asyncio.to_thread(read_still, poster)) is not None:
            self._still = still
            self._tell(still)

    @property
    def is_private(self) -> bool:
        return self._is_private

    @property
    def info(self) -> CameraInfo:
        if self._set_up is None or self.is_off:
            return CameraInfo(state="off", privacy=False)
        report, shown = self._report, self.shown
        return CameraInfo(
            state=self._state,
            camera=self._name,
            microphone=MICROPHONE_TITLE if self._set_up.voice == "pulse" else self._set_up.voice_device,
            size=self._size,
            session=None if shown is None else shown.id,
            delay_ms=None if shown is None else round(1000 * (shown.latency_s + self._after_s), 1),
            least_delay_ms=round(1000 * (MIN_HELD_LATENCY_S + self._after_s), 1),
            holds_delay=self._delay_s is not None,
            privacy=self._is_private,
            fps=None if report is None else round(report.fps, 2),
            repeated=0 if report is None else report.repeated,
            missing_ms=0.0 if report is None else round(report.missing_samples / 48, 1),
            reason=self._reason,
            remarks=list(self._set_up.remarks),
        )

    # ---- the devices

    async def _keep(self, opened: asyncio.Future[None]) -> None:
        """Keep them open; whether they could be at first is `opened`'s result."""
        assert self._set_up is not None
        pulse = PulseMicrophone() if self._set_up.voice == "pulse" else None
        self._state = "opening"
        try:
            while True:
                try:
                    if pulse is not None:
                        await asyncio.to_thread(pulse.make)
                    reason = await self._run(opened)
                except DeviceUnavailable as error:
                    reason = str(error)
                if not opened.done():
                    opened.set_exception(DeviceUnavailable(reason))
                    return
                self._state, self._reason = "waiting", reason
                logger.warning("virtual camera: %s; the next try is in %g s", reason, PAUSE_S)
                await asyncio.sleep(PAUSE_S)
        finally:
            if pulse is not None:
                await asyncio.shield(asyncio.to_thread(pulse.remove))

    async def _run(self, opened: asyncio.Future[None]) -> str:
        """One process, to its end; returns why it ended."""
        assert self._set_up is not None
        width, height = self._size
        options = CameraOptions(
            camera=self._set_up.camera,
            device=self._set_up.device,
            title=TITLE,
            width=width,
            height=height,
            voice=self._set_up.voice,
            voice_device=self._set_up.voice_device or SINK,
            after_s=self._after_s,
        )
        process = CameraProcess(options, self._take)
        running = asyncio.create_task(process.run())
        try:
            waited: set[asyncio.Future[Any]] = {running, process.opened}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if process.opened.done() and not process.opened.cancelled():
                self._process, self._state, self._reason = process, "on", None
                self._name = process.opened.result()
                if self._still is not None:
                    self._tell(self._still)
                self._tell(SetPrivacy(self._is_private))
                self._begin()
                if not opened.done():
                    opened.set_result(None)
            return await running or "it has ended"
        finally:
            self._process = None
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    def _begin(self) -> None:
        self._tell(Begin())
        self._missing_before = 0 if self._report is None else self._report.missing_samples
        self._hold_delay()

    def _hold_delay(self) -> None:
        if self._source is not None:
            self._source.performance.hold_latency(None if self._delay_s is None else self._delay_s - self._after_s)

    def _checked(self, delay_s: float | None) -> float | None:
        least_s, most_s = MIN_HELD_LATENCY_S + self._after_s, MAX_HELD_LATENCY_S
        if delay_s is not None and not least_s <= delay_s <= most_s:
            raise BadInput(f"delay_ms {1000 * delay_s:g}: {1000 * least_s:g} to {1000 * most_s:g} is possible, or null")
        return delay_s

    def _take(self, report: CameraReport) -> None:
        self._report = report
        missing = report.missing_samples - self._missing_before
        self._missing_before = report.missing_samples
        if self._source is None or missing < MISSING_SAMPLES:
            return
        if self._delay_s is None and self._after_s < MAX_AFTER_S:
            self._after_s = min(MAX_AFTER_S, self._after_s + AFTER_STEP_S)
            self._tell(SetAfter(self._after_s))
            logger.warning("virtual camera: %.0f ms of the voice came too late; the delay is now 20 ms longer", missing / 48)
        else:
            logger.warning("virtual camera: %.0f ms of the voice came too late", missing / 48)

    def _put(self, media: Media) -> None:
        if self._process is not None:
            self._process.put(media)

    def _left(self, source: _CameraSink) -> None:
        """A performance has ended, or another took its place."""
        if self._source is source:
            self._source = None
            # What its voice would have said next never comes.
            self._tell(Begin())

    def _tell(self, message: Begin | SetAfter | SetPrivacy | Still) -> None:
        if self._process is not None:
            self._process.tell(message)


class _CameraSink:
    """The camera's place among one performance's sinks: the end of the performance does not close the devices."""

    def __init__(self, performance: Performance, put: Callable[[Media], None], left: Callable[[_CameraSink], None]) -> None:
        self.performance = performance
        self._put: Callable[[Media], None] | None = put
        self._left = left

    def put(self, media: Media) -> None:
        """See `sinks.sink`."""
        if self._put is not None:
            self._put(media)

    def leave(self) -> None:
        """Nothing more of this performance is shown."""
        self._put = None
        self._left(self)
        self.performance.hold_latency(None)
        self.performance.sinks.remove(self)

    async def aclose(self) -> None:
        self._put = None
        self._left(self)


def read_still(path: Path) -> Still | None:
    """An avatar's poster; None where it has none."""
    import numpy as np

    poster = read_poster(path)
    if poster is None:
        return None
    poster = np.ascontiguousarray(poster[: poster.shape[0] // 2 * 2, : poster.shape[1] // 2 * 2])
    height, width = poster.shape[:2]
    planes = np.empty(i420_bytes(width, height), np.uint8)
    i420_writer()(poster, planes)
    return Still(planes, width, height)
