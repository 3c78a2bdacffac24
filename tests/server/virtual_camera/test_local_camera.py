from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from renderer.errors import BadInput
from renderer.types import FPS
from server.virtual_camera.local_camera import CameraSource, LocalCamera, find_camera
from server.virtual_camera.set_up import System
from tests.end_to_end.camera_film import HEIGHT_PX, WIDTH_PX, write_film

if TYPE_CHECKING:
    from server.camera_picture import CameraPicture

PATIENCE_S = 30.0
N_PICTURES = 10


def brightening(path: Path) -> Path:
    """A film from dark to bright, 0.4 s."""
    write_film(path, [np.full((64, 64, 3), 40 + 15 * index, np.uint8) for index in range(N_PICTURES)])
    return path


def linux(root: Path, *numbers: int, virtual: tuple[int, ...] = ()) -> System:
    (root / "dev").mkdir(parents=True)
    for number in numbers:
        (root / "dev" / f"video{number}").touch()
    for number in virtual:
        (root / "sys/devices/virtual/video4linux" / f"video{number}").mkdir(parents=True)
    return System(name="Linux", folder=root)


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s"
        await asyncio.sleep(0.01)


def test_find_camera_takes_the_first_that_is_not_virtual(tmp_path: Path) -> None:
    system = linux(tmp_path, 0, 2, 10, virtual=(0,))
    assert find_camera("auto", system) == CameraSource("/dev/video2", "v4l2", {"video_size": "640x480"})
    assert find_camera("/dev/video10", system).name == "/dev/video10"
    film = tmp_path / "me.mp4"
    film.touch()
    assert find_camera(str(film), system) == CameraSource(str(film))


def test_find_camera_knows_the_other_systems(tmp_path: Path) -> None:
    mac, windows = System(name="Darwin", folder=tmp_path), System(name="Windows", folder=tmp_path)
    assert (find_camera("auto", mac).name, find_camera("auto", mac).format) == ("0", "avfoundation")
    assert (find_camera("HD Webcam", windows).name, find_camera("HD Webcam", windows).format) == ("video=HD Webcam", "dshow")
    with pytest.raises(BadInput, match="name is needed"):
        find_camera("auto", windows)


def test_find_camera_says_what_there_is(tmp_path: Path) -> None:
    system = linux(tmp_path, 0, 4, virtual=(0,))
    with pytest.raises(BadInput, match=r"/dev/video0.*the avatar would follow itself"):
        find_camera("/dev/video0", system)
    with pytest.raises(BadInput, match=r"'/dev/video7'.*cameras here: /dev/video4"):
        find_camera("/dev/video7", system)
    with pytest.raises(BadInput, match=r"'auto'.*cameras here: none"):
        find_camera("auto", linux(tmp_path / "bare"))


async def test_local_camera_plays_a_film_in_its_own_time_again_and_again(tmp_path: Path) -> None:
    seen: list[tuple[CameraPicture, float]] = []
    camera = LocalCamera(CameraSource(str(brightening(tmp_path / "film.y4m"))))
    camera.see = lambda picture, came_s: seen.append((picture, came_s))
    try:
        await until(lambda: len(seen) > 2 * N_PICTURES)
    finally:
        await camera.aclose()
    n_seen = len(seen)
    brightness = np.array([np.frombuffer(picture.planes, np.uint8)[: WIDTH_PX * HEIGHT_PX].mean() for picture, _ in seen])
    rises = np.diff(brightness) > 0
    assert rises[: N_PICTURES - 1].sum() >= N_PICTURES - 2 and (~rises).any(), "from dark to bright, and again"
    assert (seen[0][0].width, seen[0][0].height) == (WIDTH_PX, HEIGHT_PX)
    came_s = np.array([came_s for _, came_s in seen])
    assert came_s[N_PICTURES - 1] - came_s[0] > 0.8 * (N_PICTURES - 1) / FPS, "no faster than it was taken"
    await asyncio.sleep(0.1)
    assert len(seen) == n_seen, "nothing comes after its end"


@pytest.mark.parametrize(
    ("name", "words"), [("gone.mp4", "No such file"), ("sound.wav", "it has no pictures"), ("text.mp4", "Invalid data")]
)
async def test_local_camera_says_once_why_it_brings_nothing_and_tries_again(
    tmp_path: Path, name: str, words: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.virtual_camera.local_camera.RETRY_S", 0.02)
    path = tmp_path / name
    if name == "sound.wav":
        with av.open(str(path), "w") as file:
            stream = file.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            file.mux(stream.encode(frame))
    elif name == "text.mp4":
        path.write_text("no film at all")
    camera, seen = LocalCamera(CameraSource(str(path))), list[float]()
    camera.see = lambda _, came_s: seen.append(came_s)
    try:
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.2)
        assert [record.getMessage() for record in caplog.records if words in record.getMessage()] == [
            record.getMessage() for record in caplog.records
        ]
        assert len(caplog.records) == 1
        # It is there at last.
        brightening(tmp_path / "film.y4m").replace(path)
        await until(lambda: bool(seen))
    finally:
        await camera.aclose()
