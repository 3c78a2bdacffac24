"""The render worker: a process of its own that turns the sound of all sessions into pictures.

Rendering in the media process would hold up its event loop. The worker is one loop in one thread: take what the media process says,
then render the one frame of all sessions that is due first, then look again. Nothing is queued but sound: which frame comes next is
decided when there is time for it, so an overload shows as skipped frames and never as growing delay. It ends when the socket to the
media process closes, however that came about; an interrupt from the terminal is left to the media process.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from renderer.audio.streaming import StreamingEncoder
from renderer.condition_stream import ConditionStream
from renderer.errors import EncoderMismatch, VisavisError
from renderer.field.config import STEPS_PER_FRAME
from renderer.types import SAMPLE_RATE_HZ, AudioChunk, AudioFeatures
from server.avatar_store import MAX_UNUSED, AvatarStore, LoadedAvatar
from server.frame_ring import FrameRing, RingLayout
from server.i420 import i420_writer
from server.pauses import leave_out_of_collections
from server.sizing import FRAME_MS, MEASURED_FRAMES, WARM_UP_FRAMES, RenderTimes, SizeChoice, choose_size, headroom
from server.worker_messages import (
    LENGTH,
    AvatarChosen,
    AvatarRefused,
    ChangeSession,
    CloseSession,
    FrameReady,
    FromWorker,
    OpenSession,
    Preload,
    Ready,
    Seen,
    SessionFailed,
    SessionOpened,
    Sound,
    StartFailed,
    ToWorker,
    Unpacker,
    WorkerOptions,
    pack,
)
from server.worker_session import WorkerSession, sound_needed

if TYPE_CHECKING:
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

logger = logging.getLogger(__name__)

RECEIVE_BYTES = 1 << 16
RENDER_TIME_DECAY = 0.9
"""Weight of the past in the running estimate of a picture's time."""


