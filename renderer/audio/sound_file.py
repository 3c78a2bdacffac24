"""Reading a sound file as mono float32 at 16 kHz, -1...1.

WAV files are read here, so that a truncated one is noticed; everything else goes through FFmpeg (PyAV).
Silent and clipped sound is sound like any other; a file without any sample is not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.audio.resample import mixed_to_mono, resample_all
from renderer.errors import BadAudio

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float32, UInt8

MAX_CHANNELS = 64
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_FORMAT_BYTES = 16
_EXTENSIBLE_BYTES = 26  # up to and with the format code in the sub-format's first two bytes
# Written by programs that could not seek back to fill in the length: the sound goes on to the file's end.
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)


@dataclass(frozen=True)
class _WavFormat:
    code: int
    n_channels: int
    rate_hz: int
    bits: int

    @property
    def frame_bytes(self) -> int:
        return self.n_channels * self.bits // 8


def read_sound_file(path: Path) -> Float32[np.ndarray, " n_samples"]:
    """The sound of a file at 16 kHz; raises BadAudio with one line where there is none."""
    if path.is_dir():
        raise BadAudio(f"{path}: a folder; a sound file is needed")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadAudio(f"{path}: {error.strerror or error}") from error
    if not content:
        raise BadAudio(f"{path}: the file is empty")
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return read_wav_bytes(content, str(path))
    return _usable(*_read_with_ffmpeg(path), str(path))


def read_wav_bytes(content: bytes, name: str) -> Float32[np.ndarray, " n_samples"]:
    """The sound of a WAV file's content at 16 kHz; `name` is what errors call it."""
    return _usable(*_read_wav(content, name), name)


def _usable(samples: Float32[np.ndarray, " n_samples"], rate_hz: int, path: str) -> Float32[np.ndarray, " n_resampled"]:
    if not len(samples):
        raise BadAudio(f"{path}: holds no sound; at least one sample is needed")
    if not np.isfinite(samples).all():
        raise BadAudio(f"{path}: holds samples that are not numbers")
    return np.asarray(np.clip(resample_all(samples, rate_hz), -1.0, 1.0))


def _read_wav(content: bytes, path: str) -> tuple[Float32[np.ndarray, " n_samples"], int]:
    wav_format: _WavFormat | None = None
    position = 12
    while position + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, position)
        body = position + 8
        if name == b"fmt ":
            wav_format = _parse_format(content[body : body + length], path)
        elif name == b"data":
            if wav_format is None:
                raise BadAudio(f"{path}: a WAV file whose format chunk is missing")
            if length in _UNKNOWN_LENGTHS:
                length = len(content) - body
            if body + length > len(content):
                raise BadAudio(f"{path}: truncated; {length} bytes of sound were announced, {len(content) - body} are there")
            length -= length % wav_format.frame_bytes
            samples = _decode_pcm(np.frombuffer(content, np.uint8, length, body), wav_format)
            return mixed_to_mono(samples.reshape(-1, wav_format.n_channels)), wav_format.rate_hz
        position = body + length + length % 2
    raise BadAudio(f"{path}: truncated; a WAV file without its sound")


def _parse_format(chunk: bytes, path: str) -> _WavFormat:
    if len(chunk) < _FORMAT_BYTES:
        raise BadAudio(f"{path}: truncated; its WAV format is incomplete")
    code, n_channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if code == _EXTENSIBLE and len(chunk) >= _EXTENSIBLE_BYTES:
        (code,) = struct.unpack_from("<H", chunk, _EXTENSIBLE_BYTES - 2)
    if (code, bits) not in ((_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)):
        raise BadAudio(f"{path}: WAV format {code} with {bits} bits; PCM of 8 to 32 bits or float is possible")
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise BadAudio(f"{path}: {n_channels} channels; 1 to {MAX_CHANNELS} are possible")
    return _WavFormat(code, n_channels, rate_hz, bits)


def _decode_pcm(data: UInt8[np.ndarray, " n_bytes"], wav_format: _WavFormat) -> Float32[np.ndarray, " n"]:
    if wav_format.code == _FLOAT:
        return data.view(f"<f{wav_format.bits // 8}").astype(np.float32)
    if wav_format.bits == 8:  # the only unsigned one
        return (data.astype(np.float32) - 128.0) / 128.0
    if wav_format.bits == 24:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = data.reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / 2.0**31
    return data.view(f"<i{wav_format.bits // 8}").astype(np.float32) / 2.0 ** (wav_format.bits - 1)


def _read_with_ffmpeg(path: Path) -> tuple[Float32[np.ndarray, " n_samples"], int]:
    import av

    pieces: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise BadAudio(f"{path}: holds no sound track")
            stream = container.streams.audio[0]
            rate_hz = int(stream.rate)
            resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate_hz)
            for frame in container.decode(stream):
                pieces += [part.to_ndarray() for part in resampler.resample(frame)]
            pieces += [part.to_ndarray() for part in resampler.resample(None)]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadAudio(f"{path}: not a sound file that can be read ({error})") from error
    if not pieces:
        raise BadAudio(f"{path}: holds no sound; at least one sample is needed")
    return mixed_to_mono(np.concatenate(pieces, axis=1).T), rate_hz
