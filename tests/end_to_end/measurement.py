"""From what a browser recorded to latency, skew and frame rate.

The same sound file is spoken by the avatar offline, with a still head, so each frame's mouth is known beforehand. The pictures that the
browser showed are laid over those by their RTP time stamps (frame k is k * 3600), which says, exact to a few ms and whatever the
network did, which moment of the file each shown picture belongs to. Likewise the microphone and the returned voice are laid over the
file by their levels. Latency of a picture = the time it was shown - the time the microphone delivered its moment. Times in ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from jaxtyping import Float

FPS = 25
FRAME_MS = 1000 / FPS
RTP_TICKS_A_FRAME = 3600
LEVEL_MS = 10.0
GRID_MS = 2.0
SETTLING_MS = 3000.0
"""Left out at the beginning: connection, first key frame, estimate of the bit rate."""
WINDOW_MS = 4000.0
"""Stretch over which one value of the voice's delay is found."""
MIN_CORRELATION = 0.5


class NotMeasurable(AssertionError):
    """What was recorded does not resemble what was said."""


@dataclass(frozen=True)
class Recording:
    """What `capture.js` kept."""

    microphone: Float[np.ndarray, "n 2"]
    voice: Float[np.ndarray, "n 2"]
    """Time, level."""
    shown_ms: Float[np.ndarray, " n"]
    frames: Float[np.ndarray, " n"]
    """Frame number by RTP time stamp, from an unknown origin."""
    pictures: Float[np.ndarray, "n pixels"]
    decoded: int
    """Pictures decoded between the two looks at the statistics..."""
    decoded_s: float
    """...and the time between them, in s."""

    @classmethod
    def of(cls, raw: dict[str, Any], before: dict[str, float], after: dict[str, float]) -> Recording:
        times, stamps, _, grey = zip(*raw["pictures"], strict=True)
        ticks = np.unwrap(np.array(stamps, float), period=2.0**32)
        return cls(
            microphone=np.array(raw["microphone"], float),
            voice=np.array(raw["voice"], float),
            shown_ms=np.array(times),
            frames=np.round((ticks - ticks[0]) / RTP_TICKS_A_FRAME),
            pictures=np.array(grey, float),
            decoded=int(after["decoded"] - before["decoded"]),
            decoded_s=after["seconds"] - before["seconds"],
        )


@dataclass(frozen=True)
class LiveFigures:
    """What the page showed."""

    decoded_fps: float
    latency_p50_ms: float
    latency_p95_ms: float
    """Microphone to picture."""
    voice_ms: float
    """Microphone to returned voice, median."""
    skew_p50_ms: float
    """Picture behind voice."""
    skew_p95_abs_ms: float
    drift_ms: float
    """Of the skew, from the first third to the last."""
    picture_correlation: float
    gap_p99_ms: float
    """Between two shown pictures."""


