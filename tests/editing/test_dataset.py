"""Writing and reading datasets; every broken folder gives one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from editing.dataset import (
    Dataset,
    DatasetMeta,
    HeadBox,
    Region,
    Track,
    write_audio,
    write_meta,
    write_preview,
    write_track,
    write_transcript,
)
from renderer.errors import BadInput
from renderer.types import Camera

N, SIZE = 3, 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "take"
    path.mkdir()
    region = Region((0.0, -0.5, 0.5), (0.5, 0.5, 0.5))
    write_meta(
        path,
        DatasetMeta(
            25, N, Camera(70.0, 70.0, 16.0, 16.0, SIZE, SIZE), {"kind": "synthetic", "name": "x"}, 1, ("en-us",),
            HeadBox((0.0, 0.0, 0.0), 1.0), region, region, {"background": 0}, ("nose", "chin"), "test",
        ),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    np.save(path / "frames.npy", rng.integers(0, 255, (N, SIZE, SIZE, 3), dtype=np.uint8))
    np.save(path / "labels.npy", np.zeros((N, SIZE, SIZE), np.uint8))
    np.save(path / "background.npy", np.zeros((SIZE, SIZE, 3), np.uint8))
    write_audio(path / "audio.wav", np.sin(np.arange(N * 640) / 10.0).astype(np.float32))
    floats, ints = np.zeros(N, np.float32), np.zeros(N, np.int16)
    poses = np.tile(np.eye(4, dtype=np.float32), (N, 1, 1))
    write_track(path, Track(poses, np.zeros((N, 2, 2), np.float32), floats, floats, ints, ints, floats))
    write_transcript(path, {"visemes": [], "emotions": [], "sentences": []})
    return path


def test_open_reads_what_was_written(folder: Path) -> None:
    dataset = Dataset.open(folder)
    assert dataset.meta.size == (SIZE, SIZE)
    assert dataset.meta.head_box.half_extent == 1.0
    assert isinstance(dataset.frames, np.memmap)
    assert not dataset.frames.flags.writeable
    assert dataset.track.articulation is None
    np.testing.assert_allclose(dataset.audio(), np.sin(np.arange(N * 640) / 10.0), atol=1e-4)


def test_write_track_keeps_articulation(folder: Path) -> None:
    track = Dataset.open(folder).track
    values = np.ones((N, 2), np.float32)
    write_track(folder, Track(**{**track.__dict__, "articulation": values, "articulation_names": ("jaw", "wide")}))
    track = Dataset.open(folder).track
    assert track.articulation_names == ("jaw", "wide")
    assert np.array_equal(track.articulation, values)


def test_write_preview_makes_a_video_with_sound(folder: Path) -> None:
    import av

    write_preview(folder / "preview.mp4", Dataset.open(folder).frames, folder / "audio.wav")
    with av.open(str(folder / "preview.mp4")) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264", "aac"]
        assert sum(1 for _ in file.decode(video=0)) == N


def test_open_rejects_a_missing_or_unfinished_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a dataset folder"):
        Dataset.open(tmp_path / "nothing")
    (tmp_path / "take.partial").mkdir()
    with pytest.raises(BadInput, match="unfinished"):
        Dataset.open(tmp_path / "take")


def test_open_rejects_another_format(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "format": 2}))
    with pytest.raises(BadInput, match="format is 2, this program reads 1"):
        Dataset.open(folder)


@pytest.mark.parametrize("key", ["camera", "head_box", "landmark_names", "labels"])
def test_open_rejects_missing_keys(folder: Path, key: str) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    del meta[key]
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(BadInput, match=key):
        Dataset.open(folder)


def test_open_rejects_wrong_kinds_and_broken_json(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "head_box": {"centre": [1, 2], "half_extent": 1}}))
    with pytest.raises(BadInput, match="wrong kind"):
        Dataset.open(folder)
    (folder / "meta.json").write_text("{")
    with pytest.raises(BadInput, match="not valid JSON"):
        Dataset.open(folder)


def test_open_rejects_wrong_arrays(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros((N, SIZE, SIZE + 1), np.uint8))
    with pytest.raises(BadInput, match=r"labels\.npy is uint8 .* wanted uint8"):
        Dataset.open(folder)
    (folder / "labels.npy").write_bytes(b"no array")
    with pytest.raises(BadInput, match="cannot be read as an array"):
        Dataset.open(folder)


def test_open_rejects_pickled_arrays(folder: Path) -> None:
    np.save(folder / "background.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match=r"background\.npy cannot be read"):
        Dataset.open(folder)


def test_open_rejects_a_wrong_track(folder: Path) -> None:
    track = Dataset.open(folder).track
    write_track(folder, Track(**{**track.__dict__, "viseme": np.zeros(N + 1, np.int16)}))
    with pytest.raises(BadInput, match="viseme is int16"):
        Dataset.open(folder)
    np.savez(folder / "track.npz", landmarks=np.zeros(1))
    with pytest.raises(BadInput, match="lacks the array 'camera_from_head'"):
        Dataset.open(folder)


def test_open_rejects_sound_of_another_length(folder: Path) -> None:
    write_audio(folder / "audio.wav", np.zeros(100, np.float32))
    with pytest.raises(BadInput, match=r"audio\.wav has"):
        Dataset.open(folder)
    (folder / "audio.wav").write_bytes(b"RIFF")
    with pytest.raises(BadInput, match="cannot be read as a WAV"):
        Dataset.open(folder)
