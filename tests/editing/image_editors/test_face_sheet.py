"""The sheet lies on the head: landmarks are where they should be, strokes follow them."""

from __future__ import annotations

import numpy as np
import pytest

from editing.image_editors.builtin.brush_strokes import Anchors, _ties, places
from editing.image_editors.builtin.face_sheet import HeadView, canonical_face, map_sheet, triangles_at
from editing.image_editors.builtin.scene import Scene
from editing.landmarks import CHIN, INNER_LIPS, N_MESH_LANDMARKS, OUTER_LIPS
from tests.editing.image_editors.presenter_frames import REST, SIZE_PX, TURNED, presenter_frames

SURFACE = [k for k in range(N_MESH_LANDMARKS) if k not in {*INNER_LIPS, *OUTER_LIPS}]


@pytest.mark.parametrize("yaw_deg", [0.0, -20.0, 25.0])
def test_head_view_recovers_a_pose(yaw_deg: float) -> None:
    turn = np.radians(yaw_deg)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    seen = canonical_face().vertices @ rotation.T
    landmarks = np.pad(seen[:, :2] * (7.0, -7.0) + (120.0, 140.0), ((0, 10), (0, 0)))
    view = HeadView.of(landmarks)
    np.testing.assert_allclose(view.rotation, rotation, atol=1e-5)
    assert view.px_per_cm == pytest.approx(7.0)


@pytest.mark.parametrize("frame", [REST, TURNED])
def test_map_sheet_puts_landmarks_on_their_vertices(frame: int) -> None:
    _, guide = presenter_frames()
    landmarks = guide.landmarks[frame]
    sheet = map_sheet(landmarks, HeadView.of(landmarks), (SIZE_PX, SIZE_PX))
    x, y = np.floor(landmarks[SURFACE]).astype(int).T
    error = np.linalg.norm(sheet.uv[y, x] - canonical_face().sheet[SURFACE], axis=1)
    # Half a pixel is a millimetre; the far side of a turned head is hidden, and steep.
    assert np.median(error) < 0.15
    assert np.isfinite(sheet.uv).all()
    np.testing.assert_allclose(np.linalg.norm(sheet.normals, axis=2), 1.0, atol=1e-5)


def test_map_sheet_goes_on_smoothly_beyond_the_face() -> None:
    _, guide = presenter_frames()
    landmarks = guide.landmarks[REST]
    sheet = map_sheet(landmarks, HeadView.of(landmarks), (SIZE_PX, SIZE_PX))
    x = int(landmarks[CHIN, 0])
    down = sheet.uv[int(landmarks[CHIN, 1]) - 10 : SIZE_PX, x, 1]
    steps = np.diff(down)
    assert steps.min() > -0.1  # a seam of half a pixel where the mesh ends
    assert steps.max() < 5 * np.median(steps)


def test_triangles_at_finds_the_vertices_of_the_mesh_and_nothing_beside_it() -> None:
    face = canonical_face()
    middles = face.sheet[face.triangles].mean(1)
    found = triangles_at(middles)
    assert (found == np.arange(len(middles))).mean() > 0.9  # slivers lie on their neighbours' pixels
    assert (triangles_at(np.array([[0.0, -30.0], [25.0, 0.0]])) == -1).all()


def test_places_follow_the_landmarks() -> None:
    frames, guide = presenter_frames()
    points = canonical_face().sheet[SURFACE]
    anchors = Anchors(points, _ties(points))
    for frame in (REST, TURNED):
        scene = Scene(frames[frame].astype(np.float32) / 255, guide.landmarks[frame], guide.labels[frame], None, 0)
        error = np.linalg.norm(places(anchors, scene) - guide.landmarks[frame][SURFACE], axis=1)
        assert np.median(error) < 0.2