def measure(
    recording: Recording, spoken: Float[np.ndarray, " n"], rate_hz: int, expected: Float[np.ndarray, "n_frames pixels"]
) -> LiveFigures:
    """`spoken` is the sound file's samples, `expected` the mouth of each of its frames with a still head."""
    file_levels = _levels(spoken, rate_hz)
    from_ms = recording.shown_ms[0] + SETTLING_MS
    microphone_at_ms, _ = _place(recording.microphone, file_levels, from_ms, None)
    kept = recording.shown_ms > from_ms
    shown_ms, frames = recording.shown_ms[kept], recording.frames[kept]
    first_frame, correlation = _place_pictures(frames, recording.pictures[kept], expected)
    latency_ms = shown_ms - (microphone_at_ms + (frames + first_frame) * FRAME_MS)
    windows = []
    for start_ms in np.arange(from_ms, recording.voice[-1, 0] - WINDOW_MS, WINDOW_MS / 2):
        window = recording.voice[(recording.voice[:, 0] >= start_ms) & (recording.voice[:, 0] < start_ms + WINDOW_MS)]
        try:
            voice_at_ms, _ = _place(window, file_levels, start_ms, microphone_at_ms)
        except NotMeasurable:
            continue
        middle = (shown_ms >= start_ms) & (shown_ms < start_ms + WINDOW_MS)
        if middle.any():
            windows.append((voice_at_ms - microphone_at_ms, np.median(latency_ms[middle])))
    if len(windows) < 3:
        raise NotMeasurable("the returned voice does not resemble the sound file")
    voice, picture = np.array(windows).T
    skew, third = picture - voice, max(1, len(windows) // 3)
    return LiveFigures(
        decoded_fps=recording.decoded / recording.decoded_s,
        latency_p50_ms=float(np.percentile(latency_ms, 50)),
        latency_p95_ms=float(np.percentile(latency_ms, 95)),
        voice_ms=float(np.median(voice)),
        skew_p50_ms=float(np.median(skew)),
        skew_p95_abs_ms=float(np.percentile(np.abs(latency_ms - np.median(voice)), 95)),
        drift_ms=float(np.median(skew[-third:]) - np.median(skew[:third])),
        picture_correlation=correlation,
        gap_p99_ms=float(np.percentile(np.diff(shown_ms), 99)),
    )


def _levels(samples: Float[np.ndarray, " n"], rate_hz: int) -> Float[np.ndarray, " n"]:
    """Root mean square of each 10 ms, as the browser records it."""
    step = round(rate_hz * LEVEL_MS / 1000)
    whole = samples[: len(samples) // step * step].reshape(-1, step)
    return np.sqrt((whole.astype(float) ** 2).mean(1))


def _place(
    recorded: Float[np.ndarray, "n 2"], file_levels: Float[np.ndarray, " n"], from_ms: float, near_ms: float | None
) -> tuple[float, float]:
    """Time at which the file's beginning was (or would have been) heard, and the correlation.

    Levels are compressed by a fourth root: the browser's automatic gain and noise suppression change them, hardly their shape.
    """
    part = recorded[recorded[:, 0] >= from_ms]
    if len(part) < 100:
        raise NotMeasurable(f"{len(part)} levels recorded; at least a second's were expected")
    grid_ms = np.arange(part[0, 0], part[-1, 0], GRID_MS)
    heard = np.interp(grid_ms, part[:, 0], part[:, 1]) ** 0.25
    # A level's time is the end of its 10 ms.
    file_ms = (np.arange(len(file_levels)) + 1) * LEVEL_MS
    fine_ms = np.arange(0.0, file_ms[-1], GRID_MS)
    said = np.interp(fine_ms, file_ms, file_levels) ** 0.25
    lags, values = _correlate(said, heard)
    starts_ms = grid_ms[0] - lags * GRID_MS
    if near_ms is not None:
        chosen = (starts_ms >= near_ms - 500) & (starts_ms <= near_ms + 2000)
        starts_ms, values = starts_ms[chosen], values[chosen]
    best = int(np.argmax(values))
    if values[best] < MIN_CORRELATION:
        raise NotMeasurable(f"sound resembles the file by {values[best]:.2f}; at least {MIN_CORRELATION} was expected")
    return float(starts_ms[best]), float(values[best])


def _place_pictures(
    frames: Float[np.ndarray, " n"], pictures: Float[np.ndarray, "n pixels"], expected: Float[np.ndarray, "n_frames pixels"]
) -> tuple[float, float]:
    """Frame of the file that the recording's frame 0 is, to a fraction, and the correlation."""
    mean = expected.mean(0)
    axis = np.linalg.svd(expected - mean, full_matrices=False)[2][0]
    known = (expected - mean) @ axis
    seen = np.interp(np.arange(frames[0], frames[-1] + 1), frames, (pictures - mean) @ axis)
    lags, values = _correlate(known, seen)
    best = int(np.argmax(values))
    if values[best] < MIN_CORRELATION:
        raise NotMeasurable(f"the mouth moves as expected by {values[best]:.2f}; at least {MIN_CORRELATION} was expected")
    return float(lags[best] + _peak(values, best) - frames[0]), float(values[best])


def _correlate(reference: Float[np.ndarray, " n"], part: Float[np.ndarray, " m"]) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of `part` with each stretch of `reference` of its length; lag 0: both begin together.

    Where the part reaches over an end of the reference only what overlaps counts, if that is at least half of it.
    """
    lags = np.arange(-(len(part) // 2), len(reference) - len(part) // 2)
    padded = np.pad(reference, (len(part), len(part)))
    inside = np.pad(np.ones(len(reference)), (len(part), len(part)))
    n = _slide(inside, np.ones(len(part)))
    sum_r, sum_rr = _slide(padded, np.ones(len(part))), _slide(padded**2, np.ones(len(part)))
    sum_p, sum_pp, sum_rp = _slide(inside, part), _slide(inside, part**2), _slide(padded, part)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = sum_rp - sum_r * sum_p / n
        spread = np.sqrt(np.maximum(sum_rr - sum_r**2 / n, 0) * np.maximum(sum_pp - sum_p**2 / n, 0))
        values = np.where(spread > 1e-6, covariance / spread, 0.0)
    return lags, values[lags + len(part)]


def _slide(values: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Sum of values[i + j] * part[j] for each i."""
    size = 1 << (len(values) + len(part)).bit_length()
    product = np.fft.rfft(values, size) * np.conj(np.fft.rfft(part, size))
    return np.fft.irfft(product, size)[: len(values) - len(part) + 1]


def _peak(values: np.ndarray, best: int) -> float:
    """Where between its neighbours a maximum lies (parabola), -0.5...0.5."""
    if not 0 < best < len(values) - 1:
        return 0.0
    left, middle, right = values[best - 1 : best + 2]
    curvature = left - 2 * middle + right
    return float(0.5 * (left - right) / curvature) if curvature < 0 else 0.0
