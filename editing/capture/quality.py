"""Which frames can be used and why the others cannot, and what the clip as a whole is worth for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.landmarks import EYE_LIDS, FACE_OVAL, INNER_LIP_BOTTOM, INNER_LIP_TOP, INNER_LIPS, OUTER_LIPS
from renderer.emotion import EMOTIONS, INTENSITIES, Emotion
from renderer.types import FPS, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Float32, Int

    from editing.capture.head_pose import HeadPoses
    from editing.capture.sound_offset import SoundOffset
    from editing.capture.tracking import FaceTrack
    from editing.capture.video import VideoInfo

MIN_USABLE_S = 5.0
"""Less than this teaches no mouth."""
GOOD_S = 120.0
"""From here on more film brings little."""
MAX_ERROR_PX = 6.0
"""At 512 pixels: a head whose landmarks fit the rigid shape no better was not tracked."""
BLURRED_SHARE = 0.3
"""Of the clip's median sharpness."""
EDGE_SHARE = 0.004
"""Faces nearer to the frame's edge than this share of it are cut off."""
QUIET_DBFS, LOUD_SHARE, SPEECH_ABOVE_NOISE_DB = -42.0, 0.001, 15.0
CLOSED_SHARE = 0.3
"""Eye opening below this share of the widest is closed, for clips without a blink."""


@dataclass(frozen=True)
class Verdict:
    """One line of the report."""

    name: str
    value: str
    good: bool
    advice: str
    """what to film better; empty where all is well"""


