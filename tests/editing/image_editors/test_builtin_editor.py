"""What looks change and what they leave; what settings, guides and conditions do; flicker on purpose."""

from __future__ import annotations

import os
from functools import lru_cache

import cv2
import numpy as np
import pytest

from editing.capture.labels import LABELS
from editing.image_editors import known_instructions, open_image_editor
from editing.image_editors.builtin.brush_strokes import head_anchors, places
from editing.image_editors.builtin.builtin_editor import BuiltinConfig, BuiltinEditor
from editing.image_editors.builtin.scene import Scene
from editing.image_editors.editor import EditSettings
from editing.image_editors.guide import Guide
from editing.landmarks import MODEL_VARIABLE, LandmarkDetector
from renderer.errors import BadInput
from tests.editing.image_editors.presenter_frames import NEXT, OPEN, REST, TURNED, one, presenter_frames

EXAMPLES = [known.example for known in known_instructions()]
ON_THE_FACE = [known.example for known in known_instructions() if not known.changes.startswith("the whole")]
ON_THE_PICTURE = [known.example for known in known_instructions() if known.changes.startswith("the whole picture")]
STATUES = [known.example for known in known_instructions() if known.changes.startswith("the whole person")]
LIPS_PX = 2.0
DEEP_PX = 9
"""Farther from a region's edge than soft masks and mattes reach."""


@lru_cache(maxsize=128)
def edit(instruction: str, frame: int = REST, inconsistency: float = 0.0, **settings: float) -> np.ndarray:
    """One of the presenter's frames, edited."""
    frames, guide = one(*presenter_frames(), frame)
    editor = BuiltinEditor(BuiltinConfig(inconsistency))
    edited = editor.edit(frames, None, EditSettings(instruction, **settings), indices=[frame], guide=guide)[0]
    edited.flags.writeable = False  # it is kept for other tests
    return edited


def change(edited: np.ndarray, frame: int = REST) -> np.ndarray:
    """[h, w]: largest change of a channel."""
    return np.abs(edited.astype(int) - presenter_frames()[0][frame]).max(-1)


def region(*names: str, frame: int = REST, shrink_px: int = 0) -> np.ndarray:
    mask = np.isin(presenter_frames()[1].labels[frame], [LABELS[name] for name in names]).astype(np.uint8)
    return cv2.erode(mask, np.ones((2 * shrink_px + 1,) * 2, np.uint8)).astype(bool)


# ---- where -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("instruction", EXAMPLES)
def test_edit_changes_the_picture_and_keeps_its_shape(instruction: str) -> None:
    edited = edit(instruction)
    assert edited.shape == (256, 256, 3) and edited.dtype == np.uint8
    assert (change(edited) > 8).sum() > 250


@pytest.mark.parametrize("instruction", ON_THE_FACE + STATUES)
def test_edit_of_the_person_leaves_the_background(instruction: str) -> None:
    assert change(edit(instruction))[region("background", shrink_px=DEEP_PX)].max() <= 1


@pytest.mark.parametrize("instruction", ON_THE_FACE)
def test_edit_of_the_face_leaves_the_clothes(instruction: str) -> None:
    assert change(edit(instruction))[region("cloth", shrink_px=DEEP_PX)].max() <= 1


@pytest.mark.parametrize("instruction", ON_THE_PICTURE)
def test_edit_of_the_picture_reaches_the_background(instruction: str) -> None:
    assert change(edit(instruction))[region("background")].mean() > 3


