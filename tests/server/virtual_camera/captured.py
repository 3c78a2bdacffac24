"""What another program gets from the virtual camera and the virtual microphone, and how well both fit.

The sound has a steady quiet tone, so that every gap and every jump shows, and once a second a loud beep. A pretended avatar makes a picture
of it: the left half is the brighter the more of the frame's 40 ms is loud, so the picture in which a beep begins says when in them it did;
the right half counts the frames. GStreamer records both devices into one file; the time stamps are those at which each arrived, for the
clocks of sound and pictures differ (here by up to 1 ms a second), and a program for calls takes what comes when it comes.
"""

from __future__ import annotations

import dataclasses
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from server.virtual_camera.pulse import SOURCE
from server.virtual_camera.virtual_camera import TITLE
from tests.server.pretended_render import FRAME_SAMPLES, PretendedRender
from tests.server.virtual_camera.sound_session import hurried

if TYPE_CHECKING:
    from jaxtyping import Float, Int16, UInt8

RATE_HZ = 48_000
TONE_HZ, TONE_LEVEL = 440, 2_500
BEEP_HZ, BEEP_LEVEL, BEEP_S = 1_000, 16_000, 0.2
LOUD_LEVEL = 6_000
FRAME_S = 0.04
DARK, BRIGHT = 16, 235
COUNTS, COUNT_STEP = 16, 14
"""The right half's luma is 16 + 14 times the frame's number modulo 16."""
CAPTURED_WIDTH, CAPTURED_HEIGHT = 64, 36
WINDOW = 240
"""Samples, 5 ms."""
GAP_LEVEL = 0.5
"""Of the tone: a window of which less is left is a gap."""
MAX_PHASE_STEP = 1.0
"""Radians by which the tone may be off from one window to the next: a jump of 0.4 ms is more."""
PICTURE_GAP_S = 0.1
"""Between two captured pictures."""


def write_beeps(path: Path, seconds: int = 60) -> Path:
    """The sound; both tones are whole in a second, so repeated it has no jump, but a gap while the player begins again."""
    times = np.arange(seconds * RATE_HZ) / RATE_HZ
    is_on = (times % 1.0 >= 0.5) & (times % 1.0 < 0.5 + BEEP_S)
    samples = TONE_LEVEL * np.sin(2 * np.pi * TONE_HZ * times) + is_on * BEEP_LEVEL * np.sin(2 * np.pi * BEEP_HZ * times)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


