"""`python -m renderer render`: a sound file becomes a talking video, with the same code as the live server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renderer.command_line import OneLineParser
from renderer.emotion import NEUTRAL, Emotion
from renderer.errors import BadInput, EncoderMismatch
from renderer.types import DEFAULT_REFINE_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from jaxtyping import Float, UInt8

    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar
    from renderer.backends.base import Backend

DESCRIPTION = "Render a video of an avatar that speaks a sound file."


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog="python -m renderer render", description=DESCRIPTION)
    p.add_argument("--avatar", default="bundled", help="avatar file, or name of one that ships with the program (default bundled)")
    p.add_argument("--audio", type=Path, required=True, help="sound file (WAV, or anything FFmpeg reads)")
    p.add_argument("--out", type=Path, required=True, help="video to write (*.mp4)")
    p.add_argument("--size", type=int, default=256, help="height of the picture in pixels (default 256)")
    p.add_argument("--encoder", help="audio encoder (default: the one the avatar was trained with)")
    p.add_argument("--backend", default="auto", help="auto, cpu or torch (default auto)")
    p.add_argument("--threads", type=int, default=1, help="render threads (default 1)")
    p.add_argument("--smoothing", type=float, default=0.0, help="lip smoothing beta, 0 to 0.7 (default 0)")
    p.add_argument("--omega", type=float, default=DEFAULT_REFINE_WEIGHT, help="detail of the refiner, 0 to 1 (default 0.8)")
    p.add_argument("--refine", default="auto", help="what the refiner works on: auto, picture, face or mouth (default auto)")
    p.add_argument("--seed", type=int, default=0, help="where in the clip the idle motion begins (default 0)")
    p.add_argument(
        "--emotion", default="neutral:0", metavar="NAME:STRENGTH", help="held through the video, strength 0 to 1, e.g. happy:0.6"
    )
    p.add_argument("--background", type=Path, help="picture to show behind the person (default: the avatar's own)")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    arguments = parser().parse_args(argv)
    from renderer.audio.export import load_encoder
    from renderer.audio.sound_file import read_sound_file
    from renderer.backends.base import RenderOptions, open_backend
    from renderer.library import open_avatar
    from renderer.video_file import VideoWriter

    if not 0.0 <= arguments.smoothing <= 0.7:
        raise BadInput(f"--smoothing {arguments.smoothing:g}: 0 to 0.7 is possible")
    if not 0.0 <= arguments.omega <= 1.0:
        raise BadInput(f"--omega {arguments.omega:g}: 0 to 1 is possible")
    emotion = Emotion.parse(arguments.emotion)
    avatar = open_avatar(arguments.avatar)
    if emotion.category != NEUTRAL.category and not avatar.is_emotional:
        raise BadInput(f"--emotion {arguments.emotion}: avatar {avatar.name!r} was made without emotions and can show none")
    options = RenderOptions(size=arguments.size, threads=arguments.threads, refine_scope=arguments.refine)
    samples = read_sound_file(arguments.audio)
    encoder = load_encoder(arguments.encoder or avatar.encoder.id)
    check_encoder(avatar, encoder)
    background = read_picture(arguments.background) if arguments.background else None
    backend = open_backend(avatar, options, arguments.backend)
    width = round(options.size * avatar.camera.width / avatar.camera.height)
    try:
        with VideoWriter(arguments.out, width, options.size, avatar.fps) as writer:
            controls = (arguments.smoothing, arguments.seed, background, arguments.omega, emotion)
            for picture in speak(avatar, encoder, backend, samples, *controls):
                writer.add_frame(picture)
            writer.add_audio(samples)
            writer.close()
    finally:
        backend.close()
    print(f"wrote {arguments.out}", file=sys.stderr)
    return 0


def check_encoder(avatar: Avatar, encoder: AudioEncoder) -> None:
    """Raise EncoderMismatch unless `encoder` is the one that `avatar` was trained with."""
    if encoder.spec.sha256 != avatar.encoder.sha256:
        raise EncoderMismatch(
            f"avatar {avatar.name!r} was trained with encoder {avatar.encoder.id} ({avatar.encoder.sha256[:12]}…), "
            f"not {encoder.spec.id} ({encoder.spec.sha256[:12]}…)"
        )


def speak(
    avatar: Avatar,
    encoder: AudioEncoder,
    backend: Backend,
    samples: Float[np.ndarray, " n_samples"],
    smoothing: float = 0.0,
    seed: int = 0,
    background: UInt8[np.ndarray, "h w 3"] | None = None,
    refine_weight: float = DEFAULT_REFINE_WEIGHT,
    emotion: Emotion = NEUTRAL,
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Pictures of the avatar speaking `samples`, one for each 1/fps s of sound."""
    import numpy as np
    from tqdm import tqdm

    from renderer.audio.streaming import encode_all
    from renderer.condition_stream import ConditionStream
    from renderer.types import SAMPLE_RATE_HZ, AudioFeatures

    n_frames = max(1, len(samples) * avatar.fps // SAMPLE_RATE_HZ)
    silence = encoder.silence_features()
    stream = ConditionStream(avatar, silence, seed, smoothing, background, refine_weight, emotion)
    stream.push(encode_all(encoder, samples))
    # The last frames look past the end of the sound: silence follows it.
    tail = avatar.field_config.audio_window.n_steps
    stream.push(AudioFeatures(np.tile(silence, (tail, 1)), stream.next_step))
    for _ in tqdm(range(n_frames), unit="frame", disable=not sys.stderr.isatty()):
        condition = stream.next()
        assert condition is not None
        yield backend.render([condition])[0]


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    import av

    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                return frame.to_ndarray(format="rgb24")
    except (OSError, av.FFmpegError) as error:
        raise BadInput(f"--background {path}: not a picture that can be read ({error})") from error
    raise BadInput(f"--background {path}: holds no picture")
