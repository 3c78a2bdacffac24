"""Reading video files: any rate, uneven times, a rotation flag, sound that starts late, and files that are none."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from editing.capture.video import SAMPLES_PER_FRAME, probe, read_frames, read_sound
from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH, HEIGHT = 96, 64
TICKS = 1000  # a second


def write_video(
    path: Path, times_s: Sequence[float], sound: np.ndarray | None = None, sound_from_s: float = 0.0, sound_rate_hz: int = 48000
) -> None:
    """Pictures whose left half is as light as their time says (2 a 40 ms), right half black above and white below."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "1", "g": "10"}
        video.codec_context.time_base = Fraction(1, TICKS)
        audio = None if sound is None else container.add_stream("aac", rate=sound_rate_hz, layout="mono")
        for time_s in times_s:
            picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            picture[:, : WIDTH // 2] = round(40 + 2 * time_s * 25)
            picture[HEIGHT // 2 :, WIDTH // 2 :] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time_s * TICKS), Fraction(1, TICKS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            for first in range(0, len(sound), 1024):
                block = av.AudioFrame.from_ndarray(sound[None, first : first + 1024].astype(np.float32), format="fltp", layout="mono")
                block.sample_rate = sound_rate_hz
                block.pts, block.time_base = first + round(sound_from_s * sound_rate_hz), Fraction(1, sound_rate_hz)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))


def tone(seconds: float, rate_hz: int = 48000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)


def levels(path: Path, first: int = 0, count: int | None = None) -> np.ndarray:
    info = probe(path)
    return np.array([frame[10:-10, 10:38].mean() for frame in read_frames(path, info, first, count)])


@pytest.mark.parametrize("rate_hz", [25, 30, 60, 24])
def test_any_rate_becomes_25_a_second(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, np.arange(round(1.6 * rate_hz)) / rate_hz, tone(1.6))
    info = probe(path)
    assert info.n_frames in (39, 40) and abs(info.rate_hz - rate_hz) < 0.1 and not info.variable_rate
    # Each picture is at most half of the source's frame off.
    assert np.abs(levels(path) - (40 + 2 * np.arange(info.n_frames))).max() <= 2 * 25 / rate_hz / 2 + 1.5


def test_uneven_times_are_told_and_followed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([0.02, 0.05], 60))
    times -= times[0]
    path = tmp_path / "clip.mkv"
    write_video(path, times, tone(2.0))
    assert probe(path).variable_rate
    found = levels(path)
    truth = 40 + 2 * np.arange(len(found))
    assert np.abs(found - truth).max() <= 2 * 25 * 0.025 + 1.5


def test_reading_may_begin_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, np.arange(90) / 30, tone(3.0))
    np.testing.assert_array_equal(levels(path, 37, 20), levels(path)[37:57])


def turn_clockwise(path: Path, degrees: int) -> None:
    """Write a rotation into an MP4's track header, as a telephone held upright does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version 0: times, id, duration; reserved; layer, group, volume
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one = 1 << 16
    matrix = (cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_flags_are_obeyed(tmp_path: Path, degrees: int) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, np.arange(50) / 25, tone(2.0))
    upright = next(read_frames(path, probe(path)))
    turn_clockwise(path, degrees)
    info = probe(path)
    assert (info.width, info.height) == ((WIDTH, HEIGHT) if degrees == 180 else (HEIGHT, WIDTH))
    assert info.rotation_deg == degrees
    np.testing.assert_array_equal(next(read_frames(path, info)), np.rot90(upright, -degrees // 90))


@pytest.mark.parametrize(("rate_hz", "from_s"), [(48000, 0.0), (44100, 0.0), (16000, 0.3)])
def test_sound_lies_on_the_pictures_time(tmp_path: Path, rate_hz: int, from_s: float) -> None:
    path = tmp_path / "clip.mkv"
    sound = tone(1.5, rate_hz)
    sound[: round(0.5 * rate_hz)] = 0.0  # begins half a second after the track does
    write_video(path, np.arange(50) / 25, sound, from_s, rate_hz)
    info = probe(path)
    heard = read_sound(path, info)
    assert len(heard) == info.n_frames * SAMPLES_PER_FRAME
    begins_s = np.flatnonzero(np.abs(heard) > 0.1)[0] / SAMPLE_RATE_HZ
    assert abs(begins_s - (0.5 + from_s)) < 0.03
    ends_s = np.flatnonzero(np.abs(heard) > 0.1)[-1] / SAMPLE_RATE_HZ
    assert abs(ends_s - (1.5 + from_s)) < 0.05
    loud = heard[round((begins_s + 0.1) * SAMPLE_RATE_HZ) : round((ends_s - 0.1) * SAMPLE_RATE_HZ)]
    assert abs(np.sqrt((loud**2).mean()) - 0.3 / np.sqrt(2)) < 0.02


def test_what_is_no_video_with_sound_is_refused_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    mute, silent = tmp_path / "mute.mp4", tmp_path / "silent.mp4"
    write_video(mute, np.arange(50) / 25)
    write_video(silent, np.arange(50) / 25, np.zeros(96000))
    only_sound = tmp_path / "sound.m4a"
    with av.open(str(only_sound), "w", format="mp4") as container:
        audio = container.add_stream("aac", rate=48000, layout="mono")
        block = av.AudioFrame.from_ndarray(tone(0.02)[None, :960].astype(np.float32), format="fltp", layout="mono")
        block.sample_rate = 48000
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    for path, reason in (
        (tmp_path / "missing.mp4", "not a file"),
        (tmp_path, "not a file"),
        (text, "cannot be read as a video"),
        (only_sound, "no pictures"),
        (mute, "no sound"),
    ):
        with pytest.raises(BadInput, match=reason) as caught:
            probe(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(BadInput, match="silent"):
        read_sound(silent, probe(silent))
