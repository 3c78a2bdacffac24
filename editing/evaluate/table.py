"""The metrics as a table for people: what is better, the unit, and in notes below why values are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Row:
    """One metric's line."""

    key: str
    title: str
    better: str
    """↑ or ↓, and a blank where neither is"""
    unit: str = ""
    decimals: int = 3


ROWS = (
    Row("psnr_db", "PSNR", "↑", "dB", 2),
    Row("psnr_head_db", "PSNR, head", "↑", "dB", 2),
    Row("psnr_face_db", "PSNR, face", "↑", "dB", 2),
    Row("psnr_mouth_db", "PSNR, mouth", "↑", "dB", 2),
    Row("psnr_lips_db", "PSNR, lips", "↑", "dB", 2),
    Row("ssim", "SSIM", "↑", "", 4),
    Row("lpips", "LPIPS", "↓", "", 4),
    Row("lmd_px", "LMD", "↓", "px"),
    Row("lmd_512_px", "LMD at 512 px", "↓", "px"),
    Row("sync_confidence", "Sync confidence (LSE-C)", "↑"),
    Row("sync_distance", "Sync distance (LSE-D)", "↓"),
    Row("sync_offset_frames", "Sync offset", " ", "frames", 0),
    Row("sync_confidence_of_truth", "  of the real video, LSE-C", " "),
    Row("sync_distance_of_truth", "  of the real video, LSE-D", " "),
    Row("aue", "AUE (OpenFace)", "↓"),
    Row("blendshape_error", "Blendshape error", "↓", "", 4),
    Row("opening_correlation", "Mouth opening, correlation", "↑"),
    Row("opening_lag_frames", "Mouth opening, lag", " ", "frames", 0),
    Row("opening_correlation_lag0", "  without lag", "↑"),
    Row("opening_correlation_of_truth", "  of the real video", " "),
    Row("phone_correlation", "Opening by phones, corr.", "↑"),
    Row("phone_lag_frames", "Opening by phones, lag", " ", "frames", 0),
    Row("phone_correlation_of_truth", "  of the real video", " "),
    Row("mouth_moves_in_silence", "Mouth moves in silence", "↓"),
    Row("mouth_moves_in_noise", "Mouth moves in noise", "↓"),
    Row("mouth_open_in_silence", "Mouth open in silence", "↓"),
    Row("identity", "Identity (ArcFace)", "↓"),
)

EDIT_ROWS = (
    Row("faces_found_in_original", "Faces found, original", " ", "of the frames", 2),
    Row("faces_found_in_edited", "Faces found, edited", " ", "of the frames", 2),
    Row("lip_lmd_px", "Lips, LMD at 256 px", "↓", "px"),
    Row("lip_shape_px", "  mouth centres aligned", "↓", "px"),
    Row("lip_opening_correlation", "Mouth opening, correlation", "↑"),
    Row("lip_opening_lag_frames", "Mouth opening, lag", " ", "frames", 0),
    Row("lip_opening_correlation_lag0", "  without lag", "↑"),
    Row("mouth_motion_correlation", "Mouth motion (flow), corr.", "↑"),
    Row("mouth_motion_gain", "  gain (1: as far)", " "),
    Row("mouth_motion_error_px", "  error at 256 px", "↓", "px"),
    Row("warping_error", "Warping error E_w", "↓", "", 4),
    Row("warping_error_by_original_flow", "  by the original's flow", "↓", "", 4),
    Row("warping_error_of_original", "  of the original", " ", "", 4),
    Row("warping_visible", "  pixels that count", " ", "of the picture", 2),
    Row("clip_direction", "CLIP direction", "↑", "", 4),
    Row("clip_consistency", "CLIP consistency", "↑", "", 4),
    Row("identity", "Identity (ArcFace, 1 - cos)", "↓"),
    Row("sync_confidence", "Sync confidence (LSE-C)", "↑"),
    Row("sync_distance", "Sync distance (LSE-D)", "↓"),
    Row("sync_offset_frames", "Sync offset", " ", "frames", 0),
    Row("sync_confidence_of_original", "  of the original, LSE-C", " "),
    Row("sync_distance_of_original", "  of the original, LSE-D", " "),
    Row("mouth_moves_in_silence", "Mouth moves in silence", "↓"),
    Row("mouth_moves_in_silence_of_original", "  of the original", " "),
    Row("mouth_moves_in_noise", "Mouth moves in noise", "↓"),
    Row("mouth_moves_in_noise_of_original", "  of the original", " "),
    Row("mouth_open_in_silence", "Mouth open in silence", "↓"),
    Row("mouth_open_in_silence_of_original", "  of the original", " "),
)
"""Of an edited avatar against its original."""


def table(result: Mapping[str, Any]) -> str:
    """One line a metric; `result` is what `evaluate`, `cross_driven` and `compare` give."""
    network = f", LPIPS by {result['lpips_network']}" if "lpips_network" in result else ""
    missed = f", no face in {result['face_missed']}" if result["face_missed"] else ""
    poses = f", poses {result['poses']}" if "poses" in result else ""
    edit = result["setting"] == "edited"
    setting = f"{result['avatar']} against {result['original']}, speaking {result['said']}" if edit else result["setting"]
    lines = [f"{setting}: {result['frames']} frames of {result['size']} px{missed}{poses}{network}"]
    notes: list[str] = []
    if "caption_after" in result:
        lines.append(f"captions: {result['caption_before']!r} -> {result['caption_after']!r}")
    for row in EDIT_ROWS if edit else ROWS:
        value = result.get(row.key)
        if value is None:
            reason = str(result.get(f"{row.key}_reason", "not measured"))
            if reason not in notes:
                notes.append(reason)
            shown = f"– [{notes.index(reason) + 1}]"
        else:
            shown = f"{value:.{row.decimals}f} {row.unit}"
        lines.append(f"{row.title:28}{row.better}  {shown}".rstrip())
    return "\n".join((*lines, *(f"[{number}] {note}" for number, note in enumerate(notes, start=1))))