def mouth_opening(landmarks: Float[np.ndarray, "n 478 3"], depth: Float[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
    """Gap between the inner lips over the mouth's width at rest; `depth` takes out the head's distance."""
    gap = np.linalg.norm(landmarks[:, INNER_LIP_TOP, :2] - landmarks[:, INNER_LIP_BOTTOM, :2], axis=1) * depth
    width = np.linalg.norm(landmarks[:, OUTER_LIPS[0], :2] - landmarks[:, OUTER_LIPS[10], :2], axis=1) * depth
    return np.nan_to_num(gap / np.nanmedian(width)).astype(np.float32)


def eye_ratio(landmarks: Float[np.ndarray, "n 478 3"], emotions: Int[np.ndarray, " n"] | None = None) -> Float32[np.ndarray, " n"]:
    """0 closed … 1 as open as the clip's 98th percentile, both eyes together.

    `emotions` numbers each frame's label, if there are several: then the percentile is that of its own label, as eyes that are wide in fear
    or narrow in anger are the emotion's affair, and a blink is a blink in any.
    """
    ratios = []
    for upper, lower, outer, inner in EYE_LIDS:
        gap = np.linalg.norm(landmarks[:, upper, :2] - landmarks[:, lower, :2], axis=1)
        ratios.append(gap / np.linalg.norm(landmarks[:, outer, :2] - landmarks[:, inner, :2], axis=1))
    opening = np.mean(ratios, axis=0)
    number = np.zeros(len(opening), int) if emotions is None else emotions
    widest, lowest = np.ones(len(opening)), float(np.nanpercentile(opening, 0.5))
    for label in np.unique(number[np.isfinite(opening)]):
        widest[number == label] = np.nanpercentile(opening[number == label], 98)
    closed = np.minimum(lowest, CLOSED_SHARE * widest)
    return np.nan_to_num(np.clip((opening - closed) / (widest - closed), 0.0, 1.0), nan=1.0).astype(np.float32)


def dropped_frames(track: FaceTrack, poses: HeadPoses, size_px: int, away_from_joints: Bool[np.ndarray, " n"] | None = None) -> list[str]:
    """For every frame why it cannot be used, or an empty string. `away_from_joints` are the frames that belong to one clip alone."""
    reasons = [""] * len(track.landmarks)
    ovals = track.landmarks[:, list(FACE_OVAL), :2]
    margin = EDGE_SHARE * size_px
    sharp = float(np.nanmedian(track.sharpness))
    for k, found in enumerate(track.found):
        if not found:
            reasons[k] = "no face"
        elif ovals[k].min() < margin or ovals[k].max() > size_px - margin:
            reasons[k] = "face cut off"
        elif poses.error_px[k] > MAX_ERROR_PX * size_px / 512:
            reasons[k] = "not tracked"
        elif track.sharpness[k] < BLURRED_SHARE * sharp:
            reasons[k] = "blurred"
        elif away_from_joints is not None and not away_from_joints[k]:
            reasons[k] = "between clips"
    return reasons


def emotion_verdict(clips: Sequence[Emotion], left_out: Sequence[str]) -> Verdict:
    """Clips of each emotion, which labels have none, and which folders were left out."""
    counts = {name: sum(clip.category == name for clip in clips) for name in EMOTIONS}
    value = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    if left_out:
        value += f" clips; left out: {', '.join(left_out)}"
    strengths = [(level, (k + 1) / len(INTENSITIES)) for k, level in enumerate(INTENSITIES)]
    missing = [] if counts["neutral"] else ["neutral"]
    missing += [f"{level} {name}" for name in EMOTIONS[1:] for level, s in strengths if Emotion(name, s) not in clips]
    return Verdict("emotions", value, not missing, f"no clip shows {', '.join(missing)}: such a face will be guessed" if missing else "")


def head_angles(camera_from_head: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 3"]:
    """Yaw (to the picture's right), pitch (up) and roll (clockwise) in degrees."""
    forward = camera_from_head[:, :3, 2]
    up = camera_from_head[:, :3, 1]
    yaw = np.degrees(np.arctan2(forward[:, 0], -forward[:, 2]))
    pitch = np.degrees(np.arctan2(-forward[:, 1], np.hypot(forward[:, 0], forward[:, 2])))
    roll = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    return np.stack([yaw, pitch, roll], 1)


def verdicts(
    info: VideoInfo,
    track: FaceTrack,
    poses: HeadPoses,
    usable: Bool[np.ndarray, " n"],
    opening: Float[np.ndarray, " n"],
    sound: Float[np.ndarray, " samples"],
    offset: SoundOffset,
    face_px: float,
) -> list[Verdict]:
    """The report's table. `face_px` is the face's height in the source."""
    n, seconds = len(usable), float(usable.sum()) / FPS
    angles = head_angles(poses.camera_from_head)[usable]
    yaw, pitch, _ = np.percentile(angles, 98, axis=0) - np.percentile(angles, 2, axis=0)
    mouth = float(np.percentile(opening[usable], 98) - np.percentile(opening[usable], 2))
    light = np.nanmean(track.brightness[usable], axis=0)
    uneven = float(abs(light[0] - light[1]) / max(light.mean(), 1.0))
    level, noise = sound_levels_dbfs(sound)
    clipped = float((np.abs(sound) > 0.985).mean())
    blur = float(np.nanmedian(track.sharpness[usable]))
    uneven_rate = ", uneven" if info.variable_rate else ""
    error = float(np.nanmedian(poses.error_px))
    sound_good = level > QUIET_DBFS and level - noise > SPEECH_ABOVE_NOISE_DB and clipped < LOUD_SHARE
    loud = "the sound is clipped: turn the microphone down"
    quiet = "speak nearer to the microphone, in a quieter room"
    rows = [
        ("source", f"{info.width}x{info.height}, {info.rate_hz:.1f} pictures a second{uneven_rate}, {info.codec}",
         info.rate_hz >= 24.0, "film at 25 pictures a second or more"),
        ("length that can be used", f"{seconds:.1f} s of {n / FPS:.1f} s",
         seconds >= GOOD_S / 2, f"film {GOOD_S / 60:.0f} minutes: every sound has to be seen several times"),
        ("face height in the source", f"{face_px:.0f} px", face_px >= 220, "film closer, or at a higher resolution"),
        ("head turns", f"{yaw:.0f}° sideways, {pitch:.0f}° up and down",
         10 <= yaw <= 70, "move the head a little while speaking" if yaw < 10 else "keep facing the camera"),
        ("landmarks against a rigid head", f"{error:.1f} px", error < 3.0, "nothing may cover the face; avoid motion blur"),
        ("mouth opens", f"{100 * mouth:.0f} % of its width", mouth >= 0.15, "speak clearly and livelier"),
        ("sharpness", f"{blur:.0f}", blur >= 60, "more light and a steady focus make sharper pictures"),
        ("light on the face", f"{light.mean():.0f} of 255, halves differ by {100 * uneven:.0f} %",
         60 <= light.mean() <= 215 and uneven < 0.4, "light the face evenly from the front"),
        ("sound level", f"{level:.0f} dBFS, noise {noise:.0f} dBFS", sound_good, loud if clipped >= LOUD_SHARE else quiet),
        ("sound and lips", offset_text(offset), offset.belongs_together,
         "this clip cannot teach lip movements: use the sound that was recorded with the pictures"),
    ]  # fmt: skip
    return [Verdict(name, value, bool(good), "" if good else advice) for name, value, good, advice in rows]


def offset_text(offset: SoundOffset) -> str:
    """What was found out about sound and lips, in one line."""
    if not offset.belongs_together:
        return f"do not match (best correlation {offset.correlation:.2f}, {offset.significance:.1f} standard deviations above chance)"
    if abs(offset.offset_s) < 0.5 / FPS:
        return f"match (correlation {offset.correlation:.2f})"
    way = "behind" if offset.offset_s > 0 else "ahead of"
    return f"match (correlation {offset.correlation:.2f}); the sound was {abs(offset.offset_s) * 1000:.0f} ms {way} the lips: corrected"


def sound_levels_dbfs(sound: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Level of the loud tenth and of the quiet tenth of 40 ms pieces, in dB below full scale."""
    piece = SAMPLE_RATE_HZ // FPS
    pieces = sound[: len(sound) // piece * piece].reshape(-1, piece)
    level = 10 * np.log10((pieces.astype(np.float64) ** 2).mean(1) + 1e-10)
    return float(np.percentile(level, 90)), float(np.percentile(level, 10))


LIP_MARGIN = 0.35
"""Room around the lips' landmarks in their box, as a share of its width."""


def lip_box(landmarks: Float[np.ndarray, "478 3"]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 in pixels."""
    points = landmarks[[*OUTER_LIPS, *INNER_LIPS], :2]
    low, high = points.min(0), points.max(0)
    margin = LIP_MARGIN * float(high[0] - low[0])
    return float(low[0] - margin), float(low[1] - margin), float(high[0] + margin), float(high[1] + margin)
