"""The encoder: a process of its own that turns one performance's pictures and voice into a file, a stream, or chunks of one.

It may wait for a disk or a network as long as it likes: whoever feeds it sees that its socket fills, and lets it go. An encoder thread in
the media process would take that one's time between two calls into FFmpeg, and could not be ended while it hangs in one.

Files are written in fragments of half a second, each complete by itself, so that what is there plays after whatever end; a file has a
name that says "unfinished" and its lock until it is whole. Picture k stands at k / 25 s and sample n at n / 48000 s after the first
picture; nothing else decides about their time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.logging
import numpy as np
from av.video.frame import PictureType

from renderer.types import FPS
from server.media import FRAME_SAMPLES, PACKET_SAMPLES, TimedPicture, VoicePacket
from server.picture_fit import fitted
from server.sinks.encoder_messages import (
    EncodedChunk,
    EncoderEnded,
    EncoderFailed,
    EncoderOptions,
    EncoderProgress,
    EncoderReady,
    FromEncoder,
)
from server.timeline import VOICE_RATE_HZ
from server.worker_messages import Unpacker, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Int16

RECEIVE_BYTES = 1 << 18
NICENESS = 5
"""The picture comes first."""
KEY_FRAME_S = 1.0
FRAGMENT_S = 0.5
AUDIO_BITS = 128_000
CRF = 20
"""Of a file: visually the same as the picture shown."""
MAX_FILLED_SAMPLES = 10 * VOICE_RATE_HZ
"""Longest gap of the voice that is filled with silence; a longer one is left."""
PROGRESS_PERIOD_S = 0.5
CONNECT_TIMEOUT_S = 10.0
RELAY_END_TIMEOUT_S = 3.0
MICROSECONDS = 1_000_000


class Encoder:
    """One container and its two streams, begun with the first picture."""

    def __init__(self, options: EncoderOptions, output: io.RawIOBase | None = None) -> None:
        """`output`: takes the bytes, where they do not go to `options.target` directly."""
        self._options = options
        self._container = av.open(
            output or options.target, "w", format=options.container, options=_container_options(options), timeout=(CONNECT_TIMEOUT_S, None)
        )
        self._video: Any = None
        self._audio: Any = None
        self._first_frame = 0
        self._last_frame = -1
        self._next_key_frame = 0
        self._next_sample = 0
        self._early: deque[VoicePacket] = deque(maxlen=VOICE_RATE_HZ // PACKET_SAMPLES)
        """Voice that came before the first picture: it comes a little before its time."""
        self.pictures = 0

    @property
    def seconds(self) -> float:
        """From the first picture to the end of the last."""
        return (self._last_frame + 1 - self._first_frame) / FPS if self.pictures else 0.0

    def show(self, picture: TimedPicture) -> None:
        if self._video is None:
            self._begin(picture)
        if picture.frame <= self._last_frame:
            return
        frame = av.VideoFrame.from_ndarray(fitted(picture, self._video.width, self._video.height), format="yuv420p")
        frame.pts, frame.time_base = picture.frame - self._first_frame, Fraction(1, FPS)
        if picture.frame >= self._next_key_frame:
            frame.pict_type = PictureType.I
            self._next_key_frame = picture.frame + round(KEY_FRAME_S * FPS)
        self._container.mux(self._video.encode(frame))
        self._last_frame = picture.frame
        self.pictures += 1
        while self._early:
            self.speak(self._early.popleft())

    def speak(self, packet: VoicePacket) -> None:
        if self._audio is None:
            self._early.append(packet)
            return
        first = packet.first_sample - self._first_frame * FRAME_SAMPLES
        if first < self._next_sample:
            return
        if self._next_sample < first <= self._next_sample + MAX_FILLED_SAMPLES:
            self._encode_voice(self._next_sample, np.zeros(first - self._next_sample, np.int16))
        self._encode_voice(first, packet.samples)

    def _encode_voice(self, first: int, samples: Int16[np.ndarray, " n"]) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = VOICE_RATE_HZ, first, Fraction(1, VOICE_RATE_HZ)
        self._container.mux(self._audio.encode(frame))
        self._next_sample = first + len(samples)

    def finish(self) -> None:
        """Write what the codecs still hold, and the end of the file."""
        if self._video is not None:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def _begin(self, picture: TimedPicture) -> None:
        options, time_base = self._options, Fraction(1, FPS)
        self._first_frame = self._next_key_frame = picture.frame
        self._last_frame = picture.frame - 1
        video: Any = self._container.add_stream(options.video_codec, rate=FPS)
        video.width, video.height, video.pix_fmt = picture.width, picture.height, "yuv420p"
        video.time_base = video.codec_context.time_base = time_base
        # The other cores are the renderer's.
        video.codec_context.thread_count = 1
        video.codec_context.options = _video_options(options)
        if options.video_codec == "libvpx" or options.is_live:
            video.bit_rate = options.max_video_bits
        audio: Any = self._container.add_stream(options.audio_codec, rate=VOICE_RATE_HZ)
        audio.layout, audio.bit_rate = "mono", AUDIO_BITS
        self._video, self._audio = video, audio


def _container_options(options: EncoderOptions) -> dict[str, str]:
    fragment_us = str(round(FRAGMENT_S * MICROSECONDS))
    return {
        # The header waits for the first fragment, or it could not say by how much the sound's codec is delayed.
        "mp4": {"movflags": "+delay_moov+default_base_moof+frag_keyframe", "frag_duration": fragment_us, "flush_packets": "1"},
        "matroska": {"cluster_time_limit": str(round(FRAGMENT_S * 1000)), "flush_packets": "1"},
        "flv": {"flvflags": "no_duration_filesize", "flush_packets": "1"},
        "mpegts": {"flush_packets": "1"},
    }[options.container]


def _video_options(options: EncoderOptions) -> dict[str, str]:
    if options.video_codec == "libvpx":
        return {"deadline": "realtime", "cpu-used": "6", "auto-alt-ref": "0"}
    # No B-frames: time stamps then grow in the order of writing, and a file that breaks off has no picture without its reference.
    common = {"preset": "superfast", "bf": "0", "g": str(round(2 * KEY_FRAME_S * FPS)), "forced-idr": "1"}
    if options.is_live:
        return {**common, "tune": "zerolatency", "maxrate": str(options.max_video_bits), "bufsize": str(options.max_video_bits)}
    return {**common, "crf": str(CRF), "rc-lookahead": "0", "mbtree": "0"}


class _Chunks(io.RawIOBase):
    """A file for the container whose content goes back to the sink."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.n_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._connection.sendall(pack(EncodedChunk(bytes(data))))
        self.n_bytes += len(data)
        return len(data)