class SoundPictures(PretendedRender):
    """The avatar: see the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: Int16[np.ndarray, " n"] = np.zeros(0, np.int16)

    def send(self, message: object) -> None:
        if pcm := getattr(message, "pcm", b""):
            self._heard = np.concatenate([self._heard, np.frombuffer(pcm, np.int16)])
        super().send(message)

    def _planes(self, frame: int, size_px: int) -> UInt8[np.ndarray, " n"]:
        sound, self._heard = self._heard[:FRAME_SAMPLES], self._heard[FRAME_SAMPLES:]
        # Half a period of the beep's own tone at a time.
        levels = np.abs(sound[: len(sound) // 24 * 24].reshape(-1, 24)).max(1, initial=0)
        share = float(np.mean(levels > LOUD_LEVEL)) if len(levels) else 0.0
        planes = np.full(size_px * size_px * 3 // 2, 128, np.uint8)
        luma = planes[: size_px * size_px].reshape(size_px, size_px)
        luma[:, : size_px // 2] = round(DARK + share * (BRIGHT - DARK))
        luma[:, size_px // 2 :] = DARK + COUNT_STEP * (frame % COUNTS)
        return planes


def capture(path: Path, seconds: float) -> None:
    """Record both devices into a file, as they come."""
    command = (
        f"gst-launch-1.0 -q -e matroskamux name=mux ! filesink location={path} "
        f"pipewiresrc target-object={TITLE} do-timestamp=true num-buffers={round(seconds / FRAME_S)} ! video/x-raw,format=I420 ! "
        f"videoscale ! video/x-raw,width={CAPTURED_WIDTH},height={CAPTURED_HEIGHT},pixel-aspect-ratio=1/1 ! queue ! mux. "
        f"pulsesrc device={SOURCE} num-buffers={round(seconds / 0.01)} buffer-time=100000 latency-time=10000 "
        "provide-clock=false slave-method=re-timestamp do-timestamp=true ! "
        f"audio/x-raw,format=S16LE,channels=1,rate={RATE_HZ} ! queue ! mux."
    )
    process = subprocess.Popen([*hurried(), *command.split()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=seconds + 30)
    finally:
        process.kill()
        process.wait()
    assert path.exists() and path.stat().st_size, f"GStreamer recorded nothing: {output}"


@dataclass(frozen=True)
class Captured:
    pictures_s: Float[np.ndarray, " n"]
    brightness: Float[np.ndarray, " n"]
    """0...1."""
    counts: Float[np.ndarray, " n"]
    voice: Float[np.ndarray, " n"]
    voice_s: Float[np.ndarray, " n"]
    """Time of each sample."""


def read_capture(path: Path) -> Captured:
    pictures_s, brightness, counts, voice, voice_s = [], [], [], [], []
    with av.open(str(path)) as file:
        for frame in file.decode(file.streams.video[0], file.streams.audio[0]):
            assert frame.time is not None
            if isinstance(frame, av.VideoFrame):
                luma = frame.to_ndarray()[: frame.height].astype(float)
                # A square picture within 16:9: the two halves of its middle.
                middle = luma[luma.shape[0] // 4 : -luma.shape[0] // 4]
                centre = luma.shape[1] // 2
                pictures_s.append(frame.time)
                brightness.append((middle[:, centre - 8 : centre - 3].mean() - DARK) / (BRIGHT - DARK))
                counts.append(round((middle[:, centre + 3 : centre + 8].mean() - DARK) / COUNT_STEP))
            else:
                assert isinstance(frame, av.AudioFrame)
                samples = frame.to_ndarray().reshape(-1).astype(float)
                voice.append(samples)
                voice_s.append(frame.time + np.arange(len(samples)) / RATE_HZ)
    return Captured(np.array(pictures_s), np.array(brightness), np.array(counts), np.concatenate(voice), np.concatenate(voice_s))


@dataclass(frozen=True)
class CameraFigures:
    seconds: float
    fps: float
    longest_picture_gap_ms: float
    picture_gaps: int
    """Longer than 100 ms."""
    frames_left_out: int
    frames_shown_again: int
    voice_gaps: int
    voice_jumps: int
    beeps: int
    av_offset_ms: float
    """Median; positive: the picture is behind the voice."""
    av_offset_least_ms: float
    av_offset_most_ms: float

    def rounded(self) -> dict[str, float]:
        return {name: round(float(value), 2) for name, value in dataclasses.asdict(self).items()}


def measure(captured: Captured, settling_s: float = 2.0) -> CameraFigures:
    """Everything after the first seconds."""
    begin_s = max(captured.pictures_s[0], captured.voice_s[0]) + settling_s
    end_s = min(captured.pictures_s[-1], captured.voice_s[-1])
    shown = (captured.pictures_s >= begin_s) & (captured.pictures_s <= end_s)
    heard = (captured.voice_s >= begin_s) & (captured.voice_s <= end_s)
    pictures_s = captured.pictures_s[shown]
    intervals_s = np.diff(pictures_s)
    steps = np.diff(captured.counts[shown]) % COUNTS
    gaps, jumps = voice_faults(captured.voice[heard])
    flashes_s = _flashes(pictures_s, captured.brightness[shown])
    beeps_s = _beeps(captured.voice[heard], captured.voice_s[heard])
    nearest = [(float(flash_s - beeps_s[np.argmin(np.abs(beeps_s - flash_s))])) for flash_s in flashes_s]
    offsets_ms = 1000 * np.array([offset_s for offset_s in nearest if abs(offset_s) < 0.4])
    assert len(offsets_ms), "no beep was both seen and heard"
    return CameraFigures(
        seconds=float(end_s - begin_s),
        fps=float((len(pictures_s) - 1) / (pictures_s[-1] - pictures_s[0])),
        longest_picture_gap_ms=float(1000 * intervals_s.max()),
        picture_gaps=int((intervals_s > PICTURE_GAP_S).sum()),
        frames_left_out=int(np.maximum(steps - 1, 0).sum()),
        frames_shown_again=int((steps == 0).sum()),
        voice_gaps=gaps,
        voice_jumps=jumps,
        beeps=len(offsets_ms),
        av_offset_ms=float(np.median(offsets_ms)),
        av_offset_least_ms=float(offsets_ms.min()),
        av_offset_most_ms=float(offsets_ms.max()),
    )


def _flashes(pictures_s: Float[np.ndarray, " n"], brightness: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """When beeps begin to be seen: in the first picture that is not dark, as far into it as it is dark."""
    begins = np.flatnonzero((brightness[1:] > 0.1) & (brightness[:-1] <= 0.1)) + 1
    times = [
        pictures_s[k] + (1 - brightness[k]) * FRAME_S if brightness[k] < 0.9 else pictures_s[k]
        for k in begins
        if k + 1 < len(brightness) and brightness[k + 1] > 0.9
    ]
    return np.array(times)


def _beeps(voice: Float[np.ndarray, " n"], voice_s: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    loud = np.flatnonzero(np.abs(voice) > LOUD_LEVEL)
    # Two zero crossings of a beep are 0.5 ms apart, two beeps 0.8 s.
    begins = loud[np.flatnonzero(np.diff(loud, prepend=-RATE_HZ) > RATE_HZ // 4)]
    return voice_s[begins]


def voice_faults(voice: Float[np.ndarray, " n"]) -> tuple[int, int]:
    """Gaps, and jumps of the tone outside of beeps and gaps."""
    windows = voice[: len(voice) // WINDOW * WINDOW].reshape(-1, WINDOW)
    times = np.arange(windows.size).reshape(windows.shape) / RATE_HZ
    is_loud = np.abs(windows).max(1) > LOUD_LEVEL
    is_gap = np.abs(windows).max(1) < GAP_LEVEL * TONE_LEVEL
    phases = np.angle((windows * np.exp(-2j * np.pi * TONE_HZ * times)).sum(1))
    steps = np.abs((np.diff(phases) + np.pi) % (2 * np.pi) - np.pi)
    is_clean = ~(is_loud | is_gap)
    is_jump = (steps > MAX_PHASE_STEP) & is_clean[1:] & is_clean[:-1]
    # At a beep's edges a window holds some of it.
    near_beep = np.convolve(is_loud, np.ones(5), "same") > 0
    is_jump &= ~near_beep[1:] & ~near_beep[:-1]
    return int((np.diff(is_gap.astype(int), prepend=0) == 1).sum()), int(is_jump.sum())
