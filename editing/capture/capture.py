"""The whole capture: stage after stage into OUT.partial, which becomes OUT when all is done."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.capture import quality
from editing.capture.clean_plate import CleanPlate, clean_plate
from editing.capture.crop import Crop
from editing.capture.footage import Footage
from editing.capture.head_pose import HeadPoses, estimate_poses
from editing.capture.labels import LABELS
from editing.capture.parsing import make_parser, parse_frames
from editing.capture.report import write_report
from editing.capture.sound_offset import SoundOffset, expected_opening, find_offset, shifted, step_times
from editing.capture.tracking import FaceTrack, forget_chunks, scan, track_face
from editing.dataset import (
    DatasetMeta,
    HeadBox,
    Region,
    Track,
    write_audio,
    write_meta,
    write_preview,
    write_track,
    write_transcript,
)
from editing.landmarks import LANDMARK_NAMES, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from editing.phones import VISEME_OF_PHONE_INDEX, VISEMES
from editing.request_file import REQUEST_NAME, note_request, was_begun_with
from renderer import __version__
from renderer.audio.streaming import encode_all
from renderer.emotion import EMOTIONS
from renderer.errors import BadInput
from renderer.types import FPS, Camera

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Bool, Float, Float32, Int16

    from editing.capture.tracking import Sighting
    from editing.capture.video import VideoInfo

_SCAN, _POSES = "scan.json", "poses.npz"
STAGES = ("tracking", "parsing")
PLATE_FRAMES = 60
PLATE_MARGIN = 0.012
"""The person's mask is grown by this share of the picture before the plate is taken."""
MIN_SIZE_PX, MAX_SIZE_PX = 128, 1024
HEAD_CENTRE_DEPTH = -0.27
"""Of the head's box, in head units behind the face's origin."""
BOX_MARGIN = 0.06
SMALLEST_HALF, LARGEST_HALF = 0.72, 1.15
"""Half edge of the head's box, in head units."""
MOUTH_RADII, EYE_RADII = (0.48, 0.42, 0.50), (0.48, 0.19, 0.32)
"""Of the regions in which speech and blinks move anything, in head units."""


@dataclass(frozen=True)
class CaptureConfig:
    """What is asked for."""

    size_px: int = 512
    """side of the dataset's frames"""
    parser: str = "grabcut"
    """grabcut or segformer"""
    parser_model: str = "jonathandinu/face-parsing"
    """hub name or folder of the SegFormer network"""
    face: str = "only"
    """only: two people in the picture are an error; largest: take the larger face"""
    correct_offset: bool = True
    """move the sound to the lips where they belong together"""
    seconds: float | None = None
    """take the first seconds only"""
    emotions: bool = False
    """the video is a folder of clips by emotion"""

    def __post_init__(self) -> None:
        if not MIN_SIZE_PX <= self.size_px <= MAX_SIZE_PX or self.size_px % 2:
            raise BadInput(f"--size {self.size_px}: an even number within {MIN_SIZE_PX}...{MAX_SIZE_PX} is needed")
        if self.seconds is not None and self.seconds < quality.MIN_USABLE_S:
            raise BadInput(f"--seconds {self.seconds:g}: at least {quality.MIN_USABLE_S:g} are needed")
        if self.seconds is not None and self.emotions:
            raise BadInput("--seconds shortens one video; with --emotions take clips out of the folder instead")


