"""The virtual camera in use: this machine's own microphone speaks through it, or a page's session does.

With this machine's microphone (`--virtual-camera`) a performance is kept running for as long as the camera is on; whatever ends it, another
begins. With a page's session the camera shows that one, and when it ends stands still until the next session begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import TYPE_CHECKING

from renderer.errors import BadInput, VisavisError
from server.face_tracker import missing_for_tracking
from server.messages import Set, State
from server.virtual_camera.set_up import CameraSetUp, check_microphone, look
from server.virtual_camera.size import automatic_size
from server.virtual_camera.virtual_camera import CameraInfo, CameraRefused, VirtualCamera

if TYPE_CHECKING:
    from server.live_server import LiveServer
    from server.messages import ServerMessage
    from server.performance import Performance
    from server.virtual_camera.local_camera import CameraSource, LocalCamera
    from server.virtual_camera.local_microphone import LocalMicrophone

logger = logging.getLogger(__name__)

RETRY_S = 1.0
BEGIN_TIMEOUT_S = 10.0
"""A place may be taken by others; then it begins when one is free."""


class NotThisMachine(VisavisError):
    """The server is on another machine than whoever asks."""


class Call:
    """One server's."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._camera = VirtualCamera()
        self._microphone: LocalMicrophone | None = None
        self._eyes: LocalCamera | None = None
        """This machine's camera, while the avatar follows it."""
        self._letting_go: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._is_shown = asyncio.Event()
        """A performance with this machine's microphone is shown."""
        self._busy = asyncio.Lock()
        """Whoever begins or ends it."""

    def check(self, microphone: str | None) -> CameraSetUp:
        """Whether this machine has what is needed. Raises NotSetUp, BadInput."""
        settings = self._server.settings
        set_up = look(settings.virtual_camera or "auto", settings.camera_voice)
        check_microphone(microphone)
        if settings.follow_camera is not None:
            self._check_follow(settings.follow_camera)
        return set_up

    @property
    def info(self) -> CameraInfo:
        return self._camera.info

    @property
    def shown(self) -> Performance | None:
        """Whose picture and voice others get."""
        return self._camera.shown

    async def ask(self) -> CameraInfo:
        """How it stands; while it is off, also why it could not be on."""
        if not self._server.settings.is_local:
            return CameraInfo(state="off", here=False)
        info = self.info
        if info.state != "off":
            return info
        try:
            set_up = await asyncio.to_thread(look, self._server.settings.virtual_camera or "auto", self._server.settings.camera_voice)
        except BadInput as error:
            return CameraInfo(state="off", reason=str(error))
        return CameraInfo(state="off", remarks=list(set_up.remarks))

    def check_place(self) -> None:
        """Who asks over the network must be on this machine. Raises NotThisMachine."""
        if not self._server.settings.is_local:
            raise NotThisMachine("the virtual camera is for a server on your own machine, which listens on 127.0.0.1")

    async def begin(self, performance: Performance | None = None) -> CameraInfo:
        """Open the virtual camera and show a performance through it; None: one of its own, with this machine's microphone.

        While it is on, only what is shown is changed. Raises NotSetUp, BadInput, DeviceUnavailable, CameraRefused."""
        async with self._busy:
            if performance is None and self._keeper is not None:
                raise CameraRefused("the virtual camera is on already, with this machine's microphone")
            if self._camera.is_off:
                await self._open()
            if performance is not None:
                await self._stop_listening()
                self._camera.show(performance)
            else:
                try:
                    await self._listen()
                except BaseException:
                    await self._camera.close()
                    raise
            return self.info

    async def end(self) -> CameraInfo:
        """Close the virtual camera; nothing happens where there is none."""
        async with self._busy:
            await self._stop_listening()
            await self._camera.close()
            return self.info

    def offer(self, performance: Performance) -> None:
        """A session has begun: it is shown where the camera is on and shows nobody."""
        if not self._camera.is_off and self._camera.shown is None and self._keeper is None:
            self._camera.show(performance)

    async def change(self, privacy: bool | None, delay_s: float | None, changes_delay: bool) -> CameraInfo:
        """Raises BadInput, CameraRefused (it is off)."""
        if changes_delay:
            self._camera.set_delay(delay_s)
        if privacy is not None:
            await self.set_privacy(privacy)
        return self.info

    async def set_privacy(self, is_on: bool) -> None:
        """See `VirtualCamera.set_privacy`; the still is the poster of the avatar that is shown. Raises CameraRefused."""
        shown = self._camera.shown
        name = None if shown is None else shown.state.avatar
        await self._camera.set_privacy(is_on, self._server.library.path(name))

    # ---- this machine's camera, which is followed

    @property
    def follows(self) -> bool:
        """Whether the avatar follows this machine's camera."""
        return self._eyes is not None

    async def follow(self, on: bool) -> None:
        """Have the avatar that speaks with this machine's microphone follow its camera too, or no more.

        Raises BadInput (no such camera, no tracker), CameraRefused (somebody else's session is shown)."""
        if on == self.follows:
            return
        if not on:
            await self._stop_following()
        else:
            if self._keeper is None:
                raise CameraRefused("only the avatar that speaks with this machine's microphone follows its camera; a page follows its own")
            self._open_eyes(self._check_follow(self._server.settings.follow_camera or "auto"))
        if self._camera.shown is not None:
            self._tell_to_follow(self._camera.shown)

    def _check_follow(self, wish: str) -> CameraSource:
        """Raises BadInput."""
        from server.virtual_camera.local_camera import find_camera

        if (missing := missing_for_tracking()) is not None:
            raise BadInput(missing)
        return find_camera(wish)

    def _open_eyes(self, source: CameraSource) -> None:
        from server.virtual_camera.local_camera import LocalCamera

        self._eyes = LocalCamera(source)

    def _tell_to_follow(self, performance: Performance) -> None:
        performance.control(Set(type="set", follow=self.follows), reply=lambda _: None)
        if self._eyes is not None:
            self._eyes.see = lambda picture, came_s: performance.see(picture, captured_s=came_s)

    def _notice(self, message: ServerMessage) -> None:
        """Of the performance: where it cannot follow, the camera is let go of."""
        if isinstance(message, State) and message.follow.reason is not None and self.follows:
            logger.warning("virtual camera: %s", message.follow.reason)
            self._letting_go = asyncio.create_task(self._stop_following())

    async def _stop_following(self) -> None:
        eyes, self._eyes = self._eyes, None
        if eyes is not None:
            await eyes.aclose()

    # ---- this machine's microphone

    async def _open(self) -> None:
        settings, ready = self._server.settings, self._server.ready
        set_up = await asyncio.to_thread(look, settings.virtual_camera or "auto", settings.camera_voice)
        size = settings.camera_size or automatic_size(ready.size if ready is not None else 0)
        await self._camera.open(set_up, (size.width, size.height), settings.camera_delay_s)
        for remark in set_up.remarks:
            logger.warning("%s", remark)

    async def _listen(self) -> None:
        from server.virtual_camera.local_microphone import LocalMicrophone

        name, followed = self._server.settings.microphone, self._server.settings.follow_camera
        eyes = None if followed is None else self._check_follow(followed)
        source = await asyncio.to_thread(check_microphone, name)
        microphone = LocalMicrophone(name, source)
        await microphone.open()
        self._microphone = microphone
        self._is_shown.clear()
        if eyes is not None:
            self._open_eyes(eyes)
        self._keeper = asyncio.create_task(self._keep(microphone))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._is_shown.wait(), BEGIN_TIMEOUT_S)

    async def _stop_listening(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await self._stop_following()
        microphone, self._microphone = self._microphone, None
        if microphone is not None:
            await microphone.aclose()

    async def _keep(self, microphone: LocalMicrophone) -> None:
        """A performance at any time."""
        said = ""
        while True:
            await self._server.wait_ready()
            ended = asyncio.Event()
            performance: Performance | None = None
            try:
                performance = await self._server.open_performance(on_end=functools.partial(_set, ended), plays=False)
                self._camera.show(performance)
                self._is_shown.set()
                microphone.hear = performance.hear
                performance.listen(self._notice)
                performance.play()
                if self.follows:
                    self._tell_to_follow(performance)
                said = ""
                await ended.wait()
            except VisavisError as error:
                if said != str(error):
                    said = str(error)
                    logger.warning("virtual camera: %s", said)
            finally:
                microphone.hear = None
                if self._eyes is not None:
                    self._eyes.see = None
                if performance is not None:
                    self._server.close_performance(performance)
            await asyncio.sleep(RETRY_S)


def _set(event: asyncio.Event, _: Performance) -> None:
    event.set()
