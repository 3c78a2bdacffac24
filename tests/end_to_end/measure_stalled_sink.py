"""What a stream server that stalls does to a viewer beside it.

    python -m tests.end_to_end.measure_stalled_sink [--avatar bundled] [--size PX] [--seconds 40]

One peer watches over WebRTC, first alone, then while the same session is published to an RTMP server that greets and then takes nothing
more, then to one that reads everything. Prints one JSON object: for each of the three the viewer's frame rate, the longest gap between
two pictures, the share of late pictures, and the latency of a burst of sound, microphone to viewer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.library import find_avatar
from tests.server.listening import free_port, rtmp_receiver, stalled_rtmp_server
from tests.server.peer import RATE_HZ, Peer, bursts, join
from tests.server.running_server import RunningServer, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTLE_S = 5.0


def ask(server: RunningServer, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


async def watch(peer: Peer, seconds: float) -> dict[str, float]:
    """The viewer's figures over the next seconds."""
    pictures, voice, messages = len(peer.pictures), len(peer.voice), len(peer.messages)
    await asyncio.sleep(seconds)
    arrivals_s = np.array([arrival_s for arrival_s, _ in peer.pictures[pictures:]])
    onsets_ms, was_loud = [], True
    for arrival_s, samples in peer.voice[voice:]:
        is_loud = bool(np.abs(samples).max() > 6000)
        if is_loud and not was_loud:
            onsets_ms.append(1000 * ((arrival_s - peer.microphone.start_s + int(np.argmax(np.abs(samples) > 3000)) / RATE_HZ) % 1.0))
        was_loud = is_loud
    stats = [message for message in peer.messages[messages:] if message["type"] == "stats"]
    return {
        "fps": round((len(arrivals_s) - 1) / (arrivals_s[-1] - arrivals_s[0]), 2),
        "longest_gap_ms": round(1000 * float(np.diff(arrivals_s).max()), 1),
        "late_percent": round(float(np.mean([message["late_percent"] for message in stats])), 2),
        "voice_latency_ms": round(float(np.median(onsets_ms)), 1),
        "server_latency_ms": round(float(np.median([message["latency_ms"] for message in stats])), 1),
    }


@contextlib.contextmanager
def published(server: RunningServer, session: str, port: int) -> Iterator[dict[str, Any]]:
    """Holds how the publication stands, once it has ended."""
    end: dict[str, Any] = {}
    made = ask(server, "POST", "api/publications", {"session": session, "url": f"rtmp://127.0.0.1:{port}/live/key"})
    try:
        yield end
    finally:
        end.update(next(entry for entry in ask(server, "GET", "api/publications")["publications"] if entry["id"] == made["id"]))
        ask(server, "DELETE", f"api/publications/{made['id']}")


async def measure(server: RunningServer, seconds: float) -> dict[str, Any]:
    async with join(server.socket_url) as peer:
        await peer.wait_for("hello")
        answer = await peer.connect_media(bursts)
        await asyncio.sleep(SETTLE_S)
        report: dict[str, Any] = {"size": answer["size"], "seconds": seconds, "alone": await watch(peer, seconds)}
        with stalled_rtmp_server(greets=True) as stalled:
            with published(server, answer["session"], stalled.port) as end:
                report["beside_a_stalled_server"] = await watch(peer, seconds)
            report["beside_a_stalled_server"] |= {key: end[key] for key in ("tries", "dropped_pictures", "reason")}
            report["beside_a_stalled_server"]["connections"] = stalled.connections
        port = free_port()
        with rtmp_receiver(port) as received:
            # The receiver takes a moment to listen.
            await asyncio.sleep(SETTLE_S)
            with published(server, answer["session"], port):
                report["beside_one_that_reads"] = await watch(peer, seconds)
            report["beside_one_that_reads"]["pictures_received"] = len(received.pictures_s)
        return report


def main() -> None:
    parser = argparse.ArgumentParser(description="What a stream server that stalls does to a viewer beside it.")
    parser.add_argument("--avatar", default="bundled", help="file or name (default bundled)")
    parser.add_argument("--size", default="auto", help="height of the picture in px (default auto)")
    parser.add_argument("--seconds", type=float, default=40.0, help="watched each of three times (default 40)")
    options = parser.parse_args()
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        # A shelf of its own: nothing else is loaded while this measures.
        avatar = Path(folder) / "measured.avatar"
        avatar.write_bytes(find_avatar(options.avatar).read_bytes())
        with start_server(avatar, "--size", options.size, "--max-sessions", "1") as server:
            report = asyncio.run(measure(server, options.seconds))
    print(json.dumps({**report, "took_s": round(time.monotonic() - start_s)}, indent=2))


if __name__ == "__main__":
    main()