def capture(video: Path, out: Path, config: CaptureConfig, jobs: int) -> list[quality.Verdict]:
    """Write the dataset `out`; goes on where an interrupted run with the same options stopped. Returns the report's table.

    `video` is a file, or with `config.emotions` a folder of clips (`footage`).
    """
    if jobs < 1:
        raise BadInput(f"--jobs {jobs}: 1 or more is possible")
    if out.exists():
        raise BadInput(f"{out} exists already; choose another --out or remove it")
    if not out.parent.is_dir():
        raise BadInput(f"{out.parent} is not a folder; --out must lie in one that exists")
    footage = Footage.of_emotions(video) if config.emotions else Footage.of_video(video, config.seconds)
    info = footage.info
    if info.duration_s < quality.MIN_USABLE_S:
        raise BadInput(f"{video} is {info.duration_s:.1f} s long; at least {quality.MIN_USABLE_S:g} s are needed, two minutes are good")
    partial = out.with_name(out.name + ".partial")
    _begin(partial, video, config, footage)
    sighting = _scanned(partial, footage, config)
    sound = footage.sound()
    track = _tracked(partial, footage, sighting, config, jobs)
    listener = _Listener(sound)
    poses = _posed(partial, track, config, footage)
    reasons = quality.dropped_frames(track, poses, config.size_px, footage.away_from_joints())
    usable = np.array([not reason for reason in reasons])
    if usable.sum() < quality.MIN_USABLE_S * FPS:
        common = max(set(reasons) - {""}, key=reasons.count)
        raise BadInput(
            f"{video}: only {usable.sum() / FPS:.1f} s of {info.duration_s:.1f} s can be used (most often: {common}); "
            f"at least {quality.MIN_USABLE_S:g} s are needed"
        )
    _parsed(partial, track, poses, config, jobs)
    return _finish(partial, out, footage, sighting, sound, listener.heard(), track, poses, reasons, config)


class _Listener:
    """Encodes the sound on a thread of its own, while the poses keep one core busy."""

    def __init__(self, sound: Float32[np.ndarray, " samples"]) -> None:
        self._sound = sound
        self._result: Float[np.ndarray, "n_steps n_phones"] | Exception | None = None
        # A daemon: an interrupted capture does not wait for it.
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        from renderer.audio.export import load_encoder

        try:
            self._result = encode_all(load_encoder("bundled"), self._sound).steps
        except Exception as error:  # raised again where the result is asked for
            self._result = error

    def heard(self) -> Float[np.ndarray, "n_steps n_phones"]:
        """The encoder's steps; waits for them."""
        self._thread.join()
        if isinstance(self._result, Exception):
            raise self._result
        assert self._result is not None
        return self._result


def _begin(partial: Path, video: Path, config: CaptureConfig, footage: Footage) -> None:
    """Make the folder, or check that it was begun with the same video and options."""
    wanted: dict[str, Any] = {"version": __version__, "video": video.name, "files": footage.identity(), **asdict(config)}
    if not was_begun_with(partial, wanted):
        partial.mkdir(exist_ok=True)
        note_request(partial, wanted)


def _scanned(partial: Path, footage: Footage, config: CaptureConfig) -> Sighting:
    from editing.capture.tracking import Sighting

    path = partial / _SCAN
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        return Sighting(Crop(**found["crop"]), found["found_share"], found["rival_share"])
    try:
        sighting = scan(footage, largest=config.face == "largest")
    except BadInput:
        # Nothing worth keeping has been made yet.
        (partial / REQUEST_NAME).unlink()
        partial.rmdir()
        raise
    path.write_text(json.dumps(asdict(sighting)), encoding="utf-8")
    return sighting


class _Bar:
    """A progress bar of frames, which shows at once what an earlier run has done."""

    def __init__(self, name: str, total: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc=name, unit="frame")

    def __call__(self, count: int) -> None:
        self._bar.update(count)

    def close(self) -> None:
        self._bar.close()


def _tracked(partial: Path, footage: Footage, sighting: Sighting, config: CaptureConfig, jobs: int) -> FaceTrack:
    bar = _Bar("tracking", footage.n_frames)
    try:
        return track_face(footage, sighting.crop, config.size_px, partial, jobs, bar)
    finally:
        bar.close()


def _posed(partial: Path, track: FaceTrack, config: CaptureConfig, footage: Footage) -> HeadPoses:
    path = partial / _POSES
    if not path.is_file():
        poses = estimate_poses(track.landmarks, track.rough_pose, config.size_px, joints=footage.joints)
        unfinished = path.with_suffix(".tmp.npz")
        np.savez(unfinished, **asdict(poses))
        unfinished.rename(path)
    with np.load(path) as found:
        return HeadPoses(found["camera_from_head"], float(found["focal_px"]), found["shape"], found["error_px"])


