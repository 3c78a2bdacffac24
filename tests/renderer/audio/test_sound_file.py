"""Sound files of many kinds, and files that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from renderer.audio.sound_file import read_sound_file
from renderer.errors import BadAudio
from renderer.types import SAMPLE_RATE_HZ


def encoded(samples: np.ndarray, code: int, bits: int) -> bytes:
    """PCM bytes of float samples."""
    if code == 3:
        return samples.astype(f"<f{bits // 8}").tobytes()
    scaled = np.clip(samples * 2.0 ** (bits - 1), -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    if bits == 8:
        return (scaled + 128).astype(np.uint8).tobytes()
    if bits == 24:
        return scaled.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    return scaled.astype(f"<i{bits // 8}").tobytes()


def wav(samples: np.ndarray, rate_hz: int, code: int = 1, bits: int = 16, extensible: bool = False) -> bytes:
    """A WAV file of samples [n] or [n, channels]."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    data = encoded(samples.reshape(-1), code, bits)
    frame = channels * bits // 8
    header = struct.pack("<HHIIHH", 0xFFFE if extensible else code, channels, rate_hz, rate_hz * frame, frame, bits)
    if extensible:
        header += struct.pack("<HHIH", 22, bits, 0, code) + bytes(14)
    body = b"WAVE" + b"LIST" + struct.pack("<I", 3) + b"odd\0"
    body += b"fmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tone(rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    return 0.4 * np.sin(2 * np.pi * 440 * time_s) * np.hanning(len(time_s))


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("stereo", [False, True])
def test_read_sound_file_at_any_rate(tmp_path: Path, rate_hz: int, stereo: bool) -> None:
    samples = tone(rate_hz)
    if stereo:
        samples = np.stack([samples * 1.5, samples * 0.5], 1)
    path = tmp_path / "tone.wav"
    path.write_bytes(wav(samples, rate_hz))
    read = read_sound_file(path)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, tone(SAMPLE_RATE_HZ)[: len(read)], atol=2e-3)


@pytest.mark.parametrize(("code", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
@pytest.mark.parametrize("extensible", [False, True])
def test_read_sound_file_in_any_sample_format(tmp_path: Path, code: int, bits: int, extensible: bool) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(wav(tone(SAMPLE_RATE_HZ), SAMPLE_RATE_HZ, code, bits, extensible))
    tolerance = 0.01 if bits == 8 else 1e-4
    np.testing.assert_allclose(read_sound_file(path), tone(SAMPLE_RATE_HZ), atol=tolerance)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_read_sound_file_through_ffmpeg(tmp_path: Path, suffix: str) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / f"tone.{suffix}"
    codec = {"flac": "flac", "ogg": "libopus", "mp3": "mp3"}[suffix]
    samples = tone(48_000, 1.0).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=48_000, frame_size=stream.frame_size or 4096)
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = 48_000
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    read = read_sound_file(path)
    expected = tone(SAMPLE_RATE_HZ, 1.0)
    assert len(read) >= 0.95 * len(expected)
    best = max(np.corrcoef(read[lag : lag + 12_000], expected[2000:14_000])[0, 1] for lag in range(1000, 3500))
    assert best > 0.99


def test_read_sound_file_accepts_silent_and_clipped_sound(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(np.zeros(1600), SAMPLE_RATE_HZ))
    assert not read_sound_file(path).any()
    path.write_bytes(wav(np.sign(tone(SAMPLE_RATE_HZ)) * 3.0, SAMPLE_RATE_HZ, code=3, bits=32))
    assert np.abs(read_sound_file(path)).max() == 1.0


def test_read_sound_file_accepts_an_unknown_length(tmp_path: Path) -> None:
    content = bytearray(wav(tone(SAMPLE_RATE_HZ), SAMPLE_RATE_HZ))
    position = content.index(b"data") + 4
    content[position : position + 4] = b"\xff\xff\xff\xff"
    path = tmp_path / "piped.wav"
    path.write_bytes(content)
    assert len(read_sound_file(path)) == len(tone(SAMPLE_RATE_HZ))


GOOD = wav(tone(SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is text, not sound", "not a sound file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "no sound track"),
        (GOOD[: len(GOOD) // 2], "truncated"),
        (GOOD[:40], "truncated"),
        (GOOD[:12], "truncated"),
        (wav(np.zeros(0), SAMPLE_RATE_HZ), "no sound"),
        (wav(np.zeros(100), 100), "100 Hz"),
        (wav(np.full(100, np.nan), SAMPLE_RATE_HZ, 3, 32), "not numbers"),
        (GOOD.replace(struct.pack("<HH", 1, 1), struct.pack("<HH", 17, 1), 1), "WAV format 17"),
    ],
)
def test_read_sound_file_rejects_what_is_no_sound(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(BadAudio, match=reason) as caught:
        read_sound_file(path)
    assert "\n" not in str(caught.value)
    assert "bad.wav" in str(caught.value) or "100 Hz" in reason


def test_read_sound_file_rejects_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(BadAudio, match="No such file"):
        read_sound_file(tmp_path / "missing.wav")
    with pytest.raises(BadAudio, match="a folder"):
        read_sound_file(tmp_path)
