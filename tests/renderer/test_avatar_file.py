"""Every way in which an avatar file can be wrong is refused with one line that names it."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from renderer.avatar_file import FORMAT_VERSION, file_sha256, load_avatar, read_header, read_poster, save_avatar
from renderer.errors import BadAvatar, BadInput
from tests.renderer.refiner.random_refiner import refined_avatar
from tests.renderer.synthetic_avatar import synthetic_avatar


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatars") / "one.avatar"
    save_avatar(synthetic_avatar(small=True, size_px=64), path)
    return path


def rewrite(source: Path, target: Path, change_header=None, change_layout=None) -> Path:
    """A copy whose JSON headers were changed; the tensors' bytes stay."""
    data = source.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    layout = json.loads(data[8 : 8 + length])
    header = json.loads(layout["__metadata__"]["visavis"])
    if change_header:
        change_header(header)
    layout["__metadata__"]["visavis"] = json.dumps(header)
    if change_layout:
        change_layout(layout)
    text = json.dumps(layout).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return target


@pytest.mark.parametrize("emotional", [False, True])
def test_save_then_load_gives_the_same_avatar(tmp_path: Path, emotional: bool) -> None:
    avatar = synthetic_avatar(small=True, size_px=64, emotional=emotional)
    save_avatar(avatar, tmp_path / "a.avatar")
    again = load_avatar(tmp_path / "a.avatar")
    assert again.is_emotional == emotional
    assert again.field_config == avatar.field_config
    assert again.camera == avatar.camera
    assert again.encoder == avatar.encoder
    assert again.lineage == avatar.lineage
    np.testing.assert_array_equal(again.occupancy, avatar.occupancy)
    np.testing.assert_array_equal(again.torso_mask, avatar.torso_mask)
    np.testing.assert_array_equal(again.background, avatar.background)
    np.testing.assert_allclose(again.pose_track, avatar.pose_track, atol=1e-6)
    for name, tensor in avatar.tensors.items():
        tolerance = 1e-3 if name.endswith("grid") else 1e-7
        np.testing.assert_allclose(again.tensors[name], tensor, atol=tolerance, rtol=1e-3, err_msg=name)


def test_poster_is_read_without_the_rest(tmp_path: Path, saved: Path) -> None:
    poster = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    save_avatar(synthetic_avatar(small=True, size_px=64).replace(poster=poster), tmp_path / "p.avatar")
    np.testing.assert_array_equal(read_poster(tmp_path / "p.avatar"), poster)
    np.testing.assert_array_equal(load_avatar(tmp_path / "p.avatar").poster, poster)
    assert read_poster(saved) is None


def test_save_leaves_no_partial_file(saved: Path) -> None:
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_save_into_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot write"):
        save_avatar(synthetic_avatar(small=True, size_px=64), tmp_path / "nowhere" / "x.avatar")


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.avatar"
    assert save_avatar(synthetic_avatar(small=True, size_px=64), path) == file_sha256(path)


def test_read_header_names_the_subject(saved: Path) -> None:
    assert read_header(saved)["subject"] == {"kind": "synthetic"}


@pytest.mark.parametrize("keep", [0, 5, 100, 5000, -1])
def test_truncated_file_is_refused(saved: Path, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.avatar"
    path.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(BadAvatar, match=r"truncated|not an avatar"):
        load_avatar(path)


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.avatar"
    path.write_bytes(np.random.default_rng(0).bytes(10_000))
    with pytest.raises(BadAvatar, match="not an avatar"):
        load_avatar(path)


def test_foreign_safetensors_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "x.avatar")
    with pytest.raises(BadAvatar, match="not an avatar"):
        load_avatar(tmp_path / "x.avatar")


def test_pickle_is_refused_and_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / "x.avatar"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BadAvatar, match="pickle"):
        load_avatar(path)
    assert not (tmp_path / "exploded").exists()


def test_newer_format_is_refused(saved: Path, tmp_path: Path) -> None:
    path = rewrite(saved, tmp_path / "x.avatar", lambda h: h.update(format=FORMAT_VERSION + 1))
    with pytest.raises(BadAvatar, match="newer"):
        load_avatar(path)