def _parsed(partial: Path, track: FaceTrack, poses: HeadPoses, config: CaptureConfig, jobs: int) -> None:
    if (partial / "parsed.npy").is_file() and np.load(partial / "parsed.npy").all():
        return
    frames = np.load(partial / "frames.npy", mmap_mode="r")
    parser = make_parser(config.parser, config.parser_model, frames, track.landmarks, poses.camera_from_head, poses.focal_px, track.found)
    bar = _Bar("parsing", len(frames))
    try:
        # A network takes all cores itself.
        processes = jobs if config.parser == "grabcut" else 1
        parse_frames(parser, partial, track.landmarks, poses.camera_from_head, track.found, processes, bar)
    finally:
        bar.close()


def _finish(
    partial: Path,
    out: Path,
    footage: Footage,
    sighting: Sighting,
    sound: Float32[np.ndarray, " samples"],
    heard: Float[np.ndarray, "n_steps n_phones"],
    track: FaceTrack,
    poses: HeadPoses,
    reasons: list[str],
    config: CaptureConfig,
) -> list[quality.Verdict]:
    info = footage.info
    usable = np.array([not reason for reason in reasons])
    frames, labels = np.load(partial / "frames.npy", mmap_mode="r"), np.load(partial / "labels.npy", mmap_mode="r")
    plate = _plate(frames, labels, usable)
    depth = poses.camera_from_head[:, 2, 3].astype(np.float64)
    opening = quality.mouth_opening(track.landmarks, depth)
    offset = find_offset(heard, opening, usable)
    moved_s = offset.offset_s if offset.belongs_together and config.correct_offset else 0.0
    sound = shifted(sound, moved_s)
    times = step_times(len(heard)) - moved_s
    expected = np.interp((np.arange(len(frames)) + 0.5) / FPS, times, expected_opening(heard))
    face_px = float(np.nanmedian(np.ptp(track.landmarks[:, :, 1], axis=1))) * sighting.crop.side / config.size_px
    table = quality.verdicts(info, track, poses, usable, opening, sound, offset, face_px)

    clip_emotions, clip_index = [clip.emotion for clip in footage.clips], footage.clip_index()
    emotions = np.array([clip_emotions.index(e) for e in clip_emotions])[clip_index]
    if config.emotions:
        table.append(quality.emotion_verdict(clip_emotions, footage.left_out))
    write_audio(partial / "audio.wav", sound)
    write_track(
        partial,
        Track(
            camera_from_head=poses.camera_from_head,
            landmarks=np.nan_to_num(track.landmarks[:, :, :2]).astype(np.float32),
            eye_ratio=quality.eye_ratio(track.landmarks, emotions),
            lip_opening=opening,
            viseme=_visemes(heard, times, len(frames)),
            emotion=np.array([EMOTIONS.index(e.category) for e in clip_emotions], np.int16)[clip_index],
            emotion_intensity=np.array([e.strength for e in clip_emotions], np.float32)[clip_index],
            usable=usable,
        ),
    )
    box, mouth, eyes = _regions(poses, labels, usable)
    size = config.size_px
    write_meta(
        partial,
        DatasetMeta(
            fps=FPS,
            n_frames=len(frames),
            camera=Camera(poses.focal_px, poses.focal_px, size / 2, size / 2, size, size),
            subject={"kind": "person"},
            seed=0,
            voices=(),
            head_box=box,
            audio_region=mouth,
            eye_region=eyes,
            labels=LABELS,
            landmark_names=LANDMARK_NAMES,
            generator=f"visavis {__version__} capture",
            joints=footage.joints,
        ),
    )
    write_transcript(partial, {"visemes": list(VISEMES), "emotions": list(EMOTIONS), "sentences": []})
    np.save(partial / "background.npy", plate.picture)
    title = f"{out.name}: what the camera gave"
    write_report(
        partial / "report.html", title, table, reasons, frames, labels, track, poses, opening, expected, offset, plate, usable
    )  # fmt: skip
    (partial / "report.json").write_text(json.dumps(_as_json(info, sighting, poses, reasons, offset, table), indent=1), encoding="utf-8")
    write_preview(partial / "preview.mp4", frames, partial / "audio.wav")
    forget_chunks(partial)
    for name in (_POSES, _SCAN, REQUEST_NAME, "parsed.npy"):
        (partial / name).unlink()
    partial.replace(out)
    return table


