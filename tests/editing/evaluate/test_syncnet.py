"""SyncNet with random weights in a file as the public one is: names, shapes, the search for the shift, and how faces are cut out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from editing.evaluate.syncnet import EMBEDDING_DIM, FACE_PX, MIN_FRAMES, SyncNet, face_crop, face_places, sync_scores
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

# Index of each convolution in the public file; its batch normalisation is the next one.
SOUND = {0: (64, 1, 3, 3), 4: (192, 64, 3, 3), 8: (384, 192, 3, 3), 11: (256, 384, 3, 3), 14: (256, 256, 3, 3), 18: (512, 256, 5, 4)}
LIPS = {
    0: (96, 3, 5, 7, 7),
    4: (256, 96, 1, 5, 5),
    8: (256, 256, 1, 3, 3),
    11: (256, 256, 1, 3, 3),
    14: (256, 256, 1, 3, 3),
    18: (512, 256, 1, 6, 6),
}
LAYERS = {
    **{f"netcnnaud.{index}": shape for index, shape in SOUND.items()},
    **{f"netcnnlip.{index}": shape for index, shape in LIPS.items()},
    **{f"{name}.{index}": shape for name in ("netfcaud", "netfclip") for index, shape in ((0, (512, 512)), (3, (1024, 512)))},
}
NORMALISED = [name for name in LAYERS if not name.endswith(".3")]


def public_tensors(counters: bool = True) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in LAYERS.items():
        tensors[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2.0 / np.prod(shape[1:])) ** 0.5
        tensors[f"{name}.bias"] = torch.zeros(shape[0])
    for name in NORMALISED:
        stem, index = name.rsplit(".", 1)
        following, n = f"{stem}.{int(index) + 1}", LAYERS[name][0]
        tensors |= {f"{following}.{part}": torch.ones(n) for part in ("weight", "running_var")}
        tensors |= {f"{following}.{part}": torch.zeros(n) for part in ("bias", "running_mean")}
        if counters:
            tensors[f"{following}.num_batches_tracked"] = torch.tensor(7)
    return tensors


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SyncNet:
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    torch.save(public_tensors(), path)
    return SyncNet(path)


def test_syncnet_loads_a_file_of_an_older_torch(tmp_path: Path, network: SyncNet) -> None:
    path = tmp_path / "syncnet_v2.model"
    torch.save(public_tensors(counters=False), path, _use_new_zipfile_serialization=False)
    faces = np.random.default_rng(1).integers(0, 256, (6, FACE_PX, FACE_PX, 3), dtype=np.uint8)
    assert np.array_equal(SyncNet(path).embed_lips(faces), network.embed_lips(faces))


def test_syncnet_rejects_another_file(tmp_path: Path) -> None:
    path = tmp_path / "syncnet_v2.model"
    torch.save({name: tensor for name, tensor in public_tensors().items() if not name.startswith("netcnnlip")}, path)
    with pytest.raises(BadInput, match=r"lacks netcnnlip.* more; syncnet_v2\.model"):
        SyncNet(path)
    torch.save(public_tensors() | {"head.weight": torch.zeros(2)}, path)
    with pytest.raises(BadInput, match=r"unknown head\.weight"):
        SyncNet(path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(BadInput, match="no tensors by name"):
        SyncNet(path)


def test_syncnet_embeds_every_window_of_pictures_and_sound(network: SyncNet) -> None:
    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (8, FACE_PX, FACE_PX, 3), dtype=np.uint8)
    lips = network.embed_lips(faces)
    sound = network.embed_sound(random.normal(0, 0.1, 8 * 640))
    assert lips.shape == sound.shape == (3, EMBEDDING_DIM)
    again = network.embed_lips(faces[1:])
    torch.testing.assert_close(again, lips[1:], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(network.embed_lips(faces[..., ::-1]), lips, atol=1e-2), "the order of the colours makes no difference"
    assert network.embed_lips(faces[:4]).shape == network.embed_sound(np.zeros(3200)).shape == (0, EMBEDDING_DIM)


@pytest.mark.parametrize("offset", [-7, 0, 4])
def test_sync_scores_find_the_shift(offset: int) -> None:
    generator = torch.Generator().manual_seed(0)
    course = torch.randn(120, 16, generator=generator)
    sound, lips = course[10:110], course[10 - offset : 110 - offset]
    scores = sync_scores(lips, sound)
    assert scores.offset_frames == offset
    assert scores.confidence > 3.0 and scores.distance < 1.0


def test_sync_scores_are_the_least_and_the_median_of_the_mean_distances() -> None:
    generator = torch.Generator().manual_seed(0)
    lips, sound = torch.randn(40, 8, generator=generator).double(), torch.randn(40, 8, generator=generator).double()
    means = []
    for shift in range(-15, 16):
        rows = [sound[i + shift] if 0 <= i + shift < 40 else torch.zeros(8).double() for i in range(40)]
        means.append(float(torch.stack([(lips[i] - rows[i]).norm() for i in range(40)]).mean()))
    scores = sync_scores(lips, sound)
    assert scores.distance == pytest.approx(min(means), abs=1e-4)
    assert scores.confidence == pytest.approx(sorted(means)[15] - min(means), abs=1e-4)
    assert scores.offset_frames == 15 - means.index(min(means))


class BoxDetector:
    """Sees a face of 20 x 30 pixels whose place is coded in the picture's first pixel; 0: none."""

    def detect(self, picture: np.ndarray) -> np.ndarray | None:
        x = float(picture[0, 0, 0])
        return None if x == 0 else np.array([[x - 10, 5], [x + 10, 35]], np.float32)


def clip_of(places: list[int]) -> list[np.ndarray]:
    pictures = [np.zeros((64, 64, 3), np.uint8) for _ in places]
    for picture, x in zip(pictures, places, strict=True):
        picture[0, 0, 0] = x
    return pictures


def test_face_places_are_smooth_and_bridge_frames_without_a_face() -> None:
    places = face_places(clip_of([0, 30, 30, 30, 60, 30, 30, 30, 0, 30, 30, 30]), BoxDetector())  # type: ignore[arg-type]
    assert places is not None
    np.testing.assert_allclose(places, np.tile([30.0, 20.0, 15.0], (12, 1)))
    assert face_places(clip_of([0, 0]), BoxDetector()) is None  # type: ignore[arg-type]


def test_face_crop_has_the_face_at_its_place_and_grey_outside_of_the_picture() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[20:60, 30:70] = 250
    crop = face_crop(picture, np.array([50.0, 40.0, 20.0]))
    assert crop.shape == (FACE_PX, FACE_PX, 3)
    # The face's 40 pixels begin at the crop's top and have 8 on either side, 16 below.
    inside = crop[..., 0] > 125
    assert inside.any(1).sum() == pytest.approx(FACE_PX * 40 / 56, abs=3) and inside[2].any()
    assert inside.any(0).sum() == pytest.approx(FACE_PX * 40 / 56, abs=3)
    assert (face_crop(picture, np.array([0.0, 0.0, 20.0]))[:, :40] == 110).all()


def test_syncnet_scores_a_clip_and_says_none_without_a_face(network: SyncNet) -> None:
    clip = clip_of([32] * MIN_FRAMES)
    samples = np.random.default_rng(0).normal(0, 0.1, MIN_FRAMES * 640)
    scores = network.scores(lambda: iter(clip), samples, BoxDetector())  # type: ignore[arg-type]
    assert scores is not None and scores.distance > 0 and scores.confidence >= 0
    assert network.scores(lambda: clip_of([0] * 3), samples, BoxDetector()) is None  # type: ignore[arg-type]