class RenderWorker:
    """The worker's loop and what it owns."""

    def __init__(self, options: WorkerOptions, connection: socket.socket, ring: FrameRing) -> None:
        from renderer.audio.export import load_encoder
        from renderer.avatar_file import read_header

        self._options, self._connection, self._ring = options, connection, ring
        self._unpacker = Unpacker()
        self._sessions: dict[int, WorkerSession] = {}
        self._opening: set[int] = set()
        self._wanted: dict[int, str] = {}
        """The avatar last asked for, by session: one that is loaded too late is not shown any more."""
        self._encoder: AudioEncoder = load_encoder(options.encoder or read_header(options.avatar)["encoder"]["id"])
        self._store = AvatarStore(options.backend, options.threads, self._check_encoder)
        self._write_i420 = i420_writer()
        self._stride = 1
        self._render_s: dict[int, float] = {}
        """Running estimate by picture size."""

    def run(self) -> None:
        """Measure, report, then serve until the media process goes away."""
        ready = self._measure()
        leave_out_of_collections()
        self._send(ready)
        while True:
            if not self._receive(wait=self._next_frame_session() is None):
                return
            session = self._next_frame_session()
            if session is not None:
                self._render(session)

    # ---- start

    def _measure(self) -> Ready:
        encode_ms = self._measure_encoder()
        choice = choose_size(self._measure_size, encode_ms, self._options.size, headroom(self._options.threads, os.cpu_count() or 1))
        shown = self._store.open_now(self._options.avatar, choice.times.size)
        self._stride = choice.stride
        self._render_s[choice.times.size] = choice.times.median_ms / 1000
        return Ready(
            size=choice.times.size,
            width=_width(shown.avatar, choice.times.size),
            stride=choice.stride,
            sound_needed=sound_needed(shown, self._encoder),
            encode_ms=encode_ms,
            render_ms=choice.times.median_ms,
            render_p95_ms=choice.times.p95_ms,
            backend=shown.backend.name,
            isa=shown.backend.isa,
            words=_in_words(choice, shown, encode_ms, self._options.size is not None),
        )

    def _measure_encoder(self) -> float:
        """Best time of the audio encoder for one frame's sound, in ms."""
        streaming, noise = StreamingEncoder(self._encoder), np.random.default_rng(0)
        samples = int(FRAME_MS / 1000 * SAMPLE_RATE_HZ)
        times_ms = []
        for frame in range(WARM_UP_FRAMES + 2 * MEASURED_FRAMES):
            chunk = AudioChunk(noise.normal(0, 0.05, samples).astype(np.float32), frame * samples)
            start_s = time.perf_counter()
            streaming.push(chunk)
            times_ms.append((time.perf_counter() - start_s) * 1000)
        return float(np.min(times_ms[-MEASURED_FRAMES:]))

    def _measure_size(self, size: int) -> RenderTimes:
        loaded = self._store.open_now(self._options.avatar, size)
        n_frames = WARM_UP_FRAMES + MEASURED_FRAMES
        conditions = self._silent_conditions(loaded, n_frames)
        times_ms = []
        for _ in range(n_frames):
            condition = conditions.next()
            assert condition is not None
            start_s = time.perf_counter()
            rgb = loaded.backend.render([condition])[0]
            self._convert(rgb, 0, condition.index)
            times_ms.append((time.perf_counter() - start_s) * 1000)
        self._ring.clear(0)
        return RenderTimes.of(size, times_ms[WARM_UP_FRAMES:])

    def _silent_conditions(self, shown: LoadedAvatar, n_frames: int) -> ConditionStream:
        silence = self._encoder.silence_features()
        conditions = ConditionStream(shown.avatar, silence)
        n_steps = STEPS_PER_FRAME * n_frames + shown.avatar.field_config.audio_window.n_steps
        conditions.push(AudioFeatures(np.tile(silence, (n_steps, 1)), conditions.next_step))
        return conditions

    # ---- messages

    def _receive(self, wait: bool) -> bool:
        """Act on all that has arrived; False when the media process is gone."""
        readable, _, _ = select.select([self._connection, self._store.wake], [], [], None if wait else 0)
        if self._store.wake in readable:
            self._store.collect()
        if self._connection in readable:
            data = self._connection.recv(RECEIVE_BYTES)
            if not data:
                return False
            for message in self._unpacker.feed(data):
                self._act(message)
        return True

    def _act(self, message: ToWorker) -> None:
        try:
            if isinstance(message, Preload):
                self._preload(message)
            elif isinstance(message, OpenSession):
                self._open(message)
            elif isinstance(message, CloseSession):
                self._close(message.session)
            elif message.session in self._sessions:
                session = self._sessions[message.session]
                if isinstance(message, Sound):
                    session.hear(message)
                elif isinstance(message, Seen):
                    session.see(message.sighting)
                else:
                    self._change(session, message)
        except Exception as error:
            if isinstance(message, Preload):
                raise
            self._fail(message.session, error)

    def _preload(self, preload: Preload) -> None:
        for path in preload.avatars[:MAX_UNUSED]:
            self._store.request(path, preload.size, lambda _: None)

    def _open(self, opening: OpenSession) -> None:
        self._opening.add(opening.session)
        self._ring.clear(opening.region)

        def loaded(result: LoadedAvatar | VisavisError) -> None:
            if opening.session not in self._opening:
                return
            self._opening.discard(opening.session)
            if isinstance(result, VisavisError):
                self._send(SessionFailed(opening.session, str(result)))
                return
            self._sessions[opening.session] = WorkerSession(opening, result, self._encoder, self._stride)
            self._send(SessionOpened(opening.session))

        self._store.request(opening.avatar, opening.size, loaded)

    def _change(self, session: WorkerSession, change: ChangeSession) -> None:
        if change.smoothing is not None:
            session.set_smoothing(change.smoothing)
        if change.omega is not None:
            session.set_omega(change.omega)
        if change.view is not None:
            session.set_view(change.view)
        if change.backdrop is not None:
            session.set_backdrop(change.backdrop)
        if change.fade is not None:
            session.set_fade(change.fade)
        if change.emotion is not None:
            session.set_emotion(change.emotion)
        if change.emotion_auto is not None:
            session.set_emotion_auto(change.emotion_auto)
        if change.follow is not None:
            session.set_follow(change.follow)
        if change.straighten:
            session.straighten()
        if change.avatar is None:
            self._make_anew(session)
            return
        path = self._wanted[session.id] = change.avatar

        def loaded(result: LoadedAvatar | VisavisError) -> None:
            if session.id not in self._sessions or self._wanted.get(session.id) != path:
                return
            if isinstance(result, VisavisError):
                self._send(AvatarRefused(session.id, path, str(result)))
                return
            same_shape = _width(session.loaded.avatar, session.size) == _width(result.avatar, session.size)
            session.swap(result)
            # Pictures of another shape do not fit the places of those that wait.
            frame = self._make_anew(session) if same_shape else session.next_frame
            self._send(AvatarChosen(session.id, path, frame))
            self._drop_unused()

        self._store.request(path, session.size, loaded)

    def _make_anew(self, session: WorkerSession) -> int:
        """All sessions' pictures share this loop's time."""
        render_s = sum(self._render_s.get(other.size, 0.0) for other in self._sessions.values())
        return session.make_anew(time.monotonic(), render_s)

    def _close(self, session: int) -> None:
        self._opening.discard(session)
        self._wanted.pop(session, None)
        if self._sessions.pop(session, None) is not None:
            self._drop_unused()

    def _drop_unused(self) -> None:
        self._store.drop_unused({session.loaded for session in self._sessions.values()})

    def _fail(self, session: int, error: Exception) -> None:
        """One session's fault ends that session and no other."""
        logger.error("session %d failed", session, exc_info=error)
        self._close(session)
        self._send(SessionFailed(session, f"{type(error).__name__}: {error}"))

    # ---- frames

    def _next_frame_session(self) -> WorkerSession | None:
        """The session whose next frame is due first."""
        now_s = time.monotonic()
        best: tuple[float, WorkerSession] | None = None
        for session in self._sessions.values():
            frame = session.choose(now_s, self._render_s.get(session.size, 0.0))
            if frame is not None and (best is None or session.deadline_s(frame) < best[0]):
                best = (session.deadline_s(frame), session)
        return None if best is None else best[1]

    def _render(self, session: WorkerSession) -> None:
        start_s = time.monotonic()
        frame = session.choose(start_s, self._render_s.get(session.size, 0.0))
        if frame is None:
            return
        try:
            rgb = session.loaded.backend.render([session.take(frame)])[0]
            self._convert(session.faded(rgb), session.region, frame)
        except Exception as error:
            self._fail(session.id, error)
            return
        took_s = time.monotonic() - start_s
        known_s = self._render_s.get(session.size, took_s)
        self._render_s[session.size] = RENDER_TIME_DECAY * known_s + (1 - RENDER_TIME_DECAY) * took_s
        self._send(FrameReady(session.id, frame, rgb.shape[1], rgb.shape[0], took_s * 1000))

    def _convert(self, rgb: np.ndarray, region: int, frame: int) -> None:
        height, width, _ = rgb.shape
        self._write_i420(rgb, self._ring.slot_for_writing(region, width, height, frame))
        self._ring.publish(region, frame)

    def _check_encoder(self, avatar: Avatar) -> None:
        if avatar.encoder.sha256 != self._encoder.spec.sha256:
            raise EncoderMismatch(
                f"avatar {avatar.name!r} was trained with encoder {avatar.encoder.id} ({avatar.encoder.sha256[:12]}), "
                f"this server runs {self._encoder.spec.id} ({self._encoder.spec.sha256[:12]})"
            )

    def _send(self, message: FromWorker) -> None:
        self._connection.sendall(pack(message))


