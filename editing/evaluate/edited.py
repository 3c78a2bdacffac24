"""The table of an edit: the edited avatar against its original, both moved by the same sound, poses, eyes and background.

For many edits of one avatar: `OriginalClip` is made once, and what it finds in the original (pictures, landmarks, flows, embeddings) is
kept; `compare` is then called for each edited avatar. The original's pictures stay in memory: 49 MB for 250 frames of 256 pixels.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.evaluate.captions import Captions, derived_captions
from editing.evaluate.clip_direction import direction_consistency, direction_similarity, text_direction
from editing.evaluate.edit_sheet import write_edit_sheet
from editing.evaluate.judges import NEEDS_ARCFACE, NEEDS_CLIP, Judges, missing
from editing.evaluate.lip_preservation import lip_preservation
from editing.evaluate.mouth_motion import mouth_flows, mouth_motion, mouth_window
from editing.evaluate.moving import SYNC, sync_metrics
from editing.evaluate.optical_flow import DenseFlow
from editing.evaluate.sheet import sheet_frames
from editing.evaluate.stillness import STILLNESS, mouth_stillness
from editing.evaluate.warping_error import LEAST_FRAMES, WarpingError, warping_errors
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jaxtyping import Float, Float32, Int, UInt8

    from editing.evaluate.shared_drive import SharedDrive
    from renderer.avatar import Avatar

STILL_FRAMES = 50
"""Single pictures for CLIP and ArcFace: as many frames, evenly spread; these change slowly, and CLIP takes its time."""
CLIP_METRICS = ("clip_direction", "clip_consistency")
MOTION_METRICS = ("mouth_motion_correlation", "mouth_motion_gain", "mouth_motion_error_px")
WARPING_METRICS = ("warping_error", "warping_error_short", "warping_error_long", "warping_visible")
NO_SOUND = "needs a sound (--speech or --dataset)"


class OriginalClip:
    """An unedited avatar in a performance, rendered and looked at once."""

    def __init__(self, avatar: Avatar, drive: SharedDrive, judges: Judges) -> None:
        """`drive` holds exactly the frames that are to be compared."""
        self.avatar, self.drive, self.judges = avatar, drive, judges
        self.flow = DenseFlow()
        self.window = mouth_window(avatar, drive.held())
        self.pictures: UInt8[np.ndarray, "n h w 3"] = np.stack(list(drive.pictures(avatar, "original")))
        self.landmarks = landmarks_of(judges, self.pictures)

    @property
    def stills(self) -> Int[np.ndarray, " n_stills"]:
        """Frames for CLIP and ArcFace, each with a frame after it."""
        last = max(0, len(self.pictures) - 2)
        return np.unique(np.linspace(0, last, min(STILL_FRAMES, last + 1)).round().astype(int))

    @cached_property
    def mouth_flows(self) -> np.ndarray | None:
        return None if self.window is None else mouth_flows_of(self.avatar, self)

    @cached_property
    def warping_error(self) -> WarpingError:
        """By the original's own flow."""
        return warping_errors(watched(self.pictures, "warping error, original"), self.pictures, self.flow)[0]

    @cached_property
    def clip_embeddings(self) -> tuple[Float32[np.ndarray, "n_stills dim"], Float32[np.ndarray, "n_stills dim"]]:
        return clip_embeddings(self.judges, self.pictures, self.stills)

    @cached_property
    def sync(self) -> dict[str, Any]:
        return sync_of(self, self.pictures)

    @cached_property
    def stillness(self) -> dict[str, Any]:
        return stillness_of(self, self.avatar, "original")


def compare(
    original: OriginalClip, edited: Avatar, captions: Captions | None = None, instruction: str | None = None, sheet: Path | None = None
) -> dict[str, Any]:
    """All metrics of an edited avatar as one object; one that cannot be had is null and `<metric>_reason` says why.

    Captions that are not given are derived from `instruction`, or from the one that the edited avatar was made by. BadInput where the two
    avatars cannot do the same: another size, encoder or window of sound.
    """
    check_pair(original.avatar, edited)
    drive, judges, n_frames = original.drive, original.judges, len(original.pictures)
    pictures = np.stack(list(drive.pictures(edited, "edited")))
    landmarks = landmarks_of(judges, pictures)
    instruction = instruction or edited.lineage.instruction
    result: dict[str, Any] = {"setting": "edited", "avatar": edited.name, "original": original.avatar.name, "instruction": instruction}
    result |= {"frames": n_frames, "size": edited.camera.height, "said": drive.said, "flow": original.flow.name}
    result["face_missed"] = 0
    if judges.detector is None:
        result |= missing(LIP_METRICS, judges.no_detector)
    else:
        result |= lip_preservation(original.landmarks, landmarks, edited.camera.height)
        result["face_missed"] = n_frames - result["lip_frames"]
    result |= motion_metrics(original, edited)
    result |= warping_metrics(original, pictures)
    result |= clip_metrics(original, pictures, captions, instruction)
    result |= identity_metric(original, pictures)
    result |= sync_of(original, pictures) | of_original(original.sync)
    result |= stillness_of(original, edited, "edited") | of_original(original.stillness)
    if sheet is not None:
        columns = sorted(sheet_frames(range(n_frames)))
        write_edit_sheet(sheet, original.pictures[columns], pictures[columns], [original.landmarks[k] for k in columns], original.window)
    return result


