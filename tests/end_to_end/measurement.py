"""From what a browser recorded to latency, skew and frame rate.

The same sound file is spoken by the avatar offline, with a still head, so its mouth at each moment is known beforehand (`PHASES` times a
frame, for the live frames may begin anywhere in the file). The pictures that the browser showed are laid over those by their RTP time
stamps (frame k is k * 3600), which says, exact to a few ms and whatever the network did, which moment of the file each shown picture
belongs to. Likewise the microphone and the returned voice are laid over the file by their levels. Latency of a picture = the time it was
shown - the time the microphone delivered its moment. The voice is taken where it leaves the browser's buffer; a listener hears it
`OUTPUT_MS` later, and the skew is what he sees against what he hears. Times in ms.
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
PHASES = 4
"""Moments within a frame at which the mouth is known."""
OUTPUT_MS = 30.0
"""What Chromium reckons for its sound output; a headless one has no other."""
LEVEL_MS = 10.0
GRID_MS = 2.0
SETTLING_MS = 3000.0
"""Left out at the beginning: connection, first key frame, estimate of the bit rate."""
WINDOW_MS = 10_000.0
"""Usually. Each stretch of this length is laid over the file anew: browsers repeat a file with small gaps."""
MIN_WINDOW_SHARE = 0.5
MAX_LATENCY_MS = 2000.0
MIN_CORRELATION = 0.5
"""Of the mouth."""
MIN_SOUND_CORRELATION = 0.6
"""Another sentence reaches 0.5 at its best place."""


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
    """Microphone to returned voice at the loudspeaker, median."""
    skew_p50_ms: float
    """Picture behind voice; negative: the picture comes first."""
    skew_p95_abs_ms: float
    drift_ms: float
    """Of the skew, from the first third to the last."""
    picture_correlation: float
    gap_p99_ms: float
    """Between two shown pictures."""


def measure(
    recording: Recording,
    spoken: Float[np.ndarray, " n"],
    rate_hz: int,
    expected: Float[np.ndarray, "n_moments pixels"],
    window_ms: float = WINDOW_MS,
) -> LiveFigures:
    """`spoken` is the sound file's samples, `expected` its mouth with a still head, `PHASES` times a frame; the file may be repeated."""
    # Twice, so that a stretch over the file's end has its place as well.
    file_levels = _levels(np.tile(spoken, 2), rate_hz)
    file_frames = _repeat_once(expected, len(spoken) / rate_hz * FPS * PHASES)
    windows, reasons = [], []
    starts_ms = np.arange(recording.shown_ms[0] + SETTLING_MS, recording.shown_ms[-1] - 0.6 * window_ms, window_ms)
    for start_ms in starts_ms:
        try:
            windows.append(_measure_window(recording, (start_ms, start_ms + window_ms), file_levels, file_frames))
        except NotMeasurable as reason:
            reasons.append(str(reason))
    if not windows or len(windows) < MIN_WINDOW_SHARE * len(starts_ms):
        raise NotMeasurable(f"{len(windows)} of {len(starts_ms)} stretches can be measured: {'; '.join(reasons[:3])}")
    latency_ms = np.concatenate([window.latency_ms for window in windows])
    skew_ms = np.concatenate([window.latency_ms - window.voice_ms for window in windows])
    medians_ms, third = np.array([np.median(window.latency_ms) - window.voice_ms for window in windows]), max(1, len(windows) // 3)
    return LiveFigures(
        decoded_fps=recording.decoded / recording.decoded_s,
        latency_p50_ms=float(np.percentile(latency_ms, 50)),
        latency_p95_ms=float(np.percentile(latency_ms, 95)),
        voice_ms=float(np.median([window.voice_ms for window in windows])),
        skew_p50_ms=float(np.median(skew_ms)),
        skew_p95_abs_ms=float(np.percentile(np.abs(skew_ms), 95)),
        drift_ms=float(np.median(medians_ms[-third:]) - np.median(medians_ms[:third])),
        picture_correlation=float(np.median([window.correlation for window in windows])),
        gap_p99_ms=float(np.percentile(np.diff(recording.shown_ms[recording.shown_ms > starts_ms[0]]), 99)),
    )


@dataclass(frozen=True)
class _Window:
    latency_ms: Float[np.ndarray, " n"]
    """Of each picture, behind the microphone."""
    voice_ms: float
    correlation: float


def _measure_window(
    recording: Recording, between_ms: tuple[float, float], file_levels: Float[np.ndarray, " n"], file_frames: np.ndarray
) -> _Window:
    start_ms, end_ms = between_ms
    microphone_at_ms = _place("microphone", _between(recording.microphone, start_ms, end_ms), file_levels, None)
    file_ms = len(file_levels) / 2 * LEVEL_MS
    repeated_at_ms = start_ms + (microphone_at_ms - start_ms) % file_ms
    if repeated_at_ms < end_ms:
        # Of a stretch over the file's end only the longer side counts: what is shown just after the end was said before it.
        sides = (start_ms, repeated_at_ms), (repeated_at_ms + MAX_LATENCY_MS / 2, end_ms)
        start_ms, end_ms = max(sides, key=lambda side: side[1] - side[0])
        microphone_at_ms = _place("microphone", _between(recording.microphone, start_ms, end_ms), file_levels, None)
    voice_at_ms = _place("voice", _between(recording.voice, start_ms, end_ms), file_levels, microphone_at_ms)
    inside = (recording.shown_ms >= start_ms) & (recording.shown_ms < end_ms)
    if inside.sum() < FPS:
        raise NotMeasurable(f"{inside.sum()} pictures in {(end_ms - start_ms) / 1000:.1f} s; at least {FPS} were expected")
    shown_ms, frames = recording.shown_ms[inside], recording.frames[inside]
    # The frame of the file that the microphone delivered when the first picture was shown.
    heard_frame = (shown_ms[0] - microphone_at_ms) / FRAME_MS
    first_frame, correlation = _place_pictures(frames, recording.pictures[inside], file_frames, heard_frame)
    latency_ms = shown_ms - (microphone_at_ms + (frames - frames[0] + first_frame) * FRAME_MS)
    return _Window(latency_ms, voice_at_ms + OUTPUT_MS - microphone_at_ms, correlation)


def _between(levels: Float[np.ndarray, "n 2"], start_ms: float, end_ms: float) -> Float[np.ndarray, "m 2"]:
    return levels[(levels[:, 0] >= start_ms) & (levels[:, 0] < end_ms)]


def _repeat_once(expected: Float[np.ndarray, "n_moments pixels"], length: float) -> Float[np.ndarray, "n pixels"]:
    """The moments of a file that is `length` moments long (not a whole number) played twice."""
    moments = np.arange(np.ceil(2 * length - 1)) % length
    # The last moments of a file are shorter than a frame, and have no picture of their own.
    before = np.minimum(moments.astype(int), len(expected) - 1)
    after, share = np.minimum(before + 1, len(expected) - 1), (moments % 1)[:, None]
    return (1 - share) * expected[before] + share * expected[after]


def _levels(samples: Float[np.ndarray, " n"], rate_hz: int) -> Float[np.ndarray, " n"]:
    """Root mean square of each 10 ms, as the browser records it."""
    step = round(rate_hz * LEVEL_MS / 1000)
    whole = samples[: len(samples) // step * step].reshape(-1, step)
    return np.sqrt((whole.astype(float) ** 2).mean(1))


def _place(what: str, part: Float[np.ndarray, "n 2"], file_levels: Float[np.ndarray, " n"], near_ms: float | None) -> float:
    """Time at which the file's beginning was (or would have been) heard.

    Levels are compressed by a fourth root: the browser's automatic gain and noise suppression change them, hardly their shape.
    """
    if len(part) < 100:
        raise NotMeasurable(f"{what}: {len(part)} levels recorded; at least a second's were expected")
    grid_ms = np.arange(part[0, 0], part[-1, 0], GRID_MS)
    heard = np.interp(grid_ms, part[:, 0], part[:, 1]) ** 0.25
    # A level's time is the end of its 10 ms.
    file_ms = (np.arange(len(file_levels)) + 1) * LEVEL_MS
    fine_ms = np.arange(0.0, file_ms[-1], GRID_MS)
    said = np.interp(fine_ms, file_ms, file_levels) ** 0.25
    lags, values = _correlate(said, heard)
    starts_ms = grid_ms[0] - lags * GRID_MS
    if near_ms is not None:
        chosen = (starts_ms >= near_ms - MAX_LATENCY_MS / 4) & (starts_ms <= near_ms + MAX_LATENCY_MS)
        starts_ms, values = starts_ms[chosen], values[chosen]
    best = int(np.argmax(values))
    if values[best] < MIN_SOUND_CORRELATION:
        raise NotMeasurable(f"{what} resembles the file by {values[best]:.2f}; at least {MIN_SOUND_CORRELATION} was expected")
    return float(starts_ms[best])


def _place_pictures(
    frames: Float[np.ndarray, " n"],
    pictures: Float[np.ndarray, "n pixels"],
    expected: Float[np.ndarray, "n_moments pixels"],
    heard_frame: float,
) -> tuple[float, float]:
    """Frame of the file that the first picture is, to a fraction, and the correlation.

    A speaker repeats himself: only places up to two seconds before `heard_frame` count.
    """
    mean = expected.mean(0)
    axis = np.linalg.svd(expected - mean, full_matrices=False)[2][0]
    known = (expected - mean) @ axis
    seen = np.interp(np.arange(frames[0], frames[-1] + 1), frames, (pictures - mean) @ axis)
    known = known[: len(known) // PHASES * PHASES].reshape(-1, PHASES)
    by_phase = [_correlate(known[:, phase], seen) for phase in range(PHASES)]
    lags = (by_phase[0][0][:, None] + np.arange(PHASES) / PHASES).reshape(-1)
    values = np.stack([values for _, values in by_phase], 1).reshape(-1)
    values = np.where((lags > heard_frame - MAX_LATENCY_MS / FRAME_MS) & (lags < heard_frame + 0.5 * FPS), values, -1.0)
    best = int(np.argmax(values))
    if values[best] < MIN_CORRELATION:
        raise NotMeasurable(f"the mouth moves as expected by {values[best]:.2f}; at least {MIN_CORRELATION} was expected")
    return float(lags[best] + _peak(values, best) / PHASES), float(values[best])


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
