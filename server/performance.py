"""A performance: what is said comes in, and an avatar says it, as pictures and voice on one time line.

It knows nothing of how the sound arrives (a WebRTC microphone, a program, text) nor of who watches. Sound is numbered and freed of gaps
(`microphone`), kept for the voice (`voice_delay`) and sent to the render worker. Pictures come back through shared memory. Picture k and
the voice of its time are drawn once, at one absolute time of one clock (`timeline`), and handed to all sinks (`sinks`). Whatever fails
here ends this performance and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import statistics
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.emotion import Emotion
from renderer.errors import BadInput, VisavisError
from renderer.types import DEFAULT_REFINE_WEIGHT, FPS
from renderer.view import View
from server.backgrounds import cover
from server.camera_follow import CameraFollow, FollowUnavailable
from server.guarded_tasks import GuardedTasks
from server.latency import LatencyGovernor
from server.media import FRAME_SAMPLES, PACKET_SAMPLES, TimedPicture, VoicePacket
from server.messages import Error, Ping, Pong, Say, Set, State, Stats, StopSaying
from server.microphone import Microphone
from server.narrator import Narrator
from server.pictures import PictureQueue
from server.sinks.fan_out import FanOut
from server.speech_queue import SpeechQueue
from server.timeline import VOICE_RATE_HZ, SessionTimeline
from server.voice_delay import VoiceDelay
from server.worker_messages import Backdrop, ChangeSession, OpenSession, Seen, Sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jaxtyping import Int16

    from server.avatar_library import AvatarLibrary
    from server.backgrounds import Backgrounds
    from server.camera_picture import CameraPicture
    from server.messages import ErrorCode, FollowState, ServerMessage
    from server.metrics import Metrics
    from server.microphone import SoundBlock
    from server.render_process import RenderProcess
    from server.text_to_speech import TextToSpeech
    from server.tracker_process import TrackerProcess
    from server.worker_messages import AvatarChosen, AvatarRefused, FrameReady

logger = logging.getLogger(__name__)

MICROPHONE_TIMEOUT_S = 1.0
"""Without a sound of it for so long the performance begins in silence."""
SETTLING_S = 0.3
"""How long the first packets are listened to before anything leaves: they come in a burst."""
STATS_PERIOD_S = 1.0
VOICE_SPARE_S = 1.0
"""Voice kept beyond the longest latency, so that a slow loop, or a longer latency, finds it still there."""
VOICE_LEAD_S = 0.045
"""The voice is given away this much before its time, for its way through a browser is so much longer than a picture's: Chromium keeps 40 to
60 ms of it and reckons 30 ms for its sound output, and shows a picture 10 to 20 ms after its encoding. With less of a lead its lip sync
holds the pictures back for the voice, with 15 ms by up to 50 ms, and lets go only beyond 30 ms; with 60 ms the voice is 30 ms ahead."""
LEVEL_DECAY = 0.8
"""Of the level shown, a packet of 20 ms."""
SPEAKING_LEVEL = 0.01
"""Of a packet's root mean square from which on somebody speaks: −40 dB of full scale."""
FULL_SCALE = 32768.0
MIN_HELD_LATENCY_S, MAX_HELD_LATENCY_S = 0.1, 2.0
"""Of a latency that is asked for while a performance runs."""
MAX_CAMERA_DELAY_S, MAX_CAMERA_LEAD_S = 1.0, 0.2
"""How far a picture of the speaker's camera may lie behind or before the sound that is heard now."""


@dataclass(frozen=True)
class PerformancePlan:
    """What the server decided about a performance before it begins."""

    avatar: str
    size: int
    stride: int
    """Every so many-th frame is shown."""
    latency_ms: float
    adapts_latency: bool
    """Whether the latency follows what the pictures need."""
    sound_needed: int
    """See `worker_messages.Ready`."""
    aspect: float
    """Of the picture: width divided by height."""