LIP_METRICS = (
    *("faces_found_in_original", "faces_found_in_edited", "lip_lmd_px", "lip_shape_px"),
    *("lip_opening_correlation", "lip_opening_lag_frames", "lip_opening_correlation_lag0"),
)


def watched(pictures: UInt8[np.ndarray, "n h w 3"], doing: str) -> Iterable[UInt8[np.ndarray, "h w 3"]]:
    """The pictures one by one, with a progress bar."""
    from tqdm import tqdm

    bar: Iterable[UInt8[np.ndarray, "h w 3"]] = tqdm(pictures, doing, unit="frame", disable=not sys.stderr.isatty())
    return bar


def landmarks_of(judges: Judges, pictures: UInt8[np.ndarray, "n h w 3"]) -> list[Float[np.ndarray, "478 2"] | None]:
    """Of each picture; None where no face is found, and everywhere without a detector."""
    if judges.detector is None:
        return [None] * len(pictures)
    return [judges.detector.detect(picture) for picture in watched(pictures, "landmarks")]


def check_pair(original: Avatar, edited: Avatar) -> None:
    """BadInput unless both show the same frames in the same way."""
    sizes = [f"{avatar.camera.width}x{avatar.camera.height}" for avatar in (edited, original)]
    if sizes[0] != sizes[1]:
        raise BadInput(f"avatar {edited.name!r} of {sizes[0]} pixels, original {original.name!r} of {sizes[1]}; they must be of one size")
    if edited.encoder.sha256 != original.encoder.sha256:
        raise BadInput(
            f"avatar {edited.name!r} hears with encoder {edited.encoder.id}, original {original.name!r} with {original.encoder.id}; "
            "they must have the same"
        )
    if edited.field_config.audio_window != original.field_config.audio_window:
        raise BadInput(f"avatar {edited.name!r} looks at another window of sound than {original.name!r}; it is no edit of it")


def mouth_flows_of(avatar: Avatar, original: OriginalClip) -> np.ndarray:
    """From the avatar's silent mouth to each frame's, with the head held."""
    assert original.window is not None
    held = original.drive.held()
    rest = next(iter(held.silent().pictures(avatar, "silence")))
    return mouth_flows(rest, held.pictures(avatar, "held head"), original.window, original.flow)


def motion_metrics(original: OriginalClip, edited: Avatar) -> dict[str, Any]:
    """Without a detector: does the mouth move as the original's?"""
    flows = original.mouth_flows
    if flows is None:
        return missing(MOTION_METRICS, "the mouth is not in the picture")
    found = mouth_motion(flows, mouth_flows_of(edited, original), edited.camera.height)
    if found is None:
        return missing(MOTION_METRICS, "the original's mouth does not move")
    values = (found.correlation, found.gain, found.error_px)
    return dict(zip(MOTION_METRICS, values, strict=True)) | {"mouth_motion_of_original_px": found.original_px}


def warping_metrics(original: OriginalClip, pictures: UInt8[np.ndarray, "n h w 3"]) -> dict[str, Any]:
    """E_w by the edited clip's own flow, as the paper has it, and by the original's, which flicker cannot deceive."""
    by_original, of_original = "warping_error_by_original_flow", "warping_error_of_original"
    if len(pictures) < LEAST_FRAMES:
        return missing((*WARPING_METRICS, by_original, of_original), f"needs {LEAST_FRAMES} frames")
    own = warping_errors(watched(pictures, "warping error"), pictures, original.flow)[0]
    theirs = warping_errors(watched(original.pictures, "warping error by the original's flow"), pictures, original.flow)[1]
    values = (own.total, own.short_term, own.long_term, 0.5 * (own.visible_short_term + own.visible_long_term))
    found: dict[str, Any] = dict(zip(WARPING_METRICS, values, strict=True))
    return found | {by_original: theirs.total, of_original: original.warping_error.total}


