"""Lip-shape preservation: the lips of an edited avatar against the original's in the same frames, by face landmarks.

Both pictures of a frame show the same head at the same place, so landmarks are compared as they are, without an alignment; lip_shape_px
is the distance that is left when the mouths' centres are laid upon each other. All distances are in pixels at a height of 256.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from editing.evaluate.judges import missing
from editing.evaluate.metrics import LIP_LANDMARKS, correlation, lip_landmark_distance, mouth_opening
from editing.evaluate.mouth_motion import REFERENCE_HEIGHT_PX
from editing.evaluate.moving import LEAST_CURVE_FRAMES, lag_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    Landmarks = Float[np.ndarray, "478 2"]

DISTANCES = ("lip_lmd_px", "lip_shape_px")
CURVES = ("lip_opening_correlation", "lip_opening_lag_frames", "lip_opening_correlation_lag0")
FOUND = ("faces_found_in_original", "faces_found_in_edited")


def lip_preservation(original: Sequence[Landmarks | None], edited: Sequence[Landmarks | None], height_px: int) -> dict[str, Any]:
    """Of consecutive frames with landmarks, or None where no face was found; over the frames with a face in both.

    The shares of frames with a face are among the result: a distance over a few lucky frames says little.
    """
    if len(original) != len(edited) or not original:
        raise ValueError(f"{len(original)} frames of the original, {len(edited)} of the edited avatar; as many were expected")
    result: dict[str, Any] = dict(
        zip(FOUND, (float(np.mean([face is not None for face in faces])) for faces in (original, edited)), strict=True)
    )
    both = [(k, a, b) for k, (a, b) in enumerate(zip(original, edited, strict=True)) if a is not None and b is not None]
    result["lip_frames"] = len(both)
    if not both:
        return result | missing((*DISTANCES, *CURVES), "no frame has a face in both pictures")
    scale = REFERENCE_HEIGHT_PX / height_px
    result["lip_lmd_px"] = scale * float(np.mean([lip_landmark_distance(a, b) for _, a, b in both]))
    result["lip_shape_px"] = scale * float(np.mean([lip_landmark_distance(_centred(a), _centred(b)) for _, a, b in both]))
    before, after = np.array([(mouth_opening(a), mouth_opening(b)) for _, a, b in both]).T
    # A lag is only known of frames in a row: the curves go on over the frames without a face.
    seen = [k for k, _, _ in both]
    row = np.arange(seen[0], seen[-1] + 1)
    result |= lag_scores("lip_opening", np.interp(row, seen, before), np.interp(row, seen, after), 1)
    if len(both) < LEAST_CURVE_FRAMES:
        return result | missing(CURVES, f"needs {LEAST_CURVE_FRAMES} frames with a face")
    result["lip_opening_correlation_lag0"] = correlation(before, after)
    if result["lip_opening_correlation_lag0"] is None:
        result |= missing(("lip_opening_correlation_lag0",), "one of the curves is flat")
    return result


def _centred(landmarks: Landmarks) -> Landmarks:
    return np.asarray(landmarks - landmarks[list(LIP_LANDMARKS)].mean(0))
