"""`python -m tests.end_to_end.measure_follow CLIP.mp4 [--sound SPEECH.wav]`: a real face in front of Chromium's fake camera, and the avatar
that follows it, measured in the page; one JSON object. FACE_LANDMARKER_TASK must name the landmark model.

The clip, then three seconds without anybody, is the camera's film, again and again. The page notes when the camera gives which frame;
the shown pictures are kept with the time they were shown. Afterwards MediaPipe looks at both: the film's frames and the avatar's pictures.

correlation_*    of the avatar's angle with the user's, at the delay at which yaw and pitch agree best; blink: of the eyes' openness
lag_ms           that delay: from the camera's frame to the avatar's picture on the screen
sound_ms         the page's estimate of the same for the sound (`figures.latencyMs`): what lag_ms is to be near
step_*           largest change between two pictures that follow each other, degrees: while the face is there, and around its going and
                 coming
frames_lost_*    frames by RTP time stamp that never reached the screen, of frames_*; late_percent_*: those for which the server showed the
                 last one again. While following, while it is turned off and on every two seconds, and at rest
track_ms         the tracker's time for a picture, and track_cpu_ms the processor's
pictures_per_s   of the camera, that were looked at

With `--without-browser DELAY_MS` nothing is rendered or sent: what the tracker saw goes into the avatar's conditions, each sighting known
so much after its moment, and the conditions' poses are measured in place of the pictures', against the sound's own time. With `--size` as
well, one round of them is rendered, and `judge_*` say how far MediaPipe's reading of a picture agrees with the condition that it was
rendered from: no correlation in the page can be higher than its own eyes allow.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from renderer.avatar_file import load_avatar
from renderer.backends.base import RenderOptions, open_backend
from renderer.condition_stream import ConditionStream
from renderer.head_angles import head_angles_deg
from renderer.head_guide import HeadSighting
from renderer.library import find_avatar
from renderer.types import FPS, AudioFeatures
from server.face_tracker import FaceTracker
from tests.end_to_end.camera_film import WATCH_CAMERA, write_film
from tests.end_to_end.live_browser import existing_file, open_page, press_start
from tests.end_to_end.measure_emotion import write_silence
from tests.end_to_end.measure_live import server_metrics
from tests.end_to_end.measurement import RTP_TICKS_A_FRAME
from tests.server.running_server import start_server

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from playwright.sync_api import Page

    from renderer.avatar import Avatar
    from renderer.head_guide import SeenFace
    from renderer.types import FrameCondition
    from tests.server.running_server import RunningServer

SETTLING_MS = 5000
NOBODY_S = 3.0
SETTLED_S = 3.0
"""After the face is there, until it is followed wholly."""
KEPT_PX = 256
TOGGLES, TOGGLE_MS = 8, 2000
GRID_MS = 10.0
MAX_LAG_MS = 1500.0
LOST_MS = 2500.0
"""Around the going and coming of the face."""

WATCH_PICTURES = """(side) => {
  const video = document.querySelector("video"), shown = (window.__shown = []);
  const canvas = new OffscreenCanvas(side, side), context = canvas.getContext("2d");
  window.__keep = true;
  const look = async (_, metadata) => {
    const time = performance.now();
    if (window.__keep) {
      context.drawImage(video, 0, 0, side, side);
      canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 }).then(async (blob) => {
        const bytes = new Uint8Array(await blob.arrayBuffer());
        shown.push([time, metadata.rtpTimestamp, btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))]);
      });
    } else shown.push([time, metadata.rtpTimestamp, null]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}"""


def following(avatar: Avatar, faces: list[SeenFace | None], n_frames: int, delay_ms: float) -> list[FrameCondition]:
    """The conditions of an avatar that follows a face, again and again, whose sightings are known `delay_ms` after their moment."""
    silence = np.zeros(avatar.field_config.feature_dim, np.float32)
    stream = ConditionStream(avatar, silence)
    n_steps = 2 * n_frames + avatar.field_config.audio_window.n_steps
    stream.push(AudioFeatures(np.tile(silence, (n_steps, 1)), 0))
    stream.guide.turn_on()
    # A frame's condition is made when its sound is complete.
    known_ms = avatar.field_config.audio_window.look_ahead_ms - delay_ms
    seen, conditions = 0, []
    for frame in range(n_frames):
        while seen < n_frames and 1000 * (seen - frame) / FPS <= known_ms:
            stream.guide.push(HeadSighting(seen / FPS, faces[seen % len(faces)]))
            seen += 1
        condition = stream.next()
        assert condition is not None
        conditions.append(condition)
    return conditions


def condition_track(conditions: list[FrameCondition]) -> Float[np.ndarray, "n 3"]:
    """Yaw, pitch and openness of the eyes that were asked of the avatar."""
    poses = np.array([condition.camera_from_head for condition in conditions], np.float64)
    return np.column_stack([head_angles_deg(poses[:, :3, :3])[:, :2], [condition.eye_ratio for condition in conditions]])


def follow_offline(faces: list[SeenFace | None], rounds: int, conditions: list[FrameCondition]) -> dict[str, Any]:
    """How well the conditions follow the faces, shown `rounds` times."""
    n_frames, track = len(conditions), condition_track(conditions)
    angles = track.copy()
    user = np.tile(_rows(faces), (rounds, 1))
    times_ms = 1000.0 * np.arange(n_frames) / FPS
    # After the first rest, and once the glide after each return is over.
    there = np.isfinite(user[:, 0])
    found = np.convolve(~there, np.ones(round(SETTLED_S * FPS)))[:n_frames] > 0
    track[(times_ms < 1000 * SETTLED_S) | found | ~there] = np.nan
    lag_ms, agreement = correlations(times_ms, user, times_ms, track, least_ms=-200.0, grid_ms=2.0)
    steps = np.abs(np.diff(angles[:, :2], axis=0)).max(1)
    glides = found[1:] | ~there[1:]
    return {
        "frames": n_frames,
        **_named(agreement),
        "lag_ms": lag_ms,
        "users_step_deg": round(float(np.nanmax(np.abs(np.diff(user[:, :2], axis=0)))), 2),
        "step_following_deg": round(float(steps[~glides].max()), 2),
        "step_lost_and_found_deg": round(float(steps[glides].max()), 2),
    }


def judge(avatar: Avatar, conditions: list[FrameCondition], size: int, tracker: FaceTracker) -> dict[str, float]:
    """Correlation of what is read in pictures with what was asked for."""
    backend = open_backend(avatar, RenderOptions(size=size, threads=os.cpu_count() or 1))
    with contextlib.closing(backend):
        read = head_track(tracker, [backend.render([condition])[0] for condition in conditions])
    asked, found = condition_track(conditions), np.isfinite(read[:, 0])
    values = [np.corrcoef(asked[found, k], read[found, k])[0, 1] for k in range(3)]
    return {f"judge_{name}": round(float(value), 3) for name, value in zip(("yaw", "pitch", "blink"), values, strict=True)}


def head_track(tracker: FaceTracker, pictures: list[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "n 3"]:
    """Yaw, pitch and openness of the eyes in each picture; not a number where no face is found."""
    return _rows([tracker.look(picture) for picture in pictures])


def _rows(faces: list[SeenFace | None]) -> Float[np.ndarray, "n 3"]:
    return np.array(
        [[np.nan] * 3 if face is None else [*head_angles_deg(face.camera_from_head[:3, :3])[:2], 1.0 - face.blink] for face in faces]
    )


def correlations(
    user_ms: Float[np.ndarray, " n"],
    user: Float[np.ndarray, "n 3"],
    avatar_ms: Float[np.ndarray, " m"],
    avatar: Float[np.ndarray, "m 3"],
    least_ms: float = 0.0,
    grid_ms: float = GRID_MS,
) -> tuple[float, Float[np.ndarray, " 3"]]:
    """The delay in ms at which yaw and pitch agree best, and the three correlations at it. What is not a number does not count."""
    kept = np.isfinite(user[:, 0])
    user_ms, user = user_ms[kept], user[kept]
    best = (-np.inf, 0.0, np.zeros(3))
    for lag_ms in np.arange(least_ms, MAX_LAG_MS, grid_ms):
        moments = avatar_ms - lag_ms
        # A gap longer than a few frames is no motion: nobody was there.
        behind = np.searchsorted(user_ms, moments).clip(1, len(user_ms) - 1)
        usable = (user_ms[behind] - user_ms[behind - 1] < 5000.0 / FPS) & (moments > user_ms[0]) & (moments < user_ms[-1])
        usable &= np.isfinite(avatar[:, 0])
        if usable.sum() < 2 * FPS:
            continue
        pairs = [(np.interp(moments[usable], user_ms, user[:, k]), avatar[usable, k]) for k in range(3)]
        found = np.array([np.corrcoef(a, b)[0, 1] for a, b in pairs])
        if found[:2].sum() > best[0]:
            best = (float(found[:2].sum()), float(lag_ms), found)
    return best[1], best[2]


def largest_step(stamps: Float[np.ndarray, " n"], track: Float[np.ndarray, "n 3"], chosen: np.ndarray) -> float:
    """Of yaw or pitch, between two frames that follow each other."""
    frames = np.round((stamps - stamps[0]) / RTP_TICKS_A_FRAME)
    follow = chosen[1:] & chosen[:-1] & (np.diff(frames) == 1)
    steps = np.abs(np.diff(track[:, :2], axis=0))[follow]
    return round(float(np.nanmax(steps)), 2) if len(steps) else float("nan")


def main(argv: list[str]) -> int:
    """Measure once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip", type=existing_file, help="video of one face")
    parser.add_argument("--sound", type=existing_file, help="WAV file that is the microphone (default: silence)")
    parser.add_argument("--rounds", type=int, default=4, help="how often the film is shown (default 4)")
    parser.add_argument("--size", type=int, help="picture size in pixels (default: the server's choice)")
    parser.add_argument("--threads", type=int, help="render threads (default: the server's choice)")
    parser.add_argument("--avatar", default="bundled", help="avatar (default bundled)")
    parser.add_argument("--without-browser", type=float, metavar="DELAY_MS", help="only the conditions; see the program's first lines")
    options = parser.parse_args(argv)
    with av.open(str(options.clip)) as clip:
        pictures = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    if options.without_browser is not None:
        print(json.dumps(_without_browser(pictures, options), indent=1))
        return 0
    chosen = {"--size": options.size, "--threads": options.threads}
    words = [word for flag, value in chosen.items() if value for word in (flag, str(value))]
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "camera.y4m"
        write_film(film, [*pictures, *[None] * round(NOBODY_S * FPS)])
        sound = options.sound or write_silence(Path(folder) / "silence.wav")
        shelf = Path(folder) / "shelf" / "avatar.avatar"
        shelf.parent.mkdir()
        shelf.symlink_to(find_avatar(options.avatar))
        with start_server(shelf, *words) as server, open_page(server.url, sound, film) as page:
            seen = run(page, server, options.rounds * (len(pictures) / FPS + NOBODY_S))
    print(json.dumps(measure(seen, pictures), indent=1))
    return 0


