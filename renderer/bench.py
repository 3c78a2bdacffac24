"""`python -m renderer bench`: how long a frame takes, head moving and audio changing as in a live session.

Times are wall time of one `Backend.render` call of one frame, in ms. The first frames are not counted: they warm caches and clocks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.command_line import OneLineParser
from renderer.condition_stream import ping_pong
from renderer.errors import BadInput
from renderer.types import FrameCondition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from renderer.avatar import Avatar
    from renderer.backends.base import Backend

DESCRIPTION = "Measure the time a frame of an avatar takes."
N_WARM_UP = 5
SILENCE, LOUDEST = -10.0, 0.0
"""Range of the audio features (log-probabilities, nats)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog="python -m renderer bench", description=DESCRIPTION)
    p.add_argument("--avatar", default="bundled", help="avatar file, or name of one that ships with the program (default bundled)")
    p.add_argument("--size", type=int, default=256, help="height of the picture in pixels (default 256)")
    p.add_argument("--frames", type=int, default=100, help="frames to measure (default 100)")
    p.add_argument("--backend", default="auto", help="auto, cpu or torch (default auto)")
    p.add_argument("--isa", default="auto", help="cpu backend: auto, or an instruction set by name (default auto)")
    p.add_argument("--threads", type=int, default=1, help="render threads (default 1)")
    p.add_argument("--refine", default="auto", help="what a refiner works on: auto, picture, face or mouth (default auto)")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    arguments = parser().parse_args(argv)
    from renderer.backends.base import RenderOptions, open_backend
    from renderer.library import open_avatar

    if arguments.frames < 1:
        raise BadInput(f"--frames {arguments.frames}: at least 1 is needed")
    options = RenderOptions(size=arguments.size, threads=arguments.threads, isa=arguments.isa, refine_scope=arguments.refine)
    avatar = open_avatar(arguments.avatar)
    backend = open_backend(avatar, options, arguments.backend)
    try:
        report = measure(avatar, backend, arguments.frames)
    finally:
        backend.close()
    report = {"backend": backend.name, "isa": backend.isa, "threads": options.threads, "size": options.size, **report}
    if arguments.json:
        print(json.dumps(report))
        return 0
    print(f"{report['backend']} {report['isa']}, {report['threads']} thread(s), {report['size']} px, {report['frames']} frames")
    print(f"median {report['median_ms']:.1f} ms, p95 {report['p95_ms']:.1f}, p99 {report['p99_ms']:.1f}, {report['fps']:.1f} FPS")
    for stage, ms in report["stages"].items():
        print(f"  {stage:<16}{ms:8.2f} ms")
    return 0


def measure(avatar: Avatar, backend: Backend, n_frames: int) -> dict[str, Any]:
    """Render `n_frames` after a warm-up; `fps` is what the median allows."""
    from tqdm import tqdm

    times_ms = []
    for i, condition in enumerate(
        tqdm(moving_conditions(avatar, n_frames + N_WARM_UP), total=n_frames + N_WARM_UP, unit="frame", disable=not sys.stderr.isatty())
    ):
        if i == N_WARM_UP:
            backend.stage_ms()
        started = time.perf_counter()
        backend.render([condition])
        times_ms.append(1000.0 * (time.perf_counter() - started))
    median, p95, p99 = np.percentile(times_ms[N_WARM_UP:], [50, 95, 99])
    return {
        "frames": n_frames,
        "median_ms": round(float(median), 3),
        "p95_ms": round(float(p95), 3),
        "p99_ms": round(float(p99), 3),
        "fps": round(1000.0 / float(median), 2),
        "stages": {stage: round(ms, 3) for stage, ms in backend.stage_ms().items()},
    }


def moving_conditions(avatar: Avatar, n_frames: int) -> Iterator[FrameCondition]:
    """The avatar's idle motion with audio windows that change from frame to frame."""
    random = np.random.default_rng(0)
    shape = (avatar.field_config.audio_window.n_steps, avatar.field_config.feature_dim)
    for frame in range(n_frames):
        row = ping_pong(frame, len(avatar.pose_track))
        yield FrameCondition(
            index=frame,
            audio_window=random.uniform(SILENCE, LOUDEST, shape).astype(np.float32),
            camera_from_head=avatar.pose_track[row],
            eye_ratio=float(avatar.eye_track[row]),
        )
