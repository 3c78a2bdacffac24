"""What the server tells Prometheus. A registry of its own, so that two servers in one process do not meet."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.audio_jitter_buffer import DirectAudioJitterBuffer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RENDER_BUCKETS_MS = (2, 4, 6, 8, 10, 12, 15, 20, 25, 30, 40, 60, 80, 120, 200)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._frames = Counter("visavis_frames_sent", "Video frames sent", registry=self.registry)
        self._late = Counter("visavis_frames_late", "Frames for which the last picture was shown again", registry=self.registry)
        self._render = Histogram("visavis_render_ms", "Time of one picture", buckets=RENDER_BUCKETS_MS, registry=self.registry)
        self._packets_lost = Counter("visavis_audio_packets_lost", "Microphone packets lost or late", registry=self.registry)
        self.sessions_started = Counter("visavis_sessions_started", "Sessions answered", registry=self.registry)
        self.sessions_refused = Counter("visavis_sessions_refused", "Offers refused because the server was full", registry=self.registry)
        self.sessions_failed = Counter("visavis_sessions_failed", "Sessions ended by a fault or a lost connection", registry=self.registry)

    def gauge(self, name: str, words: str, value: Callable[[], float]) -> None:
        """A value that is asked for when the metrics are read."""
        Gauge(f"visavis_{name}", words, registry=self.registry).set_function(value)

    def count_frame(self, is_late: bool) -> None:
        self._frames.inc()
        if is_late:
            self._late.inc()

    def observe_render(self, render_ms: float) -> None:
        self._render.observe(render_ms)

    def count_packets_lost(self, buffer: DirectAudioJitterBuffer | None) -> None:
        if buffer is not None:
            self._packets_lost.inc(buffer.lost)

    def text(self) -> bytes:
        return generate_latest(self.registry)


def resident_bytes(pid: int | None) -> float:
    """Memory of a process that lies in RAM now; of this one where the system has no /proc: its largest so far."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]
        return float(pages) * resource.getpagesize()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit) if pid is None else 0.0