def _width(avatar: Avatar, size: int) -> int:
    return round(size * avatar.camera.width / avatar.camera.height)


def _in_words(choice: SizeChoice, shown: LoadedAvatar, encode_ms: float, wished: bool) -> str:
    times = choice.times
    how = f"{'as asked for' if wished else 'the largest size that this machine holds'} at {choice.fps:g} frames a second"
    return (
        f"picture {_width(shown.avatar, times.size)}x{times.size} px, {how}: a picture takes {times.median_ms:.1f} ms "
        f"(95 %: {times.p95_ms:.1f}), its sound {encode_ms:.1f} ms, on the {shown.backend.name} backend ({shown.backend.isa})"
    )


def main(arguments: list[str]) -> int:
    """`python -m server.render_worker SOCKET RING`: descriptors inherited from the media process; options come over the socket."""
    # Ctrl-C reaches every process of the terminal, and service managers stop all of a service's; the media process decides.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    connection, ring_descriptor = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    options: WorkerOptions = pickle.loads(_receive_exactly(connection))
    logging.basicConfig(level=options.log_level, format="%(levelname)s %(name)s: %(message)s")
    ring = FrameRing(ring_descriptor, RingLayout(options.regions, options.max_pixels))
    try:
        RenderWorker(options, connection, ring).run()
    except VisavisError as error:
        connection.sendall(pack(StartFailed(str(error))))
    except (BrokenPipeError, ConnectionResetError):
        # The media process is gone: nothing is left to do.
        return 0
    return 0


def _receive_exactly(connection: socket.socket) -> bytes:
    """The first message, whole."""
    (length,) = LENGTH.unpack(connection.recv(LENGTH.size, socket.MSG_WAITALL))
    return connection.recv(length, socket.MSG_WAITALL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
