"""The presenter's pictures, labels, landmarks and poses agree with each other."""

from __future__ import annotations

import numpy as np
import pytest

from editing.synthesize.emotions import EMOTIONS
from editing.synthesize.presenter import (
    AUDIO_REGION_CENTRE,
    AUDIO_REGION_RADII,
    EYE_REGION_CENTRE,
    EYE_REGION_RADII,
    HEAD_BOX_CENTRE,
    HEAD_BOX_HALF_EXTENT,
    LABELS,
    LANDMARK_NAMES,
    Presenter,
    cpu_variants,
)
from renderer.errors import BackendUnavailable, BadInput

SIZE_PX = 96
POSES = (
    {},
    {"yaw": 14.0, "pitch": -6.0, "roll": 5.0},
    {"yaw": -14.0, "pitch": 7.0, "roll": -5.0, "shift_x": 0.05, "shift_y": -0.03, "shift_z": 0.1, "jaw": 0.5},
)


@pytest.fixture(scope="module")
def presenter() -> Presenter:
    return Presenter()


def project(camera_from_head: np.ndarray, camera: object, points: np.ndarray) -> np.ndarray:
    in_camera = points @ camera_from_head[:3, :3].T + camera_from_head[:3, 3]
    scaled = in_camera[:, :2] / in_camera[:, 2:]
    return scaled * (camera.fx, camera.fy) + (camera.cx, camera.cy)  # type: ignore[attr-defined]


@pytest.mark.parametrize("values", POSES)
def test_pose_projects_head_points_onto_landmarks(presenter: Presenter, values: dict[str, float]) -> None:
    articulation = presenter.articulation(**values)
    marks = presenter.landmarks(articulation, SIZE_PX)
    camera_from_head, camera = presenter.pose(articulation, SIZE_PX)
    np.testing.assert_allclose(project(camera_from_head, camera, marks.head), marks.pixels, atol=0.01)
    assert np.linalg.det(camera_from_head[:3, :3]) == pytest.approx(1.0, abs=1e-5)
    assert camera_from_head[2, 3] > 5.0  # in front of an OpenCV camera


@pytest.mark.parametrize("values", POSES)
def test_landmarks_lie_on_the_parts_they_name(presenter: Presenter, values: dict[str, float]) -> None:
    size_px = 256
    articulation = presenter.articulation(**values)
    _, labels = presenter.render(articulation, size_px, 1)
    marks = presenter.landmarks(articulation, size_px)
    wanted = {
        "nose_tip": {"face"},
        "chin": {"face"},
        "forehead": {"face", "hair"},
        "eye_pupil_r": {"eye"},
        "eye_pupil_l": {"eye"},
        "brow_middle_r": {"brow"},
        "brow_middle_l": {"brow"},
        "lower_lip_inner": {"lips", "mouth", "teeth"},
    }
    for name, parts in wanted.items():
        x, y = marks.pixels[LANDMARK_NAMES.index(name)]
        around = labels[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
        assert set(np.unique(around)) & {LABELS[part] for part in parts}, name


def test_landmarks_move_with_the_jaw(presenter: Presenter) -> None:
    lower = LANDMARK_NAMES.index("lower_lip_inner")
    upper = LANDMARK_NAMES.index("upper_lip_inner")
    closed = presenter.landmarks(presenter.articulation(), SIZE_PX).pixels
    opened = presenter.landmarks(presenter.articulation(jaw=0.8), SIZE_PX).pixels
    assert opened[lower, 1] - closed[lower, 1] > 4.0
    assert abs(opened[upper, 1] - closed[upper, 1]) < 2.0


@pytest.mark.parametrize("values", [{}, {"press": 1.0}, {"press": 1.0, "jaw": 0.8, "upper_raise": 1.0, "lower_drop": 1.0}])
def test_lips_close_completely(presenter: Presenter, values: dict[str, float]) -> None:
    articulation = presenter.articulation(**values)
    assert presenter.measures(articulation).lip_opening < 1e-3
    _, labels = presenter.render(articulation, 192, 1)
    assert np.count_nonzero((labels == LABELS["mouth"]) | (labels == LABELS["teeth"])) == 0


def test_open_vowel_is_wide_open(presenter: Presenter) -> None:
    articulation = presenter.articulation(jaw=0.8)
    assert presenter.measures(articulation).lip_opening > 0.4
    _, labels = presenter.render(articulation, 192, 1)
    assert np.count_nonzero((labels == LABELS["mouth"]) | (labels == LABELS["teeth"])) > 120


def test_lower_lip_meets_the_upper_teeth_in_f_and_v(presenter: Presenter) -> None:
    articulation = presenter.articulation(fv=1.0, jaw=0.1)
    assert 0.02 < presenter.measures(articulation).lip_opening < 0.12
    _, labels = presenter.render(articulation, 256, 1)
    teeth = np.count_nonzero(labels == LABELS["teeth"])
    assert teeth > 20
    assert np.count_nonzero(labels == LABELS["mouth"]) < 0.2 * teeth  # no dark gap under the teeth


def test_blink_closes_the_eyes(presenter: Presenter) -> None:
    closed = presenter.articulation(blink_l=1.0, blink_r=1.0)
    assert presenter.measures(closed).eye_opening == pytest.approx(0.0, abs=1e-6)
    _, labels = presenter.render(presenter.articulation(), 128, 1)
    _, shut = presenter.render(closed, 128, 1)
    assert np.count_nonzero(shut == LABELS["eye"]) < 0.45 * np.count_nonzero(labels == LABELS["eye"])  # lashes are left


def test_labels_hold_every_part(presenter: Presenter) -> None:
    _, labels = presenter.render(presenter.articulation(jaw=0.7), 160, 1)
    assert set(np.unique(labels)) == set(LABELS.values())


def test_background_is_the_clean_plate(presenter: Presenter) -> None:
    rgb, labels = presenter.render(presenter.articulation(), SIZE_PX, 1)
    plate = presenter.background(SIZE_PX)
    behind = labels == LABELS["background"]
    assert behind.mean() > 0.3
    assert np.abs(rgb[behind].astype(int) - plate[behind].astype(int)).max() <= 1


def test_light_is_fixed_to_the_head(presenter: Presenter) -> None:
    """The same skin patch keeps its colour when the head turns: the light turns with it."""
    colours = []
    for yaw in (-12.0, 0.0, 12.0):
        articulation = presenter.articulation(yaw=yaw)
        rgb, _ = presenter.render(articulation, 256, 1)
        x, y = presenter.landmarks(articulation, 256).pixels[LANDMARK_NAMES.index("forehead")]
        colours.append(rgb[int(y) + 8 : int(y) + 12, int(x) - 2 : int(x) + 2].reshape(-1, 3).mean(0))
    assert np.ptp(np.array(colours), axis=0).max() < 9.0


def outline_of(presenter: Presenter, centre: tuple[float, ...], radii: tuple[float, ...], size_px: int) -> np.ndarray:
    """Picture positions of points on an ellipsoid around the resting head."""
    angles = np.linspace(0.0, 2.0 * np.pi, 24)
    sphere = np.array([(np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)) for a in angles for b in angles])
    return project(*presenter.pose(presenter.rest, size_px), np.array(centre) + sphere * radii)


