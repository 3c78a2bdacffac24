"""An avatar that follows a face in Chromium's fake camera, on the real page in front of the real server."""

from __future__ import annotations

import dataclasses
import io
import os
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from renderer.audio.encoder import AudioEncoder
from renderer.avatar_file import load_avatar, save_avatar
from renderer.backends.base import RenderOptions, open_backend
from renderer.condition_stream import ConditionStream
from renderer.head_angles import head_angles_deg, head_rotation
from renderer.library import find_avatar
from renderer.types import FPS, AudioFeatures
from server.face_tracker import MODEL_VARIABLE, FaceTracker
from tests.end_to_end.camera_film import write_film
from tests.end_to_end.live_browser import find_browser, open_page, press_start
from tests.end_to_end.measure_emotion import write_silence
from tests.server.running_server import start_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from renderer.avatar import Avatar

SIZE_PX = 128
TURN_DEG, TURN_S = 12.0, 3.0
FILM_S = 12.0
NOBODY_S = 4.0
TRIES = 60
# What a test machine's load cannot change: it turns while it follows, and holds still when it does not. How well, `measure_follow` tells.
TELLING_DEG = 7.0

pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(not os.environ.get(MODEL_VARIABLE), reason=f"{MODEL_VARIABLE} is not set"),
]


def still(avatar: Avatar) -> Avatar:
    """It moves nothing by itself."""
    pose = avatar.pose_track[:1].copy()
    centre = np.asarray(avatar.field_config.head_centre)
    middle = pose[0, :3, :3] @ centre + pose[0, :3, 3]
    pose[0, :3, :3] = head_rotation(np.zeros(3))
    pose[0, :3, 3] = middle - pose[0, :3, :3] @ centre
    return avatar.replace(pose_track=pose, eye_track=np.ones(1, np.float32))


def write_user(path: Path, avatar: Avatar) -> None:
    """Somebody who looks to one side and the other, goes, and comes back: the avatar itself, so that no person's picture is needed."""
    silence = AudioEncoder.bundled().silence_features()
    head = still(avatar)
    backend = open_backend(head, RenderOptions(size=SIZE_PX, threads=1))
    centre = np.asarray(avatar.field_config.head_centre)
    stream = ConditionStream(head, silence)
    stream.push(AudioFeatures(np.tile(silence, (200, 1)), 0))
    first = stream.next()
    assert first is not None
    pictures = []
    try:
        for k in range(round(TURN_S * FPS)):
            pose = np.array(first.camera_from_head)
            middle = pose[:3, :3] @ centre + pose[:3, 3]
            pose[:3, :3] = head_rotation(np.array([TURN_DEG * np.sin(2 * np.pi * k / (TURN_S * FPS)), 0.0, 0.0]))
            pose[:3, 3] = middle - pose[:3, :3] @ centre
            pictures.append(backend.render([dataclasses.replace(first, camera_from_head=pose)])[0])
    finally:
        backend.close()
    write_film(path, [*pictures * round(FILM_S / TURN_S), *[None] * round(NOBODY_S * FPS)])


def yaws_deg(page: Page, tracker: FaceTracker, n: int) -> np.ndarray:
    """Of the shown avatar, at some moments."""
    found = []
    for _ in range(n):
        png = page.evaluate(
            """async () => {
              const video = document.querySelector("video"), canvas = new OffscreenCanvas(256, 256);
              canvas.getContext("2d").drawImage(video, 0, 0, 256, 256);
              return Array.from(new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer()));
            }"""
        )
        with av.open(io.BytesIO(bytes(png))) as picture:
            face = tracker.look(next(picture.decode(video=0)).to_ndarray(format="rgb24"))
        if face is not None:
            found.append(head_angles_deg(face.camera_from_head[:3, :3])[0])
        page.wait_for_timeout(150)
    return np.array(found)


def wait_until(page: Page, tracker: FaceTracker, holds: Callable[[np.ndarray], bool], what: str) -> None:
    for _ in range(TRIES // 4):
        if holds(seen := yaws_deg(page, tracker, 20)):
            return
    pytest.fail(f"{what}: the last angles were {np.round(seen, 1)}")


def test_the_avatar_follows_the_users_camera_and_lets_go(tmp_path: Path) -> None:
    avatar = load_avatar(find_avatar("bundled"))
    (tmp_path / "shelf").mkdir()
    shown = tmp_path / "shelf" / "still.avatar"
    save_avatar(still(avatar), shown)
    film, sound, tracker = tmp_path / "user.y4m", write_silence(tmp_path / "silence.wav"), FaceTracker()
    write_user(film, avatar)
    try:
        with start_server(shown, "--size", str(SIZE_PX)) as server, open_page(server.url, sound, film) as page:
            press_start(page)
            follow = page.get_by_role("switch", name="Follow my camera")
            assert not follow.is_checked()
            wait_until(page, tracker, lambda yaws: len(yaws) > 10 and np.ptp(yaws) < TELLING_DEG, "it is still at first")
            follow.check()
            page.get_by_text("The avatar follows you.").wait_for(timeout=90_000)
            wait_until(page, tracker, lambda yaws: len(yaws) > 10 and np.ptp(yaws) > TELLING_DEG, "it follows")
            page.get_by_text("No face in the camera's picture").wait_for(timeout=90_000)
            page.get_by_text("The avatar follows you.").wait_for(timeout=90_000)
            follow.uncheck()
            wait_until(page, tracker, lambda yaws: len(yaws) > 10 and np.ptp(yaws) < TELLING_DEG, "it is still again")
            assert not any("server.tracker_worker" in process.cmdline() for process in server.processes())
    finally:
        tracker.close()
