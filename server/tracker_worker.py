"""The face tracker's process: pictures of cameras in, what was seen out, one at a time, for all who follow.

MediaPipe computes for some 10 ms a picture, in threads of its own and partly with Python's lock held: neither the event loop nor the render
worker has room for that. A picture is looked at and forgotten; nothing of it is written anywhere. The process ends when its socket
closes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time

from renderer.errors import VisavisError
from server.tracker_messages import Tracked, TrackerFailed, TrackerReady
from server.worker_messages import Unpacker, pack

RECEIVE_BYTES = 1 << 18
NICENESS = 10
"""The avatar's picture comes first."""


def serve(connection: socket.socket) -> None:
    """Look at pictures until the other side goes away."""
    from server.face_tracker import FaceTracker

    try:
        tracker = FaceTracker()
    except VisavisError as error:
        connection.sendall(pack(TrackerFailed(str(error))))
        return
    with contextlib.closing(tracker):
        connection.sendall(pack(TrackerReady()))
        unpacker = Unpacker()
        while data := connection.recv(RECEIVE_BYTES):
            for message in unpacker.feed(data):
                start_s = time.monotonic()
                face = tracker.look(message.picture.rgb())
                connection.sendall(pack(Tracked(face, (time.monotonic() - start_s) * 1000)))


def main(arguments: list[str]) -> int:
    """`python -m server.tracker_worker SOCKET`: the descriptor is inherited."""
    # The media process decides when it is over: an interrupt from the terminal reaches every process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    connection = socket.socket(fileno=int(arguments[0]))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        serve(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
