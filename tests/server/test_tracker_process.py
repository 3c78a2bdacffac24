from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from editing import landmarks
from renderer.avatar_file import read_poster
from renderer.head_angles import head_angles_deg
from renderer.images import quantise, resize_picture
from renderer.library import find_avatar
from server.camera_picture import CameraPicture
from server.face_tracker import MODEL_SHA256, MODEL_VARIABLE, FaceTracker
from server.tracker_process import TrackerProcess

if TYPE_CHECKING:
    from renderer.head_guide import SeenFace

PATIENCE_S = 90.0
needs_model = pytest.mark.skipif(not os.environ.get(MODEL_VARIABLE), reason=f"{MODEL_VARIABLE} is not set")


class Listener:
    def __init__(self) -> None:
        self.faces: list[tuple[int, SeenFace | None]] = []
        self.failure: str | None = None

    def tracked(self, face: SeenFace | None, sample: int) -> None:
        self.faces.append((sample, face))

    def tracking_failed(self, message: str) -> None:
        self.failure = message


@pytest.fixture
async def tracker() -> AsyncIterator[TrackerProcess]:
    made = TrackerProcess()
    yield made
    await made.aclose()


@pytest.fixture(scope="module")
def portrait() -> CameraPicture:
    """The bundled avatar's still, as a camera would show it."""
    still = read_poster(find_avatar("bundled"))
    assert still is not None
    rgb = np.full((240, 320, 3), 90, np.uint8)
    rgb[:, 40:280] = quantise(resize_picture(still, 240, 240))
    picture = CameraPicture.of_rgb(rgb)
    assert picture is not None
    return picture


def wall() -> CameraPicture:
    picture = CameraPicture.of_rgb(np.full((240, 320, 3), 90, np.uint8))
    assert picture is not None
    return picture


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, f"waited {PATIENCE_S:g} s"
        await asyncio.sleep(0.01)


def children() -> list[psutil.Process]:
    """The trackers that run, or that ended and were not waited for yet."""
    return [child for child in psutil.Process().children() if _is_tracker(child)]


def _is_tracker(child: psutil.Process) -> bool:
    try:
        return "server.tracker_worker" in child.cmdline()
    except psutil.ZombieProcess:
        return True
    except psutil.NoSuchProcess:
        return False


def test_the_server_and_editing_know_the_same_model() -> None:
    assert (MODEL_VARIABLE, MODEL_SHA256) == (landmarks.MODEL_VARIABLE, landmarks.MODEL_SHA256)


async def test_tracker_process_says_why_it_cannot_begin(tracker: TrackerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = tmp_path / "other.task"
    model.write_bytes(b"another model")
    monkeypatch.setenv(MODEL_VARIABLE, str(model))
    listener = Listener()
    tracker.follow(listener)
    await until(lambda: listener.failure is not None)
    assert "not the face_landmarker.task" in (listener.failure or "")
    assert not tracker.is_running and not children()


@needs_model
async def test_tracker_process_finds_a_face_and_tells_where_there_is_none(tracker: TrackerProcess, portrait: CameraPicture) -> None:
    listener = Listener()
    tracker.follow(listener)
    tracker.put(listener, portrait, 480)
    await until(lambda: len(listener.faces) == 1)
    tracker.put(listener, wall(), 960)
    await until(lambda: len(listener.faces) == 2)
    (first, face), (second, nothing) = listener.faces
    assert (first, second) == (480, 960) and nothing is None and face is not None
    assert np.abs(head_angles_deg(face.camera_from_head[:3, :3])).max() < 15.0
    assert face.blink < 0.5 and face.camera_from_head[2, 3] > 1.0


@needs_model
async def test_tracker_process_keeps_the_newest_picture_of_each_and_lets_all_take_turns(
    tracker: TrackerProcess, portrait: CameraPicture
) -> None:
    first, second = Listener(), Listener()
    for listener in (first, second):
        tracker.follow(listener)
    assert len(children()) <= 1
    for sample in range(50):
        tracker.put(first, portrait, sample)
        tracker.put(second, wall(), 100 + sample)
    await until(lambda: bool(first.faces) and bool(second.faces))
    assert [sample for sample, _ in first.faces] == [49] and [sample for sample, _ in second.faces] == [149]


@needs_model
async def test_tracker_process_ends_with_the_last_follower_and_begins_again(tracker: TrackerProcess, portrait: CameraPicture) -> None:
    first, second = Listener(), Listener()
    for listener in (first, second):
        tracker.follow(listener)
    await until(lambda: len(children()) == 1)
    tracker.leave(first)
    tracker.put(second, portrait, 0)
    await until(lambda: len(second.faces) == 1)
    tracker.leave(second)
    await until(lambda: not children())
    assert not first.faces
    tracker.follow(first)
    tracker.put(first, portrait, 1)
    await until(lambda: len(first.faces) == 1)
    await tracker.aclose()
    assert not children()


@needs_model
async def test_tracker_process_that_is_killed_is_told_of(tracker: TrackerProcess, portrait: CameraPicture) -> None:
    listener = Listener()
    tracker.follow(listener)
    tracker.put(listener, portrait, 0)
    await until(lambda: len(listener.faces) == 1)
    children()[0].kill()
    await until(lambda: listener.failure is not None)
    assert listener.failure == "the face tracker ended unexpectedly"


@needs_model
def test_face_tracker_sees_a_turn_with_the_documented_sign() -> None:
    """A picture squeezed on one side is no turn; the avatar itself turned is."""
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar_file import load_avatar
    from renderer.backends.base import RenderOptions, open_backend
    from renderer.condition_stream import ConditionStream
    from renderer.types import AudioFeatures
    from renderer.view import View

    avatar, silence = load_avatar(find_avatar("bundled")), AudioEncoder.bundled().silence_features()
    avatar = avatar.replace(pose_track=avatar.pose_track[:1], eye_track=np.ones(1, np.float32))
    backend, tracker = open_backend(avatar, RenderOptions(size=256, threads=1)), FaceTracker()
    angles = []
    try:
        for view in (View(-12.0, 0.0), View(12.0, 0.0), View(0.0, -8.0), View(0.0, 8.0)):
            stream = ConditionStream(avatar, silence)
            stream.push(AudioFeatures(np.tile(silence, (300, 1)), 0))
            stream.view = view
            stream.skip_to(100)
            condition = stream.next()
            assert condition is not None
            face = tracker.look(backend.render([condition])[0])
            assert face is not None
            angles.append(head_angles_deg(face.camera_from_head[:3, :3]))
    finally:
        tracker.close()
        backend.close()
    left, right, up, down = angles
    assert right[0] - left[0] > 12.0 and down[1] - up[1] > 8.0