def _without_browser(clip: list[UInt8[np.ndarray, "h w 3"]], options: argparse.Namespace) -> dict[str, Any]:
    tracker = FaceTracker()
    avatar = load_avatar(find_avatar(options.avatar))
    with contextlib.closing(tracker):
        faces = [tracker.look(picture) for picture in clip] + [None] * round(NOBODY_S * FPS)
        conditions = following(avatar, faces, options.rounds * len(faces), options.without_browser)
        figures = follow_offline(faces, options.rounds, conditions)
        if options.size is not None:
            # The second round's: the first begins at rest.
            figures |= judge(avatar, conditions[len(faces) :][: len(clip)], options.size, tracker)
    return figures


def run(page: Page, server: RunningServer, seconds: float) -> dict[str, Any]:
    """Follow for so long, then turn it off and on, then as long without."""
    page.evaluate(WATCH_CAMERA)
    press_start(page)
    page.wait_for_timeout(SETTLING_MS)
    page.evaluate(WATCH_PICTURES, KEPT_PX)
    follow = page.get_by_role("switch", name="Follow my camera")
    follow.check()
    page.get_by_text("The avatar follows you.").wait_for()
    page.wait_for_timeout(SETTLING_MS)
    page.evaluate("__camera.length = __shown.length = 0")
    begin = server_metrics(server)
    tracker = next(process for process in server.processes() if "server.tracker_worker" in process.cmdline())
    cpu_s = sum(tracker.cpu_times()[:2])
    track_ms, waits_ms = [], []
    for _ in range(round(seconds)):
        page.wait_for_timeout(1000)
        track_ms.append(server_metrics(server)["visavis_face_tracking_ms"])
        waits_ms.append(page.evaluate("visavis.figures ? visavis.figures.latencyMs : null"))
    cpu_s, end = sum(tracker.cpu_times()[:2]) - cpu_s, server_metrics(server)
    page.evaluate("window.__keep = false")
    raw = page.evaluate("({ camera: __camera, shown: __shown })")
    looked_at = end["visavis_face_pictures"] - begin["visavis_face_pictures"]
    figures = {
        "track_ms": round(float(np.median(track_ms)), 1),
        "track_cpu_ms": round(1000 * cpu_s / max(1.0, looked_at), 1),
        "pictures_per_s": round(looked_at / seconds, 1),
        "sound_ms": round(float(np.median([value for value in waits_ms if value is not None])), 1),
        "late_percent_following": _late_percent(begin, end),
    }
    for name, toggles in (("toggled", True), ("at_rest", False)):
        if not toggles:
            follow.uncheck()
            page.wait_for_timeout(2 * TOGGLE_MS)
        page.evaluate("__shown.length = 0")
        before = server_metrics(server)
        for turn in range(TOGGLES):
            if toggles:
                follow.set_checked(turn % 2 == 1)
            page.wait_for_timeout(TOGGLE_MS)
        stamps = np.unwrap(np.array(page.evaluate("__shown.map((picture) => picture[1])"), float), period=2.0**32)
        frames = np.unique(np.round((stamps - stamps[0]) / RTP_TICKS_A_FRAME))
        figures[f"frames_{name}"] = int(frames[-1]) + 1
        figures[f"frames_lost_{name}"] = int(frames[-1]) + 1 - len(frames)
        figures[f"late_percent_{name}"] = _late_percent(before, server_metrics(server))
    return raw | {"figures": figures}