class Performance:
    """Owns one avatar's speaking and the sinks that it goes to; `aclose` gives everything back."""

    def __init__(
        self,
        plan: PerformancePlan,
        render: RenderProcess,
        library: AvatarLibrary,
        backgrounds: Backgrounds,
        metrics: Metrics,
        on_end: Callable[[Performance], None],
        engine: TextToSpeech,
        tracker: TrackerProcess,
    ) -> None:
        """`on_end` is called once, when the performance ended by itself; `engine` speaks the texts that it is told to say; `tracker` finds
        the user's face where the avatar is to follow it."""
        self.id = secrets.token_hex(8)
        self.plan = plan
        self.sinks = FanOut()
        self._render, self._library, self._metrics, self._backgrounds = render, library, metrics, backgrounds
        self._on_end = on_end
        self._listeners: list[Callable[[ServerMessage], None]] = []
        self._number, self._region = render.reserve()
        self._pictures = PictureQueue(render.ring, self._region)
        name = library.name(plan.avatar)
        self._state = State(
            avatar=name, voice=True, smoothing=0.0, omega=DEFAULT_REFINE_WEIGHT, size=plan.size, emotional=library.is_emotional(name)
        )
        self._follow = CameraFollow(
            tracker,
            on_seen=lambda sighting: render.send(Seen(self._number, sighting)),
            on_change=self._follow_changed,
        )
        self._state = self._state.model_copy(update={"follow": self._follow.state})
        latency_s = plan.latency_ms / 1000
        self._timeline = SessionTimeline(time.monotonic(), latency_s)
        self._microphone = Microphone(self._timeline, plan.sound_needed)
        self._governor = LatencyGovernor(latency_s) if plan.adapts_latency else None
        self._held_latency_s: float | None = None
        self._voice = VoiceDelay(int((max(latency_s, MAX_HELD_LATENCY_S) + VOICE_SPARE_S) * VOICE_RATE_HZ))
        self.speech = SpeechQueue()
        """Sound to be spoken in place of the microphone's."""
        self._narrator = Narrator(engine, self.speech, self._notify)
        self._heard = asyncio.Event()
        self._is_playing = False
        self._has_begun = False
        self._level = 0.0
        self.last_spoken_s = -math.inf
        """When somebody was last heard speaking, in local monotonic time."""
        self._render_ms: deque[float] = deque(maxlen=FPS)
        self._new_frames = 0
        self._tasks = GuardedTasks(f"performance {self.id}", lambda reason: self.end("internal", reason))
        self._ended = False

    # ---- beginning and end

    async def open(self) -> None:
        """Have the worker get ready. Raises VisavisError where the avatar cannot be shown."""
        opening = OpenSession(
            session=self._number,
            region=self._region,
            avatar=self.plan.avatar,
            size=self.plan.size,
            smoothing=self._state.smoothing,
            omega=self._state.omega,
            seed=self._number,
            start_s=self._timeline.first_presentation_s,
        )
        await self._render.open_session(opening, self)

    def play(self, expects_sound: bool = True) -> None:
        """Sample 0 is now. `expects_sound`: wait a moment for a microphone, to learn its time, before anything leaves."""
        if self._is_playing or self._ended:
            return
        self._is_playing = True
        self._timeline.start(time.monotonic())
        self._tasks.spawn(self._begin(expects_sound))

    @property
    def is_playing(self) -> bool:
        """Whether `play` was called: sound before that is not heard."""
        return self._is_playing

    @property
    def is_over(self) -> bool:
        return self._ended

    @property
    def size(self) -> int:
        """Height of the picture in px."""
        return self.plan.size

    @property
    def state(self) -> State:
        return self._state

    @property
    def latency_s(self) -> float:
        """From the arrival of a sound to the time of its picture and its voice."""
        return self._timeline.latency_s

    def hold_latency(self, latency_s: float | None) -> None:
        """Keep this latency from now on, gone to smoothly; None: what the plan says, or what the pictures need.

        Raises BadInput outside of `MIN_HELD_LATENCY_S` to `MAX_HELD_LATENCY_S`."""
        if latency_s is not None and not MIN_HELD_LATENCY_S <= latency_s <= MAX_HELD_LATENCY_S:
            raise BadInput(f"latency {1000 * latency_s:g} ms: {1000 * MIN_HELD_LATENCY_S:g} to {1000 * MAX_HELD_LATENCY_S:g} is possible")
        self._held_latency_s = latency_s
        free_s = self._governor.latency_s if self._governor is not None else self.plan.latency_ms / 1000
        self._timeline.wanted_latency_s = free_s if latency_s is None else latency_s

    def never_shorten_latency(self) -> None:
        """For somebody to whom a delay that moves is worse than a long one: it may only grow, where pictures are late."""
        if self._governor is not None:
            self._governor.may_shorten = False

    @property
    def queue_length(self) -> int:
        """Pictures that wait for their time."""
        return len(self._pictures)

    def listen(self, listener: Callable[[ServerMessage], None]) -> Callable[[], None]:
        """Have every message about this performance; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    async def aclose(self) -> None:
        """Free everything, sinks too; may be called twice."""
        self._ended = True
        self._follow.close()
        self._render.release(self._number)
        await self._tasks.cancel()
        await self._narrator.aclose()
        await self.sinks.aclose()

    def end(self, code: ErrorCode | None = None, message: str = "") -> None:
        """It is over from within, or because whoever it is for is gone."""
        if self._ended:
            return
        self._ended = True
        if code is not None:
            self._notify(Error(code=code, message=message))
        self._on_end(self)

    def _notify(self, message: ServerMessage) -> None:
        for listener in list(self._listeners):
            listener(message)

    async def _begin(self, expects_sound: bool) -> None:
        """Listen for a moment to learn the microphone's time, then let pictures and voice go."""
        if expects_sound:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._heard.wait(), MICROPHONE_TIMEOUT_S)
                await asyncio.sleep(SETTLING_S)
        self._timeline.settle()
        # The first to be presented is the beginning of a frame that is shown.
        period = FRAME_SAMPLES * self.plan.stride
        first = max(0, -(-self._timeline.sample_at(time.monotonic() - self._timeline.latency_s) // period) * period)
        self._has_begun = True
        self._tasks.spawn(self._show(first))
        self._tasks.spawn(self._speak(first))
        self._notify(self._state)
        await self._report()

    # ---- sound in

    def hear(self, pts: int, samples: Int16[np.ndarray, " n"]) -> None:
        """Sound that has just arrived, 48 kHz; `pts` is its place on the source's own time line, in samples, without wrapping."""
        if not self._is_playing:
            return
        self._heard.set()
        level, now_s = _root_mean_square(samples), time.monotonic()
        self._level = max(LEVEL_DECAY * self._level, level)
        if level > SPEAKING_LEVEL:
            self.last_spoken_s = now_s
        for block in self._microphone.push(pts, samples, now_s):
            self._pass_on(block)

    def see(self, picture: CameraPicture, pts: int | None = None, captured_s: float | None = None) -> None:
        """A picture of the speaker's camera, for an avatar that follows it (`Set.follow`); else it is forgotten.

        It belongs to the sound of its moment, told by one of two: `pts` on the time line of `hear`, or `captured_s`, the local monotonic
        time at which a sound of that moment is heard here. Without either, or where what is told cannot be, the moment is now."""
        if not self._is_playing or not self._follow.is_on:
            return
        now_s = time.monotonic()
        heard = self._timeline.sample_at(now_s)
        sample = self._microphone.sample_of(pts) if pts is not None else None
        if sample is None and captured_s is not None:
            sample = self._timeline.sample_at(captured_s)
        if sample is None or not heard - MAX_CAMERA_DELAY_S * VOICE_RATE_HZ <= sample <= heard + MAX_CAMERA_LEAD_S * VOICE_RATE_HZ:
            sample = heard
        self._follow.see(picture, sample)

    def _pass_on(self, block: SoundBlock) -> None:
        if block.is_late:
            if not self.speech.waiting_s:
                self._voice.amend(block.first_sample, block.samples)
            return
        block = self.speech.spoken(block)
        self._voice.write(block.first_sample, block.samples)
        self._render.send(Sound(self._number, block.first_sample, block.samples.tobytes(), self._timeline.first_presentation_s))

    # ---- pictures and voice out

    async def _show(self, first_sample: int) -> None:
        frame, stride = first_sample // FRAME_SAMPLES, self.plan.stride
        while True:
            presented_s, late_s = await self._wait_for(frame * FRAME_SAMPLES)
            # After a stall of the loop the frames whose time is over are left out.
            missed = int(late_s * FPS / stride) * stride
            frame += missed
            # None before the first: the worker may have left out this frame, and the next ones tell.
            if (picture := self._pictures.show(frame)) is not None:
                self._metrics.count_frame(is_late=picture.frame != frame)
                self.sinks.put(TimedPicture(frame, picture.planes, picture.width, picture.height, presented_s + missed / FPS))
            frame += stride

    async def _speak(self, first_sample: int) -> None:
        """No packet is left out, for their count is the clock."""
        first = first_sample
        while True:
            presented_s, _ = await self._wait_for(first, VOICE_LEAD_S)
            self.sinks.put(VoicePacket(first, self._voice.read(first, PACKET_SAMPLES), presented_s))
            first += PACKET_SAMPLES

    async def _wait_for(self, sample: int, lead_s: float = 0.0) -> tuple[float, float]:
        """Return at the presentation time of a sample, or earlier by `lead_s`: that time, and how late it is, in s."""
        for block in self._microphone.tick(time.monotonic()):
            self._level *= LEVEL_DECAY
            self._pass_on(block)
        self._timeline.approach_latency(time.monotonic())
        presented_s = self._timeline.presentation_time(sample)
        return presented_s, await sleep_until(presented_s - lead_s)

    # ---- news of the render worker (FrameListener)

    def frame_ready(self, message: FrameReady) -> None:
        self._render_ms.append(message.render_ms)
        self._metrics.observe_render(message.render_ms)
        if not self._pictures.add(message):
            return
        if self._governor is not None and self._has_begun:
            self._governor.observe(self._timeline.presentation_time(message.frame * FRAME_SAMPLES) - time.monotonic())
            if self._held_latency_s is None:
                self._timeline.wanted_latency_s = self._governor.latency_s
        self._new_frames += 1

    def avatar_chosen(self, message: AvatarChosen) -> None:
        name = self._library.name(message.avatar)
        self._change_state(avatar=name, emotional=self._library.is_emotional(name), loading=None)

    def avatar_refused(self, message: AvatarRefused) -> None:
        self._notify(Error(code="unknown_avatar", message=message.message))
        self._change_state(loading=None)

    def render_failed(self, message: str) -> None:
        logger.error("performance %s: %s", self.id, message)
        self.end("internal", "the avatar can no longer be rendered; start again")

    # ---- control

    def say(self, text: str) -> None:
        """Have a text spoken after those that wait. Raises TooMuchToSay, SpeechFailed."""
        self._narrator.say(text)

    def stop_saying(self) -> None:
        """Interrupt what is said in the microphone's place, and forget what waits."""
        self._narrator.stop()

    def control(self, message: Set | Ping | Say | StopSaying, reply: Callable[[ServerMessage], None]) -> None:
        """Act on a control message, by whichever way it came; `reply` answers by the same."""
        if isinstance(message, Ping):
            reply(Pong(t=message.t))
            return
        if isinstance(message, StopSaying):
            self.stop_saying()
            return
        if isinstance(message, Say):
            try:
                self.say(message.text)
            except VisavisError as error:
                reply(Error(code="speech_failed", message=str(error)))
            return
        # A background that is not there changes nothing at all.
        backdrop: Backdrop | None = None
        if message.background is not None and message.background != self._state.background:
            try:
                backdrop = self._backdrop(message.background)
            except BadInput as error:
                reply(Error(code="unknown_background", message=str(error)))
                return
        if message.avatar is not None and message.avatar != (self._state.loading or self._state.avatar):
            try:
                path = str(self._library.path(message.avatar))
            except VisavisError as error:
                reply(Error(code="unknown_avatar", message=str(error)))
                return
            self._render.send(ChangeSession(self._number, avatar=path))
            self._state = self._state.model_copy(update={"loading": message.avatar})
        if message.follow is not None:
            try:
                self._follow.turn(message.follow)
            except FollowUnavailable as error:
                reply(Error(code="follow_unavailable", message=str(error)))
        view = None if message.view is None else View(message.view.yaw_deg, message.view.pitch_deg, message.view.zoom)
        emotion = None if message.emotion is None else Emotion(message.emotion.category, message.emotion.strength)
        change = ChangeSession(
            self._number,
            smoothing=message.smoothing,
            omega=message.omega,
            view=view,
            backdrop=backdrop,
            fade=message.fade,
            emotion=emotion,
            emotion_auto=message.emotion_auto,
            follow=None if message.follow is None else self._follow.is_on,
            straighten=message.straight_ahead,
        )
        if change != ChangeSession(self._number):
            self._render.send(change)
        kept = ("voice", "smoothing", "omega", "view", "background", "fade", "emotion", "emotion_auto")
        changes = {name: value for name in kept if (value := getattr(message, name)) is not None}
        self._change_state(**changes, follow=self._follow.state)

    def _follow_changed(self, state: FollowState) -> None:
        if not state.on:
            self._render.send(ChangeSession(self._number, follow=False))
        self._change_state(follow=state)

    def _backdrop(self, name: str) -> Backdrop:
        """Raises BadInput where there is no such background."""
        picture = self._backgrounds.picture(name)
        return Backdrop(None if picture is None else cover(picture, self.plan.aspect))

    def _change_state(self, **changes: Any) -> None:
        self._state = self._state.model_copy(update=changes)
        self._notify(self._state)

    async def _report(self) -> None:
        """The figures, once a second."""
        last_s, last_frames = time.monotonic(), self._new_frames
        while True:
            await asyncio.sleep(STATS_PERIOD_S)
            self._follow.tick()
            now_s, frames = time.monotonic(), self._new_frames
            self._notify(
                Stats(
                    fps=round((frames - last_frames) / (now_s - last_s), 2),
                    late_percent=round(100 * self._pictures.late_share, 2),
                    latency_ms=round(1000 * self._timeline.latency_s, 1),
                    queue=len(self._pictures),
                    render_ms=round(statistics.median(self._render_ms), 2) if self._render_ms else 0.0,
                    audio_level=round(self._level, 4),
                )
            )
            last_s, last_frames = now_s, frames


async def sleep_until(deadline_s: float) -> float:
    """Sleep to a time of the loop's monotonic clock; returns how late it is then, in s."""
    loop = asyncio.get_running_loop()
    delay_s = deadline_s - loop.time()
    if delay_s > 0:
        await asyncio.sleep(delay_s)
    return max(0.0, loop.time() - deadline_s)


def _root_mean_square(samples: Int16[np.ndarray, " n"]) -> float:
    if not len(samples):
        return 0.0
    values = samples.astype(np.float32)
    return math.sqrt(float(values @ values) / len(values)) / FULL_SCALE
