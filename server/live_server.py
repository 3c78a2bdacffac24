"""The server's heart without its HTTP face: the render worker, the sessions, and who gets a place.

aiortc is imported when the worker's process already runs: it takes as long to load as the worker takes for its own start.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING

from renderer import __version__
from renderer.errors import BadInput, VisavisError
from renderer.types import FPS
from server.avatar_library import AvatarLibrary
from server.backgrounds import Backgrounds
from server.edit_jobs import EditJobs
from server.frame_ring import RingLayout
from server.messages import Hello
from server.metrics import Metrics, resident_bytes
from server.pauses import prepare_for_sessions
from server.render_process import RenderProcess
from server.shelf_feed import ShelfFeed
from server.sinks.publication import Publications
from server.sinks.recording import RecordingLimits, Recordings
from server.sizing import CANDIDATE_SIZES_PX, affordable_sessions, automatic_latency_ms
from server.text_to_speech import TextToSpeech
from server.tracker_process import TrackerProcess
from server.virtual_camera.call import Call
from server.virtual_camera.terminal_keys import HELP, describe
from server.worker_messages import Preload, WorkerOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.messages import Answer, Offer, ServerMessage
    from server.performance import Performance
    from server.session import Session
    from server.settings import ServerSettings
    from server.sinks.publication import Publication
    from server.sinks.recording import Recording
    from server.worker_messages import Ready

logger = logging.getLogger(__name__)

MAX_AUTOMATIC_SESSIONS = 16
MAX_ASPECT = 2
"""Widest picture, as a multiple of its height, that the shared memory has room for."""
RESTART_PAUSE_S = 1.0
MAX_RESTARTS = 3
RESTART_WINDOW_S = 60.0


class ServerBusy(VisavisError):
    """All places are taken."""


class NotReady(VisavisError):
    """The render worker is still loading, or starting again."""


class UnknownPerformance(VisavisError):
    """There is none of that id, or it has ended."""


class LiveServer:
    """Start it, open sessions, close it."""

    def __init__(self, settings: ServerSettings) -> None:
        """Raises VisavisError where the avatar is not usable."""
        self.settings = settings
        self.library = AvatarLibrary(settings.avatar, settings.shelf)
        self.backgrounds = Backgrounds()
        self.feed = ShelfFeed(self.library)
        self.edits = EditJobs(settings.shelf, self.library, self.feed.announce, settings.edit_threads)
        self.metrics = Metrics()
        self.recordings = Recordings(
            settings.recordings_folder, RecordingLimits(60 * settings.recording_minutes, int(1e6 * settings.recording_mb))
        )
        self.publications = Publications(settings.ice)
        self.speech_engine = TextToSpeech(settings.speech_command)
        self.call = Call(self)
        """The virtual camera, and who is shown through it."""
        if settings.virtual_camera is not None:
            self.call.check(settings.microphone)
        if settings.say is not None and self.speech_engine.missing is not None:
            raise VisavisError(self.speech_engine.missing)
        self.face_tracker = TrackerProcess()
        self.ready: Ready | None = None
        self.failure: VisavisError | None = None
        """Why the server cannot go on; set together with `failed`."""
        self.failed = asyncio.Event()
        self._became_ready = asyncio.Event()
        self._performances: dict[str, Performance] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._render: RenderProcess | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._preloader: asyncio.Task[None] | None = None
        self._sayer: asyncio.Task[None] | None = None
        self._caller: asyncio.Task[None] | None = None
        self._add_gauges()

    async def start(self) -> None:
        """Start the worker's process; `wait_ready` waits until it has loaded everything."""
        for name in await asyncio.to_thread(self.recordings.name_unfinished):
            logger.info("a recording that was not finished plays: %s", name)
        self._render = RenderProcess(self._worker_options())
        await self._render.spawn()
        self.edits.start()
        self.feed.start()
        self._preloader = asyncio.create_task(self._preload_new())
        self._keeper = asyncio.create_task(self._keep_rendering(self._render))
        if self.settings.virtual_camera is not None:
            self._caller = asyncio.create_task(self._call_at_start())
        elif self.settings.say is not None:
            self._sayer = asyncio.create_task(self._say_at_start(self.settings.say))

    async def _say_at_start(self, text: str) -> None:
        """In a session of its own, which stays for viewers and more texts."""
        await self.wait_ready()
        try:
            performance = await self.open_performance()
            performance.say(text)
        except VisavisError as error:
            self._fail(error)

    async def _call_at_start(self) -> None:
        """With this machine's own microphone, for as long as the server runs; what `say` gives is said there."""
        await self.wait_ready()
        try:
            info = await self.call.begin()
            if self.settings.say is not None and self.call.shown is not None:
                self.call.shown.say(self.settings.say)
        except VisavisError as error:
            self._fail(error)
            return
        print(describe(info), HELP, sep="\n", file=sys.stderr, flush=True)

    async def aclose(self) -> None:
        """End every session, the edit that runs, the worker and its memory."""
        for task in (self._caller, self._sayer, self._keeper, self._preloader):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.call.end()
        await self.feed.aclose()
        await self.edits.aclose()
        for performance in self.performances:
            self._finish(performance)
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self.face_tracker.aclose()
        if self._render is not None:
            await self._render.stop()

    # ---- the worker

    async def _keep_rendering(self, render: RenderProcess) -> None:
        """Wait for the worker, and start it again when it ends unexpectedly, but not for ever."""
        starts = [time.monotonic()]
        while True:
            try:
                self.ready = await render.wait_ready()
            except VisavisError as error:
                self._fail(error)
                return
            logger.info("%s", self.ready.words)
            if self.ready.stride > 1:
                logger.warning("this machine is too slow for 25 frames a second: %g are shown", self.fps)
            from server.media_limits import set_bitrates

            set_bitrates(self.ready.width * self.ready.size)
            prepare_for_sessions()
            self._became_ready.set()
            await render.ended.wait()
            self.ready = None
            self._became_ready.clear()
            await render.stop()
            if len(starts) > MAX_RESTARTS:
                self._fail(VisavisError(f"the render worker ended {len(starts)} times within {RESTART_WINDOW_S:g} s"))
                return
            await asyncio.sleep(RESTART_PAUSE_S)
            starts = [start for start in starts if time.monotonic() - start < RESTART_WINDOW_S] + [time.monotonic()]
            render = self._render = RenderProcess(self._worker_options())
            try:
                await render.spawn()
            except VisavisError as error:
                self._fail(error)
                return

    def _fail(self, error: VisavisError) -> None:
        self.failure = error
        self.failed.set()

    def _worker_options(self) -> WorkerOptions:
        largest = self.settings.size or CANDIDATE_SIZES_PX[0]
        layout = RingLayout(self.settings.max_sessions or MAX_AUTOMATIC_SESSIONS, largest * largest * MAX_ASPECT)
        return WorkerOptions(
            avatar=str(self.library.path(None)),
            encoder=self.settings.encoder,
            backend=self.settings.backend,
            size=self.settings.size,
            threads=self.settings.render_threads,
            regions=layout.regions,
            max_pixels=layout.max_pixels,
            log_level=self.settings.log_level.upper(),
        )

    async def wait_ready(self) -> None:
        await self._became_ready.wait()

    # ---- sessions

    @property
    def max_sessions(self) -> int:
        if self.settings.max_sessions is not None or self.ready is None:
            return self.settings.max_sessions or 1
        return min(MAX_AUTOMATIC_SESSIONS, affordable_sessions(self.ready))

    @property
    def n_sessions(self) -> int:
        return len(self._performances)

    @property
    def fps(self) -> float:
        return FPS / (self.ready.stride if self.ready else 1)

    @property
    def is_full(self) -> bool:
        """Whether a session must end before another can begin."""
        return len(self._performances) + len(self._closing) >= self.max_sessions

    @property
    def latency_ms(self) -> float:
        if self.settings.latency_ms is not None:
            return self.settings.latency_ms
        if self.ready is None:
            raise NotReady("the server is still loading")
        return automatic_latency_ms(self.ready, self.library.more_look_ahead_ms(), self.max_sessions)

    def hello(self) -> Hello:
        if self.ready is None:
            raise NotReady("the server is still loading")
        return Hello(
            version=__version__,
            avatars=self.library.infos(),
            default_avatar=self.library.default_name,
            size=self.ready.size,
            fps=self.fps,
            busy=len(self._performances) >= self.max_sessions,
            ice_servers=self.settings.ice.current(),
        )

    async def open_session(
        self, offer: Offer, notify: Callable[[ServerMessage], None], on_end: Callable[[Session], None]
    ) -> tuple[Session, Answer]:
        """A performance for somebody with a WebRTC connection. Raises ServerBusy, NotReady, BadInput (unknown avatar), SdpError,
        VisavisError."""
        from server.session import Session

        performance = await self._make_performance(offer.avatar, offer.size, lambda _: on_end(session))
        session = Session(performance, self.metrics, notify, self.settings.ice)
        try:
            answer = await session.answer(offer)
        except BaseException:
            self._finish(performance)
            raise
        self._has_opened(performance)
        return session, answer

    async def open_performance(
        self,
        avatar: str | None = None,
        size: int | None = None,
        on_end: Callable[[Performance], None] = lambda _: None,
        plays: bool = True,
    ) -> Performance:
        """A performance that plays at once and belongs to nobody's connection; it is silent until somebody lets it hear something.

        Raises ServerBusy, NotReady, BadInput (unknown avatar), VisavisError. `on_end`: it ended by itself. `plays`: if not, whoever
        brings the sound calls `play` when it comes."""
        performance = await self._make_performance(avatar, size, on_end)
        try:
            await performance.open()
        except BaseException:
            self._finish(performance)
            raise
        if plays:
            performance.play(expects_sound=False)
        self._has_opened(performance)
        return performance

    async def _make_performance(self, avatar: str | None, size: int | None, on_end: Callable[[Performance], None]) -> Performance:
        """Take a place."""
        if self.is_full and self._closing:
            # Whoever comes back at once (a page that reloads) finds the place that is just being freed.
            await asyncio.wait(self._closing)
        if self.ready is None or self._render is None:
            raise NotReady("the server is still loading; try again in a moment")
        if self.is_full:
            self.metrics.sessions_refused.inc()
            raise ServerBusy(f"all {self.max_sessions} places of this server are taken; try again later")
        from server.performance import Performance, PerformancePlan

        plan = PerformancePlan(
            avatar=str(self.library.path(avatar)),
            size=self._size(size),
            stride=self.ready.stride,
            latency_ms=self.latency_ms,
            adapts_latency=self.settings.latency_ms is None,
            sound_needed=self.ready.sound_needed,
            aspect=self.ready.width / self.ready.size,
        )

        def ended(performance: Performance) -> None:
            self.metrics.sessions_failed.inc()
            self._finish(performance)
            on_end(performance)

        performance = Performance(
            plan, self._render, self.library, self.backgrounds, self.metrics, ended, self.speech_engine, self.face_tracker
        )
        self._performances[performance.id] = performance
        return performance

    def _has_opened(self, performance: Performance) -> None:
        self.metrics.sessions_started.inc()
        self._preload(performance.size)
        for url in self.settings.publish:
            if not self.publications.runs(url):
                self.publish(performance, url)
        self.call.offer(performance)

    # ---- where they go

    def publish(self, performance: Performance, url: str) -> Publication:
        """Send a performance to a stream server until one of both ends. Raises BadInput."""
        publication = self.publications.make(url, performance.id)
        performance.sinks.add(publication)
        publication.start(performance.sinks.remove)
        return publication

    def record(self, performance: Performance, container: str) -> Recording:
        """Record a performance to a file of the recordings' folder. Raises RecordingRefused, NoRoom, BadInput."""
        recording = self.recordings.make(container, performance.id, performance.state.avatar)
        performance.sinks.add(recording)
        recording.start(performance.sinks.remove)
        return recording

    @property
    def performances(self) -> list[Performance]:
        """All that run, the oldest first."""
        return list(self._performances.values())

    def performance(self, name: str) -> Performance:
        """By its id. Raises UnknownPerformance."""
        try:
            return self._performances[name]
        except KeyError:
            raise UnknownPerformance(f"no session {name!r} runs here") from None

    @property
    def speaking(self) -> Performance:
        """The one in which somebody spoke last; where nobody has spoken yet, the newest. Raises UnknownPerformance where none plays."""
        playing = [performance for performance in reversed(self.performances) if performance.is_playing and not performance.is_over]
        if not playing:
            raise UnknownPerformance("nobody speaks here now")
        return max(playing, key=lambda performance: performance.last_spoken_s)

    def _preload(self, size: int) -> None:
        """Have the shelf's avatars ready for a swap."""
        if self._render is not None:
            self._render.send(Preload(tuple(str(self.library.path(info.name)) for info in self.library.infos()), size))

    async def _preload_new(self) -> None:
        """Whenever the shelf has something new, for the sessions that run."""
        with self.feed.listen() as listener:
            known = self.library.files()
            while True:
                await listener.news()
                if (files := self.library.files()) != known:
                    known = files
                    for size in {performance.size for performance in self.performances}:
                        self._preload(size)

    def close_session(self, session: Session) -> None:
        """Give its place back; returns at once, the place is free when all is freed."""
        self._finish(session.performance)

    def close_performance(self, performance: Performance) -> None:
        """See `close_session`."""
        self._finish(performance)

    def _finish(self, performance: Performance) -> None:
        if self._performances.pop(performance.id, None) is None:
            return
        task = asyncio.create_task(performance.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a session did not close cleanly", exc_info=error)

    def _size(self, wished: int | None) -> int:
        assert self.ready is not None
        if wished is None:
            return self.ready.size
        if wished <= 0:
            raise BadInput(f"size {wished}: a positive number of pixels was expected")
        possible = [size for size in CANDIDATE_SIZES_PX if size <= min(wished, self.ready.size)]
        return self.ready.size if wished >= self.ready.size else max(possible, default=CANDIDATE_SIZES_PX[-1])

    def _add_gauges(self) -> None:
        self.metrics.gauge("sessions", "Sessions that run", lambda: len(self._performances))
        self.metrics.gauge("sessions_max", "Places for sessions", lambda: self.max_sessions)
        self.metrics.gauge("face_pictures", "Pictures of users' cameras looked at", lambda: self.face_tracker.pictures)
        self.metrics.gauge("face_tracking_ms", "Time the last of them took", lambda: self.face_tracker.track_ms or 0.0)
        self.metrics.gauge("pictures_waiting", "Pictures rendered and not yet shown", self._pictures_waiting)
        self.metrics.gauge("media_memory_bytes", "Memory of the media process", lambda: resident_bytes(None))
        self.metrics.gauge("render_memory_bytes", "Memory of the render worker", self._render_memory)
        self.metrics.gauge("sound_dropped_bytes", "Sound the render worker was too slow to take", self._sound_dropped)

    def _pictures_waiting(self) -> int:
        return sum(performance.queue_length for performance in self.performances)

    def _render_memory(self) -> float:
        return resident_bytes(self._render.pid) if self._render and self._render.pid else 0.0

    def _sound_dropped(self) -> float:
        return float(self._render.dropped_sound_bytes) if self._render else 0.0
