"""From a sound file to a talking video, and what is refused on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from renderer.audio.encoder import AudioEncoder
from renderer.avatar_file import save_avatar
from renderer.backends.base import RenderOptions, open_backend
from renderer.emotion import NEUTRAL, Emotion
from renderer.errors import BadInput, EncoderMismatch
from renderer.render import check_encoder, main, read_picture, speak
from renderer.types import SAMPLE_RATE_HZ
from renderer.video_file import VideoWriter
from tests.renderer.synthetic_avatar import synthetic_avatar

if TYPE_CHECKING:
    from pathlib import Path

    from renderer.avatar import Avatar


def avatar_for(encoder: AudioEncoder, emotional: bool = False) -> Avatar:
    import dataclasses

    avatar = synthetic_avatar(small=True, size_px=64, emotional=emotional)
    return avatar.replace(encoder=dataclasses.replace(avatar.encoder, sha256=encoder.spec.sha256))


def tone(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray) -> Path:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def test_render_writes_a_video_as_long_as_its_sound(tmp_path: Path) -> None:
    save_avatar(avatar_for(AudioEncoder.bundled()), tmp_path / "a.avatar")
    sound = write_wav(tmp_path / "tone.wav", tone(1.0))
    out = tmp_path / "out.mp4"
    assert main(["--avatar", str(tmp_path / "a.avatar"), "--audio", str(sound), "--out", str(out), "--size", "64"]) == 0
    with av.open(str(out)) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with av.open(str(out)) as container:
        samples = sum(f.samples for f in container.decode(audio=0))
    assert len(pictures) == 25 and pictures[0].shape == (64, 64, 3)
    assert abs(samples / SAMPLE_RATE_HZ - 1.0) < 0.15
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.avatar", "out.mp4", "tone.wav"]


def test_speak_depends_on_the_sound() -> None:
    encoder = AudioEncoder.bundled()
    avatar = avatar_for(encoder)
    backend = open_backend(avatar, RenderOptions(size=64))
    loud = np.random.default_rng(0).normal(0, 0.2, SAMPLE_RATE_HZ // 2).astype(np.float32)
    a = np.stack(list(speak(avatar, encoder, backend, loud)))
    b = np.stack(list(speak(avatar, encoder, backend, np.zeros_like(loud))))
    backend.close()
    assert a.shape == b.shape == (12, 64, 64, 3)
    assert np.abs(a.astype(int) - b).max() > 3


def test_render_shows_the_emotion_from_the_first_picture_on() -> None:
    encoder = AudioEncoder.bundled()
    avatar = avatar_for(encoder, emotional=True)
    backend = open_backend(avatar, RenderOptions(size=64))
    quiet = np.zeros(SAMPLE_RATE_HZ // 5, np.float32)
    plain, happy = (np.stack(list(speak(avatar, encoder, backend, quiet, emotion=wish))) for wish in (NEUTRAL, Emotion("happy", 1.0)))
    backend.close()
    assert np.abs(plain[0].astype(int) - happy[0]).max() > 20


@pytest.mark.parametrize(
    ("emotion", "complaint"),
    [
        ("bored:1", "'bored' is unknown"),
        ("happy:2", "strength 2"),
        ("happy:x", "NAME:STRENGTH"),
        ("happy:0.5", "'synthetic' was made without"),
    ],
)
def test_render_rejects_emotions_in_one_line_and_writes_nothing(tmp_path: Path, emotion: str, complaint: str) -> None:
    save_avatar(avatar_for(AudioEncoder.bundled()), tmp_path / "a.avatar")
    sound, out = write_wav(tmp_path / "tone.wav", tone(0.1)), tmp_path / "out.mp4"
    with pytest.raises(BadInput, match=complaint):
        main(["--avatar", str(tmp_path / "a.avatar"), "--audio", str(sound), "--out", str(out), "--emotion", emotion])
    assert not out.exists()


def test_speak_ends_with_the_sound_even_if_it_is_short() -> None:
    encoder = AudioEncoder.bundled()
    avatar = avatar_for(encoder)
    backend = open_backend(avatar, RenderOptions(size=64))
    assert len(list(speak(avatar, encoder, backend, np.zeros(100, np.float32)))) == 1
    backend.close()


def test_another_encoder_is_refused_with_both_names() -> None:
    with pytest.raises(EncoderMismatch, match=r"bundled \(000000000000"):
        check_encoder(synthetic_avatar(small=True, size_px=64), AudioEncoder.bundled())


def test_video_writer_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "x.mp4", 64, 64, 25) as writer:
        writer.add_frame(np.zeros((64, 64, 3), np.uint8))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_video_writer_rejects_other_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"\.mp4"):
        VideoWriter(tmp_path / "x.avi", 64, 64, 25)
    with pytest.raises(BadInput, match="does not exist"):
        VideoWriter(tmp_path / "no" / "x.mp4", 64, 64, 25)


def test_background_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"hello")
    with pytest.raises(BadInput, match=r"x\.png"):
        read_picture(tmp_path / "x.png")