SPEECH = ({"jaw": 1.0}, {"pucker": 1.0}, {"wide": 1.0, "upper_raise": 1.0}, {"fv": 1.0})
BLINK = ({"blink_l": 1.0, "blink_r": 1.0, "squint": 0.25}, {"blink_l": 0.5, "blink_r": 0.5, "squint": 0.12})


@pytest.mark.parametrize(
    ("centre", "radii", "changes"),
    [(AUDIO_REGION_CENTRE, AUDIO_REGION_RADII, SPEECH), (EYE_REGION_CENTRE, EYE_REGION_RADII, BLINK)],
    ids=["speech", "blink"],
)
def test_declared_regions_hold_what_moves(
    presenter: Presenter, centre: tuple[float, ...], radii: tuple[float, ...], changes: tuple[dict[str, float], ...]
) -> None:
    """What speech and blinks change of the head projects into the ellipsoids that the dataset declares."""
    size_px = 128
    rest, _ = presenter.render(presenter.rest, size_px, 1)
    outline = outline_of(presenter, centre, radii, size_px)
    for values in changes:
        rgb, labels = presenter.render(presenter.articulation(**values), size_px, 1)
        moved = (np.abs(rgb.astype(int) - rest.astype(int)).max(axis=-1) > 12) & (labels != LABELS["neck"])
        rows, columns = np.nonzero(moved)
        assert len(rows) > 20
        assert rows.min() >= outline[:, 1].min() - 1
        assert rows.max() <= outline[:, 1].max() + 1
        assert columns.min() >= outline[:, 0].min() - 1
        assert columns.max() <= outline[:, 0].max() + 1


def test_library_variants_draw_the_same_picture() -> None:
    """Each instruction set rounds differently, but shows the same face."""
    pictures = {}
    for variant in cpu_variants():
        built = Presenter(variant)
        pictures[variant] = built.render(built.articulation(jaw=0.5, yaw=6.0), 64, 2)[0].astype(float)
    assert pictures
    reference = next(iter(pictures.values()))
    for variant, picture in pictures.items():
        assert np.abs(picture - reference).mean() < 0.6, variant


def test_head_box_holds_the_head(presenter: Presenter) -> None:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    box = np.array(HEAD_BOX_CENTRE) + HEAD_BOX_HALF_EXTENT * corners
    head = [LABELS[name] for name in ("face", "hair", "eye", "lips", "teeth", "mouth", "brow")]
    for values in (*POSES, {"jaw": 1.0, "pitch": 7.0}):
        articulation = presenter.articulation(**values)
        _, labels = presenter.render(articulation, SIZE_PX, 1)
        rows, columns = np.nonzero(np.isin(labels, head))
        pixels = project(*presenter.pose(articulation, SIZE_PX), box)
        assert columns.min() >= pixels[:, 0].min()
        assert columns.max() <= pixels[:, 0].max()
        assert rows.min() >= pixels[:, 1].min()
        assert rows.max() <= pixels[:, 1].max()


def test_emotions_name_known_parameters(presenter: Presenter) -> None:
    for changes in EMOTIONS.values():
        assert set(changes) <= set(presenter.index)


def test_render_is_repeatable(presenter: Presenter) -> None:
    articulation = presenter.articulation(jaw=0.4, yaw=5.0)
    first, second = presenter.render(articulation, 48, 2), presenter.render(articulation, 48, 2)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_presenter_rejects_bad_values(presenter: Presenter) -> None:
    with pytest.raises(BadInput, match="nose_length"):
        presenter.articulation(nose_length=1.0)
    with pytest.raises(BadInput, match="size 4"):
        presenter.render(presenter.rest, 4)
    with pytest.raises(BadInput, match="shape"):
        presenter.render(np.zeros(3, np.float32), 64)
    with pytest.raises(BackendUnavailable, match="v9"):
        Presenter("v9")
