"""Chromium with a fake microphone in front of the live page, recorded from outside."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from playwright.sync_api import sync_playwright

from renderer.audio.encoder import AudioEncoder
from renderer.audio.resample import resample_all
from renderer.avatar_file import load_avatar, save_avatar
from renderer.backends.base import RenderOptions, open_backend
from renderer.library import find_avatar
from renderer.render import speak
from renderer.types import FPS, SAMPLE_RATE_HZ
from tests.end_to_end.measurement import PHASES, Recording
from tests.end_to_end.speech import RATE_HZ, read_sound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from renderer.avatar import Avatar
    from renderer.backends.base import Backend

CAPTURE_SCRIPT = Path(__file__).with_name("capture.js")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MOUTH = (0.3, 0.5, 0.7, 0.85)
"""Left, top, right, bottom of the region that is compared, as shares of the picture."""
CROP_PX = 24
VIDEO_TIMEOUT_MS = 30_000
CLICK_TIMEOUT_MS = 15_000


def existing_file(name: str) -> Path:
    """An option's file. A missing one would be no microphone at all to Chromium, and the program would measure silence."""
    if not Path(name).is_file():
        raise argparse.ArgumentTypeError(f"{name}: no such file")
    return Path(name)


def find_browser() -> str | None:
    """Path of a Chromium of the system."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def save_still_avatar(path: Path, name: str = "bundled") -> None:
    """An avatar that moves nothing but its mouth, so that what it shows depends on the sound alone."""
    avatar = load_avatar(find_avatar(name))
    middle = len(avatar.pose_track) // 2
    save_avatar(avatar.replace(pose_track=avatar.pose_track[middle : middle + 1], eye_track=np.ones(1, np.float32)), path)


def expected_mouth(avatar_path: Path, sound: Path, size: int) -> np.ndarray:
    """The mouth at each moment of the sound file, rendered offline, as `capture.js` crops it: [n_moments, pixels], `PHASES` a frame."""
    avatar = load_avatar(avatar_path)
    samples = resample_all(read_sound(sound), RATE_HZ)
    backend = open_backend(avatar, RenderOptions(size=size, threads=os.cpu_count() or 1))
    with contextlib.closing(backend):
        by_phase = [_mouths(avatar, backend, samples[SAMPLE_RATE_HZ * phase // (FPS * PHASES) :]) for phase in range(PHASES)]
    n_frames = min(len(mouths) for mouths in by_phase)
    return np.stack([mouths[:n_frames] for mouths in by_phase], 1).reshape(n_frames * PHASES, -1)


def _mouths(avatar: Avatar, backend: Backend, samples: np.ndarray) -> np.ndarray:
    return np.stack([_crop(picture) for picture in speak(avatar, AudioEncoder.bundled(), backend, samples)])


def _crop(picture: np.ndarray) -> np.ndarray:
    height, width, _ = picture.shape
    left, top, right, bottom = (np.array(MOUTH) * [width, height, width, height]).round().astype(int)
    grey = picture[top:bottom, left:right].astype(np.uint16) @ np.array([2, 5, 1], np.uint16) >> 3
    rows = ((np.arange(CROP_PX) + 0.5) * grey.shape[0] / CROP_PX).astype(int)
    columns = ((np.arange(CROP_PX) + 0.5) * grey.shape[1] / CROP_PX).astype(int)
    return grey[rows][:, columns].reshape(-1).astype(float)


@contextlib.contextmanager
def open_page(url: str, sound: Path, camera: Path | None = None) -> Iterator[Page]:
    """The live page, with `sound` as the microphone once it is asked for, and `camera`, a Y4M or MJPEG file, as the camera."""
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
        "--autoplay-policy=no-user-gesture-required",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ]
    if camera is not None:
        arguments.append(f"--use-file-for-fake-video-capture={camera}")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=find_browser(),
            headless=True,
            args=arguments,
            ignore_default_args=["--mute-audio"],
            permissions=["microphone", "camera"],
        )
        try:
            context.add_init_script(path=CAPTURE_SCRIPT)
            page = context.pages[0]
            page.set_default_timeout(VIDEO_TIMEOUT_MS)
            page.goto(url)
            yield page
        finally:
            context.close()


def press_start(page: Page) -> None:
    """Start, and wait for the picture."""
    page.get_by_role("button", name=re.compile("start", re.IGNORECASE)).first.click(timeout=CLICK_TIMEOUT_MS)
    page.wait_for_function("([region, size]) => window.__capture.watch(region, size)", arg=[list(MOUTH), CROP_PX], polling=100)


def record(page: Page, seconds: float) -> Recording:
    """What the started page shows and plays for so long."""
    page.wait_for_timeout(2000)
    before = page.evaluate("window.__capture.videoStats()")
    page.wait_for_timeout(1000 * seconds)
    after = page.evaluate("window.__capture.videoStats()")
    kept = ("microphone", "voice", "pictures", "errors")
    raw = page.evaluate(f"({{ {', '.join(f'{name}: __capture.{name}' for name in kept)} }})")
    assert not raw["errors"], raw["errors"]
    return Recording.of(raw, before, after)
