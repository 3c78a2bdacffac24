"""Stream servers of the tests: one that plays what it gets, and one that takes a connection and reads nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

_RECEIVER = """
import json, sys
import av, av.error
url = sys.argv[1]
options = {"listen": "1"} if url.startswith("rtmp") else {"probesize": "100000"}
with av.open(url, "r", options=options, timeout=(200, 60)) as container:
    try:
        for frame in container.decode(video=0, audio=0):
            kind = "picture" if isinstance(frame, av.VideoFrame) else "voice"
            loud = float(abs(frame.to_ndarray()).max()) if kind == "voice" else 0.0
            print(json.dumps([kind, frame.time, loud]), flush=True)
    except (av.error.FFmpegError, OSError):
        pass
"""


@dataclass
class Received:
    """What came, with its times."""

    pictures_s: list[float] = field(default_factory=list)
    voice_s: list[float] = field(default_factory=list)
    loudest: float = 0.0


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def rtmp_receiver(port: int) -> Iterator[Received]:
    """FFmpeg's own RTMP server, in a process: it takes one publisher at rtmp://127.0.0.1:PORT/live/key."""
    with _running([sys.executable, "-c", _RECEIVER, f"rtmp://127.0.0.1:{port}/live/key"]) as received:
        yield received


@contextlib.contextmanager
def srt_receiver(port: int) -> Iterator[Received]:
    """The ffmpeg program as an SRT listener; PyAV's wheels have no SRT."""
    program = shutil.which("ffmpeg")
    assert program is not None, "ffmpeg belongs to the tests' requirements"
    relay = f"{shlex.quote(program)} -loglevel error -i 'srt://127.0.0.1:{port}?mode=listener' -c copy -f mpegts -flush_packets 1 pipe:1"
    decoder = f"{shlex.quote(sys.executable)} -c {shlex.quote(_RECEIVER)} pipe:0"
    with _running(["sh", "-c", f"{relay} | {decoder}"]) as received:
        yield received


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[Received]:
    received = Received()
    # A session of its own, to end all that it starts.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    reader = threading.Thread(target=_read, args=(process, received), daemon=True)
    reader.start()
    try:
        yield received
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()


def _read(process: subprocess.Popen[str], received: Received) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        kind, time_s, loud = json.loads(line)
        if kind == "picture":
            received.pictures_s.append(time_s)
        else:
            received.voice_s.append(time_s)
            received.loudest = max(received.loudest, loud)


@dataclass
class StalledServer:
    """An RTMP server that takes connections and then nothing more out of them."""

    port: int
    connections: int = 0


@contextlib.contextmanager
def stalled_rtmp_server(greets: bool = False) -> Iterator[StalledServer]:
    """`greets`: it takes the publisher as the protocol wants it first, so that media pile up in the system's buffers before they stall."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server = StalledServer(int(listener.getsockname()[1]))
    open_connections: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_connections.append(connection)
            server.connections += 1
            if greets:
                threading.Thread(target=_greet, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        # A blocked accept is woken by shutting the listener down.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in open_connections:
            connection.close()


HANDSHAKE_BYTES = 1536


def _greet(connection: socket.socket) -> None:
    """The RTMP handshake, the answers to connect, createStream and publish, and then nothing."""
    with contextlib.suppress(OSError):
        connection.settimeout(20)
        _exactly(connection, 1 + HANDSHAKE_BYTES)
        connection.sendall(b"\x03" + bytes(8) + bytes(HANDSHAKE_BYTES - 8) + bytes(HANDSHAKE_BYTES))
        _exactly(connection, HANDSHAKE_BYTES)
        # connect
        time.sleep(0.3)
        connection.recv(4096)
        connection.sendall(_command(b"\x02\x00\x07_result" + _number(1) + _object(), 3))
        # releaseStream, FCPublish and createStream come together.
        time.sleep(0.3)
        connection.recv(4096)
        connection.sendall(_command(b"\x02\x00\x07_result" + _number(4) + b"\x05" + _number(1), 3))
        time.sleep(0.3)
        connection.recv(4096)
        status = b"\x02\x00\x08onStatus" + _number(0) + b"\x05" + _object(code="NetStream.Publish.Start", level="status")
        connection.sendall(_command(status, 3))


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data


def _number(value: float) -> bytes:
    return b"\x00" + struct.pack(">d", value)


def _object(**values: str) -> bytes:
    """An AMF object of texts."""
    pairs = b"".join(len(k).to_bytes(2, "big") + k.encode() + b"\x02" + len(v).to_bytes(2, "big") + v.encode() for k, v in values.items())
    return b"\x03" + pairs + b"\x00\x00\x09"


def _command(body: bytes, channel: int) -> bytes:
    """One RTMP message of type 20 (AMF command); it fits a chunk of 128 bytes."""
    return bytes([channel]) + bytes(3) + len(body).to_bytes(3, "big") + b"\x14" + bytes(4) + body