def measure(seen: dict[str, Any], clip: list[UInt8[np.ndarray, "h w 3"]]) -> dict[str, Any]:
    """From what the page kept to figures."""
    tracker = FaceTracker()
    try:
        user = head_track(tracker, clip)
        shown = sorted((row for row in seen["shown"] if row[2]), key=lambda row: row[0])
        avatar = head_track(tracker, [_decoded(base64.b64decode(row[2])) for row in shown])
    finally:
        tracker.close()
    camera = np.array(seen["camera"], float)
    numbers = camera[:, 1].astype(int)
    of_user = np.full((len(camera), 3), np.nan)
    there = numbers < len(user)
    of_user[there] = user[numbers[there]]
    times_ms = np.array([row[0] for row in shown])
    stamps = np.unwrap(np.array([row[1] for row in shown], float), period=2.0**32)
    lag_ms, found = correlations(camera[:, 0], of_user, times_ms, avatar)
    changes_ms = camera[1:, 0][np.diff(there.astype(int)) != 0] + lag_ms
    near_change = (np.abs(times_ms[:, None] - changes_ms[None]) < LOST_MS).any(1) if len(changes_ms) else np.zeros(len(times_ms), bool)
    return {
        "pictures": len(shown),
        **_named(found),
        "lag_ms": lag_ms,
        "step_following_deg": largest_step(stamps, avatar, ~near_change),
        "step_lost_and_found_deg": largest_step(stamps, avatar, near_change),
        **seen["figures"],
    }


def _named(found: Float[np.ndarray, " 3"]) -> dict[str, float]:
    return {f"correlation_{name}": round(float(value), 3) for name, value in zip(("yaw", "pitch", "blink"), found, strict=True)}


def _decoded(jpeg: bytes) -> UInt8[np.ndarray, "h w 3"]:
    with av.open(io.BytesIO(jpeg)) as picture:
        return next(picture.decode(video=0)).to_ndarray(format="rgb24")


def _late_percent(before: dict[str, float], after: dict[str, float]) -> float:
    late, sent = (after[f"visavis_frames_{kind}_total"] - before[f"visavis_frames_{kind}_total"] for kind in ("late", "sent"))
    return round(100 * late / max(1.0, sent), 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