@pytest.mark.parametrize("instruction", STATUES)
def test_statues_have_one_colour(instruction: str) -> None:
    hue = cv2.cvtColor(edit(instruction).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    skin, hair, cloth = (np.median(hue[region(part, shrink_px=4)], 0) for part in ("face", "hair", "cloth"))
    assert np.abs(skin - hair)[1:].max() < 12
    assert np.abs(skin - cloth)[1:].max() < 12


def test_hair_colour_changes_hair_and_not_the_lips() -> None:
    changed = change(edit("blue hair", OPEN), OPEN)
    assert np.median(changed[region("hair", frame=OPEN, shrink_px=3)]) > 40
    assert changed[region("lips", "mouth", "teeth", "eye", frame=OPEN)].max() <= 1


def test_lipstick_changes_the_lips_and_not_the_teeth() -> None:
    changed = change(edit("red lips", OPEN), OPEN)
    assert np.median(changed[region("lips", frame=OPEN)]) > 40
    assert changed[region("hair", "eye", "brow", "cloth", "background", frame=OPEN)].max() <= 1
    assert np.median(changed[region("mouth", frame=OPEN, shrink_px=1)]) <= 2


def test_skin_tone_changes_skin_and_leaves_eyes_and_teeth() -> None:
    changed = change(edit("dark skin", OPEN), OPEN)
    assert np.median(changed[region("face", frame=OPEN)]) > 60
    assert np.median(changed[region("eye", frame=OPEN, shrink_px=2)]) <= 2
    assert np.median(changed[region("teeth", frame=OPEN)]) <= 8


def test_colours_arrive_where_they_were_asked_for() -> None:
    red, green, blue = edit("green hair")[region("hair", shrink_px=3)].mean(0)
    assert green > 1.5 * max(red, blue)


@pytest.mark.skipif(not os.environ.get(MODEL_VARIABLE), reason=f"{MODEL_VARIABLE} is not set")
def test_lips_stay_where_they_were() -> None:
    from editing.landmarks import INNER_LIPS, OUTER_LIPS

    lips = [*INNER_LIPS, *OUTER_LIPS]
    _, guide = presenter_frames()
    detector = LandmarkDetector()
    try:
        for instruction in ON_THE_FACE + STATUES + ["pencil sketch", "cartoon", "neon", "watercolour"]:
            # Turned aside, a drawing's lips are less than the detector needs.
            for frame in (REST, OPEN, TURNED) if instruction in ON_THE_FACE + STATUES else (REST, OPEN):
                found = detector.detect(edit(instruction, frame))
                assert found is not None, instruction
                moved = np.linalg.norm(found[lips] - guide.landmarks[frame][lips], axis=1).mean()
                assert moved <= LIPS_PX, (instruction, frame, moved)
    finally:
        detector.close()


@pytest.mark.parametrize("instruction", ["80 years old", "zombie", "bronze statue", "van gogh"])
def test_marks_move_with_the_face(instruction: str) -> None:
    """The same places of the face get the same marks a frame later, and more alike than where the marks would be if they stood still."""
    frames, guide = presenter_frames()
    there = region("face", shrink_px=4)
    anchors = head_anchors(0.4, 0)
    marks, still = [], []
    for frame in (REST, NEXT):
        scene = Scene(frames[frame].astype(np.float32) / 255, guide.landmarks[frame], guide.labels[frame], None, 0)
        detail = (edit(instruction, frame).astype(float) - frames[frame]).mean(-1).astype(np.float32)
        detail -= cv2.GaussianBlur(detail, (0, 0), 6)
        at = places(anchors, scene)
        marks.append(cv2.remap(detail, at[None, :, 0] - 0.5, at[None, :, 1] - 0.5, cv2.INTER_LINEAR)[0])
        if frame == REST:
            inside = there[tuple(np.floor(at).astype(int).clip(0, 255).T[::-1])]
            at_rest = at
        still.append(cv2.remap(detail, at_rest[None, :, 0] - 0.5, at_rest[None, :, 1] - 0.5, cv2.INTER_LINEAR)[0])
    moving_alike = np.corrcoef(marks[0][inside], marks[1][inside])[0, 1]
    still_alike = np.corrcoef(still[0][inside], still[1][inside])[0, 1]
    assert moving_alike > 0.75
    assert moving_alike > still_alike


# ---- settings --------------------------------------------------------------------------------------------------------
def test_edit_is_the_same_whatever_it_is_edited_with() -> None:
    frames, guide = presenter_frames()
    settings = EditSettings("an old man with white hair as an oil painting")
    together = BuiltinEditor().edit(frames, None, settings, guide=guide)
    np.testing.assert_array_equal(together[TURNED], edit(settings.instruction, TURNED))
    np.testing.assert_array_equal(together, BuiltinEditor().edit(frames, None, settings, guide=guide))


@pytest.mark.parametrize("instruction", ["80 years old", "oil painting", "bronze statue", "zombie", "pencil sketch"])
def test_seed_arranges_strokes_and_textures(instruction: str) -> None:
    assert np.abs(edit(instruction).astype(int) - edit(instruction, seed=1)).mean() > 0.05


@pytest.mark.parametrize("instruction", ["80 years old", "blue hair", "marble statue"])
def test_text_guidance_and_strength_grow_the_change(instruction: str) -> None:
    by_guidance = [change(edit(instruction, text_guidance=s)).mean() for s in (1.5, 3.0, 4.5, 6.0)]
    assert np.all(np.diff(by_guidance) > 0)
    by_strength = [change(edit(instruction, strength=s)).mean() for s in (0.25, 0.5, 1.0)]
    assert np.all(np.diff(by_strength) > 0)


def test_wrinkles_deepen_beyond_full_guidance() -> None:
    assert change(edit("80 years old", text_guidance=9.0)).mean() > change(edit("80 years old", text_guidance=6.0)).mean()


def test_image_guidance_holds_the_change_back() -> None:
    assert change(edit("cartoon", image_guidance=3.0)).mean() < change(edit("cartoon", image_guidance=1.5)).mean()


def test_steps_set_how_fine_strokes_are() -> None:
    coarse, fine = (cv2.Laplacian(edit("van gogh", steps=s).mean(-1), cv2.CV_64F).std() for s in (4, 20))
    assert coarse < fine


def test_condition_draws_the_result_back_to_it() -> None:
    frames, guide = one(*presenter_frames(), REST)
    editor, settings = BuiltinEditor(), EditSettings("bronze statue")
    free = editor.edit(frames, None, settings, guide=guide)
    held = editor.edit(frames, frames, settings, guide=guide)
    np.testing.assert_allclose(held, free * (2 / 3) + frames / 3, atol=1.5)


def test_rounds_of_edits_come_closer_and_stop_at_the_goal() -> None:
    frames, guide = one(*presenter_frames(), REST)
    editor = BuiltinEditor()
    goal = editor.edit(frames, None, EditSettings("pencil sketch"), guide=guide).astype(int)
    now, away = frames, []
    for s_t in (3.0, 4.5, 6.0, 6.0):
        now = editor.edit(now, None, EditSettings("pencil sketch", s_t), guide=guide)
        away.append(np.abs(now - goal).mean())
    assert away[0] > away[1] > away[2]
    assert away[2] == away[3] == 0.0


# ---- inconsistent on purpose -----------------------------------------------------------------------------------------
def test_inconsistent_frames_differ_and_are_seeded() -> None:
    frames, guide = presenter_frames()
    same = np.repeat(frames[:1], 3, 0)
    known = Guide(*(np.repeat(value[:1], 3, 0) for value in (guide.landmarks, guide.labels)))
    settings = EditSettings("bronze statue", seed=3)
    steady = BuiltinEditor().edit(same, None, settings, guide=known)
    assert (steady[0] == steady[1]).all()
    editor = open_image_editor("builtin", inconsistency=1.0)
    first = editor.edit(same, None, settings, guide=known, indices=[5, 6, 7])
    for a, b in ((0, 1), (1, 2)):
        assert np.abs(first[a].astype(int) - first[b]).mean() > 2
    np.testing.assert_array_equal(first[1:], editor.edit(same[:2], None, settings, guide=known.part(slice(2)), indices=[6, 7]))
    other = editor.edit(same, None, EditSettings("bronze statue", seed=4), guide=known, indices=[5, 6, 7])
    assert np.abs(first.astype(int) - other).mean() > 2


def test_inconsistent_warp_comes_with_the_change_that_is_made() -> None:
    frames, guide = one(*presenter_frames(), REST)
    editor = BuiltinEditor(BuiltinConfig(1.0))

    def moved(now: np.ndarray, s_t: float, steps: int) -> float:
        before, after = (
            cv2.cvtColor(p[0], cv2.COLOR_RGB2GRAY)
            for p in (now, editor.edit(now, None, EditSettings("blue hair", s_t, steps=steps), guide=guide))
        )
        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(before, after, None)
        return float(np.linalg.norm(flow, axis=2)[region("face", shrink_px=5)].mean())

    done = BuiltinEditor().edit(frames, None, EditSettings("blue hair"), guide=guide)
    assert moved(frames, 6.0, 20) > 2 * moved(frames, 3.0, 10)
    assert moved(frames, 6.0, 20) > 2 * moved(done, 6.0, 20)


# ---- the rest of the interface ---------------------------------------------------------------------------------------
def test_progress_counts_and_can_stop() -> None:
    frames, guide = presenter_frames()
    seen: list[int] = []
    BuiltinEditor().edit(frames, None, EditSettings("black and white"), guide=guide, progress=seen.append)
    assert seen == [1, 2, 3, 4]

    def stop(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    editor = BuiltinEditor()
    with pytest.raises(KeyboardInterrupt):
        editor.edit(frames, None, EditSettings("black and white"), guide=guide, progress=stop)
    assert editor.edit(frames[:1], None, EditSettings("black and white"), guide=guide.part(slice(1))).shape == (1, 256, 256, 3)


def test_edit_works_at_other_sizes() -> None:
    frames, guide = one(*presenter_frames(), OPEN)
    large = np.stack([cv2.resize(frames[0], (512, 512), interpolation=cv2.INTER_CUBIC)])
    labels = np.stack([cv2.resize(guide.labels[0], (512, 512), interpolation=cv2.INTER_NEAREST)])
    at_512 = BuiltinEditor().edit(large, None, EditSettings("van gogh"), guide=Guide(guide.landmarks * 2, labels))[0]
    small = cv2.resize(at_512, (256, 256), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(cv2.GaussianBlur(small - edit("van gogh", OPEN), (0, 0), 4)).mean() < 12


@pytest.mark.parametrize("instruction", EXAMPLES)
def test_edit_bears_small_frames_and_bald_faces_at_the_rim(instruction: str) -> None:
    frames, guide = one(*presenter_frames(), REST)
    shown = slice(20, 170), slice(110, 256)  # half of the face
    small = cv2.resize(frames[0][shown], (73, 75), interpolation=cv2.INTER_AREA)[None]
    labels = cv2.resize(guide.labels[0][shown], (73, 75), interpolation=cv2.INTER_NEAREST)[None]
    labels[labels == LABELS["hair"]] = LABELS["background"]
    known = Guide(((guide.landmarks - (110, 20)) / 2).astype(np.float32), labels)
    with np.errstate(all="raise", under="ignore"):
        edited = BuiltinEditor().edit(small, None, EditSettings(instruction), guide=known)
    assert edited.shape == small.shape


@pytest.mark.parametrize(
    ("frames", "condition", "indices", "named"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), None, None, "float32"),
        (np.zeros((8, 8, 3), np.uint8), None, None, "(8, 8, 3)"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8), None, "condition"),
        (np.zeros((2, 8, 8, 3), np.uint8), None, [0], "indices"),
    ],
)
def test_edit_rejects_pictures_that_do_not_fit(frames: np.ndarray, condition: np.ndarray, indices: list[int], named: str) -> None:
    with pytest.raises(BadInput, match=named.replace("(", r"\(").replace(")", r"\)")):
        BuiltinEditor().edit(frames, condition, EditSettings("cartoon"), indices=indices)