class _Relay(io.RawIOBase):
    """A file for the container whose content goes to another program."""

    def __init__(self, command: tuple[str, ...]) -> None:
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except OSError as error:
            raise OSError(error.errno, f"{command[0]} cannot be started: {error.strerror}") from error
        self.n_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise OSError(errno.EPIPE, self._reason()) from None
        self.n_bytes += len(data)
        return len(data)

    def end(self) -> None:
        """Raises OSError with the program's last words where it failed."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            code = self._process.wait(RELAY_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code:
            raise OSError(errno.EPIPE, self._reason())

    def _reason(self) -> str:
        self._process.kill()
        assert self._process.stderr is not None
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "the connection was lost"


class _Progress:
    """Counts what has left, and says so now and then."""

    def __init__(self, options: EncoderOptions, connection: socket.socket, output: _Chunks | _Relay | None) -> None:
        self._path = Path(options.target) if options.final else None
        self._connection, self._output = connection, output
        self._told_s = time.monotonic()

    def n_bytes(self) -> int:
        if self._path is not None:
            with contextlib.suppress(OSError):
                return self._path.stat().st_size
        return self._output.n_bytes if self._output is not None else 0

    def tell(self, encoder: Encoder) -> None:
        if time.monotonic() - self._told_s >= PROGRESS_PERIOD_S:
            self._told_s = time.monotonic()
            # A server that is gone is no reason to lose what comes after this.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.sendall(pack(EncoderProgress(encoder.seconds, encoder.pictures, self.n_bytes())))


def encode(options: EncoderOptions, messages: Iterator[object], connection: socket.socket) -> FromEncoder:
    """Encode until `Finish` or the end of the messages; returns what to say last."""
    output: _Chunks | _Relay | None = None
    lock: int | None = None
    try:
        if options.final:
            # Whoever can take the lock knows that nobody writes any more.
            lock = os.open(options.target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if options.relay:
            output = _Relay(options.relay)
        elif not options.target:
            output = _Chunks(connection)
        encoder, progress = Encoder(options, output), _Progress(options, connection, output)
        for message in messages:
            if isinstance(message, TimedPicture):
                encoder.show(message)
                progress.tell(encoder)
            elif isinstance(message, VoicePacket):
                encoder.speak(message)
            else:
                break
        encoder.finish()
        if isinstance(output, _Relay):
            output.end()
        n_bytes = progress.n_bytes()
        return EncoderEnded(encoder.seconds, encoder.pictures, n_bytes)
    except (av.error.FFmpegError, OSError) as error:
        return EncoderFailed(_in_words(error), is_full=error.errno in (errno.ENOSPC, errno.EDQUOT))
    finally:
        if options.final:
            _put_in_place(options)
        if lock is not None:
            os.close(lock)


def _put_in_place(options: EncoderOptions) -> None:
    """What there is of the file gets its name, also where writing broke off: its fragments play. A file of nothing goes."""
    path = Path(options.target)
    with contextlib.suppress(OSError):
        if path.stat().st_size:
            path.rename(options.final)
        else:
            path.unlink()


def _in_words(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "no room is left on the disk"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return "this build of FFmpeg does not speak that protocol"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def _messages(connection: socket.socket) -> Iterator[object]:
    unpacker = Unpacker()
    while data := connection.recv(RECEIVE_BYTES):
        yield from unpacker.feed(data)


def main(arguments: list[str]) -> int:
    """`python -m server.sinks.encoder_worker SOCKET`: the descriptor is inherited; options come over it first."""
    # The media process decides when it is over: an interrupt from the terminal reaches every process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    connection = socket.socket(fileno=int(arguments[0]))
    messages = _messages(connection)
    options = next(messages)
    assert isinstance(options, EncoderOptions)
    logging.basicConfig(level=options.log_level, format="%(levelname)s %(name)s: %(message)s")
    av.logging.set_level(av.logging.FATAL)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(pack(EncoderReady()))
    last = encode(options, messages, connection)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(pack(last))
        # Who still writes to a closed socket would lose these last words.
        for _ in messages:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