def test_wrong_shape_is_refused(saved: Path, tmp_path: Path) -> None:
    path = rewrite(saved, tmp_path / "x.avatar", lambda h: h["field"].update(hidden=32))
    with pytest.raises(BadAvatar, match="was expected"):
        load_avatar(path)


def test_missing_tensor_is_refused(saved: Path, tmp_path: Path) -> None:
    path = rewrite(saved, tmp_path / "x.avatar", change_layout=lambda t: t.pop("head.density1.weight"))
    with pytest.raises(BadAvatar, match=r"head\.density1\.weight.*missing"):
        load_avatar(path)


def test_unknown_config_field_is_refused(saved: Path, tmp_path: Path) -> None:
    path = rewrite(saved, tmp_path / "x.avatar", lambda h: h["field"].update(colour_of_magic=8))
    with pytest.raises(BadAvatar, match="colour_of_magic"):
        load_avatar(path)


def test_file_of_a_program_without_emotion_is_read(saved: Path, tmp_path: Path) -> None:
    """Before there was emotion, the header did not name it."""
    old = load_avatar(rewrite(saved, tmp_path / "old.avatar", change_header=lambda header: header["field"].pop("emotion_dim")))
    assert not old.is_emotional


@pytest.mark.parametrize(("emotion_dim", "message"), [(8, "head.ambient0.emotion_condition"), (5, "emotion_dim 5"), ("8", "emotion_dim")])
def test_emotion_that_the_file_lacks_is_refused(saved: Path, tmp_path: Path, emotion_dim: object, message: str) -> None:
    def change(header: dict) -> None:
        header["field"]["emotion_dim"] = emotion_dim

    with pytest.raises(BadAvatar, match=message):
        load_avatar(rewrite(saved, tmp_path / "bad.avatar", change_header=change))


def test_absurd_sizes_are_refused_before_anything_is_allocated(saved: Path, tmp_path: Path) -> None:
    path = rewrite(saved, tmp_path / "x.avatar", lambda h: h.update(n_track=10**9))
    with pytest.raises(BadAvatar, match="n_track"):
        load_avatar(path)


def test_not_finite_weights_are_refused(tmp_path: Path) -> None:
    avatar = synthetic_avatar(small=True, size_px=64)
    path = tmp_path / "x.avatar"
    avatar.tensors["head.colour1.weight"][0, 0] = np.nan
    save_avatar(avatar, path)
    with pytest.raises(BadAvatar, match=r"head\.colour1\.weight"):
        load_avatar(path)


def test_missing_path_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        load_avatar(tmp_path / "none.avatar")
    with pytest.raises(BadInput, match="folder"):
        load_avatar(tmp_path)


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refined") / "one.avatar"
    save_avatar(refined_avatar(size_px=64), path)
    return path


def test_refiner_comes_back_as_it_was_saved(refined: Path, saved: Path) -> None:
    wanted, found = refined_avatar(size_px=64).refiner, load_avatar(refined).refiner
    assert wanted is not None and found is not None
    assert found.config == wanted.config
    assert found.tensors.keys() == wanted.tensors.keys()
    for name, tensor in wanted.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], tensor)
    assert "refiner" in read_header(refined) and "refiner" not in read_header(saved)
    assert load_avatar(saved).refiner is None
    assert refined.stat().st_size - saved.stat().st_size < 1 << 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["refiner"].update(features=48), r"refiner\.conv0.*was expected"),
        (lambda h: h["refiner"].update(features=33), "refiner features 33"),
        (lambda h: h["refiner"].update(features=1 << 20), "bytes"),
        (lambda h: h["refiner"].update(depth=2), "depth"),
        (lambda h: h.update(refiner=[32, 16]), "'refiner'"),
        (lambda h: h.pop("refiner"), "does not belong"),
    ],
)
def test_refiner_that_does_not_fit_is_refused(refined: Path, tmp_path: Path, change, message: str) -> None:
    with pytest.raises(BadAvatar, match=message):
        load_avatar(rewrite(refined, tmp_path / "x.avatar", change))


def test_refiner_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    avatar, path = refined_avatar(size_px=64), tmp_path / "x.avatar"
    assert avatar.refiner is not None
    avatar.refiner.tensors["refiner.conv2.bias"][0] = np.inf
    save_avatar(avatar, path)
    with pytest.raises(BadAvatar, match=r"refiner\.conv2\.bias"):
        load_avatar(path)