def _plate(frames: Any, labels: Any, usable: Bool[np.ndarray, " n"]) -> CleanPlate:
    import cv2

    kept = np.flatnonzero(usable)
    chosen = kept[np.unique(np.linspace(0, len(kept) - 1, PLATE_FRAMES).astype(int))]
    margin = 2 * max(1, round(PLATE_MARGIN * frames.shape[1])) + 1
    kernel = np.ones((margin, margin), np.uint8)
    person = np.stack([cv2.dilate((labels[k] != LABELS["background"]).astype(np.uint8), kernel).astype(bool) for k in chosen])
    return clean_plate(frames[chosen], person)


def _visemes(heard: Float[np.ndarray, "n_steps n_phones"], times: Float[np.ndarray, " n_steps"], n: int) -> Int16[np.ndarray, " n"]:
    """The likeliest viseme at the middle of each frame, as the encoder hears it."""
    likeliest = np.array(VISEME_OF_PHONE_INDEX)[heard.argmax(1)]
    at = np.interp((np.arange(n) + 0.5) / FPS, times, np.arange(len(times)))
    return likeliest[np.round(at).astype(int)].astype(np.int16)


def _regions(poses: HeadPoses, labels: Any, usable: Bool[np.ndarray, " n"]) -> tuple[HeadBox, Region, Region]:
    """The head's box around everything labelled head in any frame, and the regions around mouth and eyes."""
    kept = np.flatnonzero(usable)
    chosen = kept[np.unique(np.linspace(0, len(kept) - 1, PLATE_FRAMES).astype(int))]
    size = labels.shape[1]
    extents = []
    for k in chosen:
        y, x = np.nonzero(np.isin(labels[k], [LABELS[name] for name in ("face", "hair")])[::4, ::4])
        if not len(x):
            continue
        pose = poses.camera_from_head[k].astype(np.float64)
        centre = pose[:3, :3] @ (0.0, 0.0, HEAD_CENTRE_DEPTH) + pose[:3, 3]
        rays = np.stack([(4 * x + 2 - size / 2) / poses.focal_px, (4 * y + 2 - size / 2) / poses.focal_px, np.ones(len(x))], 1)
        head = (rays * centre[2] - pose[:3, 3]) @ pose[:3, :3]
        extents.append(np.percentile(head[:, :2], (0.5, 99.5), axis=0))
    spread = np.array(extents)
    low, high = spread[:, 0].min(0) - BOX_MARGIN, spread[:, 1].max(0) + BOX_MARGIN
    half = float(np.clip(np.max(high - low) / 2, SMALLEST_HALF, LARGEST_HALF))
    centre_y = float(np.clip((low[1] + high[1]) / 2, -0.25, 0.25))
    mouth, eyes = poses.shape[list(OUTER_LIPS)].mean(0), poses.shape[[*LEFT_EYE, *RIGHT_EYE]].mean(0)

    def region(centre: Float[np.ndarray, " 3"], radii: tuple[float, float, float]) -> Region:
        return Region((0.0, round(float(centre[1]), 4), round(float(centre[2]), 4)), radii)

    return HeadBox((0.0, round(centre_y, 4), HEAD_CENTRE_DEPTH), round(half, 4)), region(mouth, MOUTH_RADII), region(eyes, EYE_RADII)


def _as_json(
    info: VideoInfo, sighting: Sighting, poses: HeadPoses, reasons: list[str], offset: SoundOffset, table: list[quality.Verdict]
) -> dict[str, Any]:
    return {
        "video": asdict(info),
        "crop": asdict(sighting.crop),
        "focal_px": poses.focal_px,
        "reprojection_px": float(np.nanmedian(poses.error_px)),
        "frames": len(reasons),
        "dropped": {reason: [k for k, r in enumerate(reasons) if r == reason] for reason in sorted(set(reasons) - {""})},
        "sound": {
            "belongs_together": offset.belongs_together,
            "offset_s": offset.offset_s,
            "correlation": offset.correlation,
            "significance": offset.significance,
        },
        "verdicts": [asdict(verdict) for verdict in table],
    }
