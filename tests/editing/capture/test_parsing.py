"""Masks and the clean plate of a painted person."""

from __future__ import annotations

import numpy as np
import pytest

from editing.capture import grabcut
from editing.capture.clean_plate import clean_plate, still_background
from editing.capture.labels import LABELS
from renderer.errors import BadInput
from tests.editing.capture.painted_person import DISTANCE_CM, FACING, FOCAL_SHARE, Painted, paint, wall

SIZE_PX = 256
N = 40


@pytest.fixture(scope="module")
def clip() -> list[Painted]:
    rng = np.random.default_rng(0)
    people = [paint(k / 5, 0.5 + 0.5 * np.sin(k), SIZE_PX) for k in range(N)]
    for person in people:
        noisy = person.picture + rng.normal(0.0, 2.0, person.picture.shape)
        person.picture[...] = np.clip(noisy, 0, 255).astype(np.uint8)
    return people


def pose_of(person: Painted) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = FACING, person.translation / 17.0
    return pose


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_parts_are_told_apart(clip: list[Painted]) -> None:
    focal_px = FOCAL_SHARE * SIZE_PX
    assert DISTANCE_CM > 40
    colours = grabcut.learn_colours([grabcut.View.of(p.picture, p.landmarks, pose_of(p), focal_px) for p in clip])
    for person in clip[::9]:
        found = grabcut.parse(person.picture, person.landmarks, pose_of(person), focal_px, colours)
        background = LABELS["background"]
        assert overlap(found != background, person.labels != background) > 0.95
        head_ids = [LABELS[name] for name in ("face", "hair", "eye", "lips", "teeth", "mouth", "brow")]
        assert overlap(np.isin(found, head_ids), np.isin(person.labels, head_ids)) > 0.93
        torso_ids = [LABELS["cloth"], LABELS["neck"]]
        assert overlap(np.isin(found, torso_ids), np.isin(person.labels, torso_ids)) > 0.9
        again = grabcut.parse(person.picture, person.landmarks, pose_of(person), focal_px, colours)
        np.testing.assert_array_equal(found, again)


def test_the_plate_shows_the_wall(clip: list[Painted]) -> None:
    frames = np.stack([p.picture for p in clip])
    person = np.stack([p.labels != LABELS["background"] for p in clip])
    plate = clean_plate(frames, person)
    error = np.abs(plate.picture.astype(int) - wall(SIZE_PX))[plate.known]
    assert plate.known.mean() > 0.3 and np.percentile(error, 99) < 8
    assert not plate.known[person.all(0)].any()
    # What was never seen is painted in without seams: nothing of the person's colours is in it.
    unknown = plate.picture[~plate.known].astype(int)
    assert unknown.min() > 60 and unknown.max() < 230


def test_a_person_who_hardly_moves_does_not_become_the_wall(clip: list[Painted]) -> None:
    frames = np.stack([p.picture for p in clip])
    never = np.stack([p.labels == LABELS["face"] for p in clip])
    still = still_background(frames, never)
    assert not (still & never).any()
    background = np.stack([p.labels == LABELS["background"] for p in clip])
    corner = (slice(None), slice(0, 40), slice(0, 30))
    assert still[corner].mean() > 0.95 and background[corner].all()


def test_unknown_parsers_are_refused() -> None:
    from editing.capture.parsing import make_parser

    nothing = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(BadInput, match="grabcut or segformer"):
        make_parser("magic", "", nothing, np.zeros((1, 478, 3)), np.eye(4)[None], 100.0, np.ones(1, bool))


def test_segformer_labels_follow_the_networks_names(tmp_path, clip: list[Painted]) -> None:  # type: ignore[no-untyped-def]
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from editing.capture.segformer import OURS, SegformerParser

    names = dict(enumerate(OURS))
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        num_labels=len(names), id2label=names, label2id={v: k for k, v in names.items()}, hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16,
    )  # fmt: skip
    network = transformers.SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():  # every pixel is hair
        network.decode_head.classifier.weight.zero_()
        network.decode_head.classifier.bias.copy_(torch.eye(len(names))[list(OURS).index("hair")])
    network.save_pretrained(tmp_path / "parser")
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "parser")
    person = clip[0]
    found = SegformerParser(str(tmp_path / "parser"))(person.picture, person.landmarks, pose_of(person))
    # Hair keeps its label inside the oval, too; eyes and lips come from the landmarks.
    assert set(np.unique(found)) <= {LABELS[name] for name in ("hair", "eye", "lips", "teeth", "mouth")}
    assert (found == LABELS["hair"]).mean() > 0.9 and (found == LABELS["lips"]).any()

    network.config.id2label = {k: f"thing {k}" for k in names}
    network.save_pretrained(tmp_path / "other")
    transformers.SegformerImageProcessor().save_pretrained(tmp_path / "other")
    with pytest.raises(BadInput, match="not those of face parsing"):
        SegformerParser(str(tmp_path / "other"))
    with pytest.raises(BadInput, match="--parser grabcut"):
        SegformerParser(str(tmp_path / "nowhere"))
