"""One person's session: a WebRTC connection, the way of its sound in and of its pictures and voice out.

Sound comes in through the microphone's track, is numbered and freed of gaps (`microphone`), kept for the voice (`voice_delay`) and sent
to the render worker. Pictures come back through shared memory. Both leave by one clock (`timeline`, `tracks`). Whatever fails here ends
this session and no other.
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

import av
import numpy as np
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from renderer.emotion import Emotion
from renderer.errors import BadInput, VisavisError
from renderer.types import DEFAULT_REFINE_WEIGHT, FPS
from renderer.view import View
from server.audio_jitter_buffer import install_direct_buffer
from server.backgrounds import cover
from server.latency import LatencyGovernor
from server.media_limits import prefer_codecs
from server.messages import Answer, BadMessage, Error, Offer, Ping, Pong, Set, State, Stats, parse_client_message
from server.microphone import Microphone
from server.pictures import PictureQueue
from server.sender_reports import report_presentation_times
from server.timeline import VOICE_RATE_HZ, SessionTimeline
from server.tracks import FRAME_SAMPLES, Due, PictureTrack, VoiceTrack, sleep_until
from server.voice_delay import VoiceDelay
from server.worker_messages import Backdrop, ChangeSession, OpenSession, Sound

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from aiortc import MediaStreamTrack, RTCDataChannel
    from jaxtyping import Int16

    from server.audio_jitter_buffer import DirectAudioJitterBuffer
    from server.avatar_library import AvatarLibrary
    from server.backgrounds import Backgrounds
    from server.messages import ErrorCode, ServerMessage
    from server.metrics import Metrics
    from server.microphone import SoundBlock
    from server.pictures import Picture
    from server.render_process import RenderProcess
    from server.worker_messages import AvatarChosen, AvatarRefused, FrameReady

logger = logging.getLogger(__name__)

CONTROL_CHANNEL = "control"
CONNECT_TIMEOUT_S = 20.0
MICROPHONE_TIMEOUT_S = 1.0
"""Without a sound of it for so long the session begins in silence."""
SETTLING_S = 0.3
"""How long the first packets are listened to before anything leaves: they come in a burst."""
CLOSE_TIMEOUT_S = 5.0
STATS_PERIOD_S = 1.0
VOICE_SPARE_S = 1.0
"""Voice kept beyond the first latency, so that a slow loop, or a longer latency, finds it still there."""
MAX_MEDIA_SECTIONS = 4
LEVEL_DECAY = 0.8
"""Of the level shown, a packet of 20 ms."""
FULL_SCALE = 32768.0


class SdpError(BadInput):
    """An offer that cannot be answered; the text says why."""


@dataclass(frozen=True)
class SessionPlan:
    """What the server decided about a session before it begins."""

    avatar: str
    size: int
    stride: int
    latency_ms: float
    adapts_latency: bool
    """Whether the latency follows what the pictures need."""
    sound_needed: int
    """See `worker_messages.Ready`."""
    aspect: float
    """Of the picture: width divided by height."""
    ice_servers: tuple[str, ...] = ()


class Session:
    """Owns everything of one session; `aclose` gives it all back."""

    def __init__(
        self,
        plan: SessionPlan,
        render: RenderProcess,
        library: AvatarLibrary,
        backgrounds: Backgrounds,
        metrics: Metrics,
        notify: Callable[[ServerMessage], None],
        on_end: Callable[[Session], None],
    ) -> None:
        """`notify` hands a message to the page; `on_end` is called once when the session ended by itself."""
        self.id = secrets.token_hex(8)
        self.stride = plan.stride
        self._plan, self._render, self._library, self._metrics = plan, render, library, metrics
        self._backgrounds = backgrounds
        self._notify, self._on_end = notify, on_end
        self._number, self._region = render.reserve()
        self._pictures = PictureQueue(render.ring, self._region)
        name = library.name(plan.avatar)
        self._state = State(
            avatar=name, voice=True, smoothing=0.0, omega=DEFAULT_REFINE_WEIGHT, size=plan.size, emotional=library.is_emotional(name)
        )
        latency_s = plan.latency_ms / 1000
        self._timeline = SessionTimeline(time.monotonic(), latency_s)
        self._microphone = Microphone(self._timeline, plan.sound_needed)
        self._governor = LatencyGovernor(latency_s) if plan.adapts_latency else None
        self._voice = VoiceDelay(int((latency_s + VOICE_SPARE_S) * VOICE_RATE_HZ))
        self._jitter_buffer: DirectAudioJitterBuffer | None = None
        self._begun, self._heard, self._first_picture = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._is_connected = False
        self._first_sample = 0
        self._level = 0.0
        self._render_ms: deque[float] = deque(maxlen=FPS)
        self._new_frames = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False
        servers = [RTCIceServer(url) for url in plan.ice_servers]
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))

    # ---- beginning and end

    async def answer(self, offer: Offer) -> Answer:
        """Answer the offer. Raises SdpError, or VisavisError where the avatar cannot be shown."""
        opening = OpenSession(
            session=self._number,
            region=self._region,
            avatar=self._plan.avatar,
            size=self._plan.size,
            smoothing=self._state.smoothing,
            omega=self._state.omega,
            seed=self._number,
            start_s=self._timeline.first_presentation_s,
        )
        await self._render.open_session(opening, self)
        self._peer.on("track", self._on_track)
        self._peer.on("datachannel", self._on_channel)
        self._peer.on("connectionstatechange", self._on_connection_state)
        try:
            sdp = await self._negotiate(offer.sdp)
        except Exception as error:
            # aiortc raises whatever its parser stumbles over.
            raise SdpError(f"the offer cannot be answered: {error or type(error).__name__}") from error
        self._spawn(self._end_if_not_connected())
        return Answer(sdp=sdp, session=self.id, latency_ms=round(self._plan.latency_ms, 1), size=self._plan.size)

    async def _negotiate(self, sdp: str) -> str:
        sections = [line.split()[0] for line in sdp.splitlines() if line.startswith("m=")]
        if "m=video" not in sections:
            raise SdpError("no video section to answer with the picture")
        if len(sections) > MAX_MEDIA_SECTIONS or sections.count("m=video") > 1 or sections.count("m=audio") > 1:
            raise SdpError(f"{len(sections)} media sections; one audio, one video and one data section are served")
        tracks: list[VoiceTrack | PictureTrack] = [PictureTrack(self)]
        if "m=audio" in sections:
            tracks.append(VoiceTrack(self))
        for track in tracks:
            report_presentation_times(self._peer.addTrack(track), track.log)
        # Codecs are chosen inside setRemoteDescription, so preferences come before it.
        for transceiver in self._peer.getTransceivers():
            prefer_codecs(transceiver)
            if transceiver.kind == "video":
                transceiver.direction = "sendonly"
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        for transceiver in self._peer.getTransceivers():
            if transceiver.kind == "audio":
                self._jitter_buffer = install_direct_buffer(transceiver.receiver)
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return str(self._peer.localDescription.sdp)

    @property
    def size(self) -> int:
        """Height of the picture in px."""
        return self._plan.size

    @property
    def queue_length(self) -> int:
        """Pictures that wait for their time."""
        return len(self._pictures)

    async def aclose(self) -> None:
        """Free everything; may be called twice."""
        self._ended = True
        self._render.release(self._number)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(self._peer.close(), CLOSE_TIMEOUT_S)
        except asyncio.TimeoutError:
            logger.warning("session %s: its connection did not close within %g s", self.id, CLOSE_TIMEOUT_S)
        self._metrics.count_packets_lost(self._jitter_buffer)

    def _end(self, code: ErrorCode | None = None, message: str = "") -> None:
        """The session is over from within."""
        if self._ended:
            return
        self._ended = True
        if code is not None:
            self._notify(Error(code=code, message=message))
        self._on_end(self)

    def _on_connection_state(self) -> None:
        state = self._peer.connectionState
        logger.info("session %s: %s", self.id, state)
        if state == "connected" and not self._is_connected:
            self._is_connected = True
            self._timeline.start(time.monotonic())
            self._spawn(self._begin())
        elif state in ("failed", "closed"):
            self._end("internal", "the media connection was lost")

    async def _end_if_not_connected(self) -> None:
        await asyncio.sleep(CONNECT_TIMEOUT_S)
        if not self._is_connected:
            self._end("internal", f"no media connection came about within {CONNECT_TIMEOUT_S:g} s")

    async def _begin(self) -> None:
        """Listen for a moment to learn the microphone's time, then let pictures and voice go."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._heard.wait(), MICROPHONE_TIMEOUT_S)
            await asyncio.sleep(SETTLING_S)
        self._timeline.settle()
        period = FRAME_SAMPLES * self.stride
        self._first_sample = max(0, -(-self._timeline.sample_at(time.monotonic() - self._timeline.latency_s) // period) * period)
        self._begun.set()
        self._notify(self._state)
        await self._report()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A fault in one of the session's tasks ends the session, in words."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("session %s failed", self.id)
            self._end("internal", f"the session failed: {type(error).__name__}")

    # ---- sound in

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._spawn(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame) and frame.pts is not None
            if self._is_connected:
                self._heard.set()
                self._hear(frame, frame.pts)

    def _hear(self, frame: av.AudioFrame, pts: int) -> None:
        samples = _mono(frame)
        self._level = max(LEVEL_DECAY * self._level, _root_mean_square(samples))
        for block in self._microphone.push(pts, samples, time.monotonic()):
            self._pass_on(block)

    def _pass_on(self, block: SoundBlock) -> None:
        if block.is_late:
            self._voice.amend(block.first_sample, block.samples)
            return
        self._voice.write(block.first_sample, block.samples)
        self._render.send(Sound(self._number, block.first_sample, block.samples.tobytes(), self._timeline.first_presentation_s))

    # ---- pictures and voice out (MediaSource)

    async def first_sample(self) -> int:
        await self._begun.wait()
        return self._first_sample

    async def wait_for(self, sample: int, lead_s: float = 0.0) -> Due:
        for block in self._microphone.tick(time.monotonic()):
            self._level *= LEVEL_DECAY
            self._pass_on(block)
        self._timeline.approach_latency(time.monotonic())
        presented_s = self._timeline.presentation_time(sample)
        return Due(presented_s, await sleep_until(presented_s - lead_s))

    async def picture(self, frame: int) -> Picture:
        picture = self._pictures.show(frame)
        while picture is None:
            await self._first_picture.wait()
            picture = self._pictures.show(frame)
            if picture is None:
                self._first_picture.clear()
        self._metrics.count_frame(is_late=picture.frame != frame)
        return picture

    def voice(self, first_sample: int, length: int) -> Int16[np.ndarray, " length"]:
        if not self._state.voice:
            return np.zeros(length, np.int16)
        return self._voice.read(first_sample, length)

    # ---- news of the render worker (FrameListener)

    def frame_ready(self, message: FrameReady) -> None:
        self._render_ms.append(message.render_ms)
        self._metrics.observe_render(message.render_ms)
        if not self._pictures.add(message):
            return
        if self._governor is not None and self._begun.is_set():
            self._governor.observe(self._timeline.presentation_time(message.frame * FRAME_SAMPLES) - time.monotonic())
            self._timeline.wanted_latency_s = self._governor.latency_s
        self._new_frames += 1
        self._first_picture.set()

    def avatar_chosen(self, message: AvatarChosen) -> None:
        name = self._library.name(message.avatar)
        self._change_state(avatar=name, emotional=self._library.is_emotional(name), loading=None)

    def avatar_refused(self, message: AvatarRefused) -> None:
        self._notify(Error(code="unknown_avatar", message=message.message))
        self._change_state(loading=None)

    def render_failed(self, message: str) -> None:
        logger.error("session %s: %s", self.id, message)
        self._end("internal", "the avatar can no longer be rendered; start again")

    # ---- control

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CONTROL_CHANNEL:
            return

        def reply(message: ServerMessage) -> None:
            if channel.readyState == "open":
                channel.send(message.model_dump_json())

        @channel.on("message")
        def on_message(text: str | bytes) -> None:
            try:
                message = parse_client_message(text)
            except BadMessage as error:
                reply(Error(code="bad_message", message=str(error)))
                return
            if isinstance(message, Set | Ping):
                self.control(message, reply)
            else:
                reply(Error(code="bad_message", message=f"{message.type!r} belongs on the socket; set and ping are read here"))

    def control(self, message: Set | Ping, reply: Callable[[ServerMessage], None]) -> None:
        """Act on a control message, by whichever way it came; `reply` answers by the same."""
        if isinstance(message, Ping):
            reply(Pong(t=message.t))
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
        )
        if change != ChangeSession(self._number):
            self._render.send(change)
        kept = ("voice", "smoothing", "omega", "view", "background", "fade", "emotion", "emotion_auto")
        self._change_state(**{name: value for name in kept if (value := getattr(message, name)) is not None})

    def _backdrop(self, name: str) -> Backdrop:
        """Raises BadInput where there is no such background."""
        picture = self._backgrounds.picture(name)
        return Backdrop(None if picture is None else cover(picture, self._plan.aspect))

    def _change_state(self, **changes: Any) -> None:
        self._state = self._state.model_copy(update=changes)
        self._notify(self._state)

    async def _report(self) -> None:
        """The figures, once a second."""
        last_s, last_frames = time.monotonic(), self._new_frames
        while True:
            await asyncio.sleep(STATS_PERIOD_S)
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


def _mono(frame: av.AudioFrame) -> Int16[np.ndarray, " n"]:
    """aiortc decodes Opus to interleaved int16 stereo at 48 kHz."""
    if frame.format.name != "s16" or frame.sample_rate != VOICE_RATE_HZ:
        raise ValueError(f"sound as {frame.format.name} at {frame.sample_rate} Hz; int16 at {VOICE_RATE_HZ} Hz was expected")
    channels = len(frame.layout.channels)
    samples: Int16[np.ndarray, "n channels"] = frame.to_ndarray().reshape(-1, channels)
    mean: Int16[np.ndarray, " n"] = (samples.sum(1, dtype=np.int32) // channels).astype(np.int16)
    return mean


def _root_mean_square(samples: Int16[np.ndarray, " n"]) -> float:
    if not len(samples):
        return 0.0
    values = samples.astype(np.float32)
    return math.sqrt(float(values @ values) / len(values)) / FULL_SCALE
