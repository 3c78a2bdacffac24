"""Hair, face, neck, clothes and background of frames that come without labels, by capture's GrabCut and colour models.

A clip is looked at as a whole, as capture does. A few frames show too little of the background for that: each is then cut by itself, from
where head and shoulders must be. A mask of the person, where there is one, replaces the cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.capture.grabcut import PLATE_FRAMES, WHOLE, WORK_PX, View, cleaned, colour_bins, label_parts, learn_colours, part_colours
from editing.capture.labels import LABELS, paint_face, part
from editing.image_editors.builtin.face_sheet import HeadView
from editing.landmarks import FACE_OVAL

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, UInt8

    from editing.capture.grabcut import PartColours

SKULL_CM = (0.0, 3.5, -4.0)
"""The skull's middle on MediaPipe's canonical face."""
HEAD_UNIT_CM = 17.0
"""Of `editing.capture.head_pose`, which `View`'s radii are in."""
HAIR_RADII = (0.62, 0.66)
"""Most hair lies inside this ellipse, in head units: there the cut begins with the person."""
CLIP_FRAMES = 40
"""From as many frames on, the clip's own background is learned."""
COLOUR_FRAMES = 8
"""As many frames, spread over the clip, teach the colours of hair, skin and clothes."""
CUT_ROUNDS = 4
BARE_DISTANCE = 4.0
"""Standard deviations from the face's colours: beyond, what lies on the neck is a collar."""
STRAND_SHARE = 2e-3
"""Pieces of skin smaller than this share of the picture that do not touch the face are light strands of hair."""


def parse_people(
    frames: UInt8[np.ndarray, "n h w 3"], landmarks: Float32[np.ndarray, "n 478 2"], person: Float32[np.ndarray, "n h w"] | None
) -> UInt8[np.ndarray, "n h w"]:
    """Ids of `editing.capture.labels.LABELS` for every pixel."""
    height, width = frames.shape[1:3]
    side = max(height, width)
    margin = (side - height) // 2, (side - width) // 2
    pad = ((margin[0], side - height - margin[0]), (margin[1], side - width - margin[1]))
    squares = np.pad(frames, ((0, 0), *pad, (0, 0)), mode="edge")
    points = landmarks + np.array(margin[::-1], np.float32)
    views = [_view(square, face) for square, face in zip(squares, points, strict=True)]
    masks, colours = _people(views, None if person is None else np.pad(person, ((0, 0), *pad), mode="edge"))
    labels = np.zeros(squares.shape[:3], np.uint8)
    for k, (view, mask) in enumerate(zip(views, masks, strict=True)):
        labels[k] = label_parts(squares[k], points[k], view, mask, colours)
        collar = colours.skin.distance(colour_bins(squares[k])) > BARE_DISTANCE
        labels[k][collar & (labels[k] == LABELS["neck"])] = LABELS["cloth"]
        _strands_to_hair(labels[k])
        _brows_to_face(labels[k], points[k])
        paint_face(labels[k], squares[k], points[k])
    return np.ascontiguousarray(labels[:, margin[0] : margin[0] + height, margin[1] : margin[1] + width])


def _people(
    views: list[View], person: Float32[np.ndarray, "n side side"] | None
) -> tuple[list[Bool[np.ndarray, "work work"]], PartColours]:
    if person is None and len(views) >= CLIP_FRAMES:
        clip = learn_colours([views[k] for k in _spread(len(views), PLATE_FRAMES)])
        return [clip.cut(view) for view in views], clip.parts
    masks = [_cut_alone(view) for view in views] if person is None else [_shrunk(alpha) for alpha in person]
    chosen = _spread(len(views), COLOUR_FRAMES)
    return masks, part_colours([views[k] for k in chosen], [masks[k] for k in chosen])


def _spread(n: int, wanted: int) -> list[int]:
    return [int(k) for k in np.unique(np.linspace(0, n - 1, wanted).astype(int))]


def _view(square: UInt8[np.ndarray, "side side 3"], landmarks: Float32[np.ndarray, "478 2"]) -> View:
    import cv2

    scale = WORK_PX / square.shape[0]
    head = HeadView.of(landmarks)
    up = head.camera[:, 1]
    return View(
        cv2.resize(square, (WORK_PX, WORK_PX), interpolation=cv2.INTER_AREA),
        landmarks * scale,
        (head.camera[:, :3] @ np.array(SKULL_CM) + head.camera[:, 3]) * scale,
        head.px_per_cm * HEAD_UNIT_CM * scale,
        float(np.degrees(np.arctan2(up[0], -up[1]))),
    )


def _shrunk(alpha: Float32[np.ndarray, "side side"]) -> Bool[np.ndarray, "work work"]:
    import cv2

    return np.asarray(cv2.resize(alpha.astype(np.float32), (WORK_PX, WORK_PX), interpolation=cv2.INTER_AREA) > 0.5)


def _cut_alone(view: View) -> Bool[np.ndarray, "work work"]:
    import cv2

    mask = np.where(view.ellipse(HAIR_RADII) | view.shoulders(), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[~view.reach()] = cv2.GC_BGD
    mask[view.core()] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(view.picture, mask, WHOLE, np.zeros((1, 65)), np.zeros((1, 65)), CUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return cleaned((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD), view)


def _strands_to_hair(labels: UInt8[np.ndarray, "side side"]) -> None:
    import cv2

    bare = ~np.isin(labels, [LABELS[name] for name in ("background", "cloth", "neck", "hair")])
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(bare.astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < STRAND_SHARE * labels.size
    small[0] = False
    labels[small[pieces]] = LABELS["hair"]


def _brows_to_face(labels: UInt8[np.ndarray, "side side"], landmarks: Float32[np.ndarray, "478 2"]) -> None:
    """Hair inside the face that does not hang together with the hair around it is brows and lashes."""
    import cv2

    _, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == LABELS["hair"]).astype(np.uint8), connectivity=8)
    alone = stats[:, cv2.CC_STAT_AREA] < STRAND_SHARE * 4 * labels.size
    alone[0] = False
    oval = part((labels.shape[0], labels.shape[1]), landmarks, FACE_OVAL)
    labels[alone[pieces] & oval] = LABELS["face"]