def clip_embeddings(
    judges: Judges, pictures: UInt8[np.ndarray, "n h w 3"], stills: Int[np.ndarray, " n_stills"]
) -> tuple[Float32[np.ndarray, "n_stills dim"], Float32[np.ndarray, "n_stills dim"]]:
    """Of the still frames, and of the frames after them."""
    assert judges.clip is not None
    after = np.minimum(stills + 1, len(pictures) - 1)
    wanted = np.unique(np.concatenate([stills, after]))
    found = judges.clip.pictures([pictures[k] for k in wanted])
    return found[np.searchsorted(wanted, stills)], found[np.searchsorted(wanted, after)]


def clip_metrics(
    original: OriginalClip, pictures: UInt8[np.ndarray, "n h w 3"], captions: Captions | None, instruction: str | None
) -> dict[str, Any]:
    """CLIP direction with the captions that it was measured by, and consistency."""
    clip = original.judges.clip
    if clip is None:
        return missing(CLIP_METRICS, NEEDS_CLIP)
    result: dict[str, Any] = {"clip_model": clip.name}
    changes, next_changes = (
        after - before
        for after, before in zip(clip_embeddings(original.judges, pictures, original.stills), original.clip_embeddings, strict=True)
    )
    if len(pictures) < LEAST_FRAMES:
        result |= missing(("clip_consistency",), f"needs {LEAST_FRAMES} frames")
    else:
        consistency = direction_consistency(changes, next_changes)
        result |= {"clip_consistency": consistency} if consistency is not None else missing(("clip_consistency",), UNCHANGED)
    captions = captions or (derived_captions(instruction) if instruction else None)
    if captions is None:
        said = f"none can be derived from {instruction!r}" if instruction else "there is no instruction to derive them from"
        return result | missing(("clip_direction",), f"needs captions, {said} (--caption-before, --caption-after)")
    result |= {"caption_before": captions.before, "caption_after": captions.after}
    direction = direction_similarity(np.zeros_like(changes), changes, text_direction(clip, captions))
    return result | ({"clip_direction": direction} if direction is not None else missing(("clip_direction",), UNCHANGED))


UNCHANGED = "the edit changes nothing that CLIP sees"


def identity_metric(original: OriginalClip, pictures: UInt8[np.ndarray, "n h w 3"]) -> dict[str, Any]:
    """ArcFace's distance, with both faces cut out by the original's landmarks: they stand in the same place, and edits may hide a face."""
    judges = original.judges
    if judges.arcface is None:
        return missing(("identity",), NEEDS_ARCFACE)
    if judges.detector is None:
        return missing(("identity",), judges.no_detector)
    distances = []
    for k in original.stills:
        landmarks = original.landmarks[k]
        if landmarks is not None:
            distances.append(judges.arcface.distance(original.pictures[k], pictures[k], landmarks, landmarks))
    if not distances:
        return missing(("identity",), "no face was found in the original")
    return {"identity": float(np.mean(distances)), "identity_frames": len(distances)}


def sync_of(original: OriginalClip, pictures: UInt8[np.ndarray, "n h w 3"]) -> dict[str, Any]:
    """SyncNet's scores, where the frames have a sound."""
    if original.drive.samples is None:
        return missing(SYNC, NO_SOUND)
    return sync_metrics(original.drive, original.judges, range(len(pictures)), lambda: iter(pictures))


def of_original(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The same metrics under the names that the original's have."""
    return {f"{key.removesuffix('_reason')}_of_original{'_reason' * key.endswith('_reason')}": value for key, value in metrics.items()}


def stillness_of(original: OriginalClip, avatar: Avatar, which: str) -> dict[str, Any]:
    """What the mouth does in silence and in noise, as shares of its range in the whole sound."""
    drive, judges = original.drive, original.judges
    if judges.detector is None:
        return missing(STILLNESS, judges.no_detector)
    if drive.speech is None:
        return missing(STILLNESS, NO_SOUND)
    found = mouth_stillness(avatar, drive.encoder, drive.speech, judges.detector, drive.backend, drive.threads)
    unknown = [name for name, value in found.items() if value is None]
    return found | missing(unknown, f"speech moves nothing in the {which} avatar, or no face was found")
