"""`python -m tests.end_to_end.measure_camera [--seconds 120]`: the virtual camera and microphone, read back by GStreamer.

In a PipeWire of its own: beeps are played into a loudspeaker, a microphone hears them (sounddevice), a performance delays them, a pretended
avatar flashes with them, and picture and voice leave by the virtual camera and microphone; see `tests/server/virtual_camera/captured.py`.
Prints one JSON object: frame rate, gaps, how far apart flash and beep are in what GStreamer recorded, and how much of the processor the
machine's host took away (without which no sound server can be on time).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from renderer.library import find_avatar
from server.avatar_library import AvatarLibrary
from server.backgrounds import Backgrounds
from server.metrics import Metrics
from server.pauses import prepare_for_sessions
from server.performance import Performance, PerformancePlan
from server.text_to_speech import TextToSpeech
from server.tracker_process import TrackerProcess
from server.virtual_camera.local_microphone import LocalMicrophone
from server.virtual_camera.set_up import check_microphone, look
from server.virtual_camera.virtual_camera import VirtualCamera
from tests.end_to_end.stolen_time import StolenTime
from tests.server.pretended_render import FRAME_SAMPLES, SIZE_PX
from tests.server.virtual_camera.captured import SoundPictures, capture, measure, read_capture, voice_faults, write_beeps
from tests.server.virtual_camera.sound_session import LOUDSPEAKER, playing, sound_session

if TYPE_CHECKING:
    from jaxtyping import Int16

LATENCY_MS = 200.0
PLAYED_BESIDE_S = 30
"""Sound beyond what is recorded: the player needs a moment to play it again, which is a gap."""


@asynccontextmanager
async def performing(
    camera: VirtualCamera, delay_s: float | None = None, heard: list[Int16[np.ndarray, " n"]] | None = None
) -> AsyncIterator[Performance]:
    """The microphone, a performance of the pretended avatar, and the virtual devices, which are open. `heard`: gets what the microphone
    hears."""
    name = f"{LOUDSPEAKER}.monitor"
    microphone = LocalMicrophone(name, check_microphone(name))
    avatar = find_avatar("bundled")
    plan = PerformancePlan(
        str(avatar), SIZE_PX, stride=1, latency_ms=LATENCY_MS, adapts_latency=False, sound_needed=FRAME_SAMPLES, aspect=1.0
    )
    library = AvatarLibrary(str(avatar), avatar.parent)
    performance = Performance(
        plan, cast("Any", SoundPictures()), library, Backgrounds(), Metrics(), lambda _: None, TextToSpeech(), TrackerProcess()
    )
    await performance.open()
    await microphone.open()
    try:
        await camera.open(await asyncio.to_thread(look, "pipewire", None), (640, 360), delay_s)
        camera.show(performance)

        def hear(first: int, samples: Int16[np.ndarray, " n"]) -> None:
            if heard is not None:
                heard.append(samples)
            performance.hear(first, samples)

        microphone.hear = hear
        performance.play()
        yield performance
    finally:
        microphone.hear = None
        await microphone.aclose()
        await performance.aclose()
        await camera.close()


async def run(seconds: float, folder: Path) -> dict[str, Any]:
    prepare_for_sessions()
    camera = VirtualCamera()
    heard: list[Int16[np.ndarray, " n"]] = []
    async with performing(camera, heard=heard):
        await asyncio.sleep(2)
        path = folder / "captured.mkv"
        heard.clear()
        stolen = StolenTime()
        await asyncio.to_thread(capture, path, seconds)
        stolen_percent = round(stolen.percent, 1)
        info = camera.info
    figures = measure(await asyncio.to_thread(read_capture, path)).rounded()
    # What the microphone itself lost is no fault of what comes after it.
    gaps, jumps = voice_faults(np.concatenate(heard).astype(np.float64))
    ours = {"delay_ms": info.delay_ms, "repeated": info.repeated, "missing_voice_ms": info.missing_ms, "stolen_percent": stolen_percent}
    return {**figures, "microphone_gaps": gaps, "microphone_jumps": jumps, **ours}


def main(argv: list[str]) -> int:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to record (default 120)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        beeps = write_beeps(Path(folder) / "beeps.wav", round(options.seconds) + PLAYED_BESIDE_S)
        with sound_session(), playing(beeps):
            print(json.dumps(asyncio.run(run(options.seconds, Path(folder))), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
