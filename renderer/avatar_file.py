"""Reading and writing `*.avatar`: one safetensors file whose metadata holds a JSON header. Never pickle.

Everything is checked against the header, and the header against this program, before any tensor is handed on; what fails gives one
BadAvatar that names the value. Weights are stored as float16 (grids) and float32 (networks), the occupancy grid as packed bits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer import __version__
from renderer.avatar import TORSO_MASK_RESOLUTION, Avatar, EncoderIdentity, Lineage
from renderer.errors import BadAvatar, BadInput
from renderer.field.config import FieldConfig
from renderer.field.parameters import parameter_shapes
from renderer.refiner.config import Refiner, RefinerConfig
from renderer.types import Camera

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import UInt8

FORMAT_VERSION = 1
HEADER_KEY = "visavis"
MAX_HEADER_BYTES = 4 << 20
MAX_FILE_BYTES = 2 << 30
_DTYPES = {"F16": np.float16, "F32": np.float32, "U8": np.uint8}


def save_avatar(avatar: Avatar, path: Path | str) -> str:
    """Write `avatar` to `path` through a temporary file; returns the file's SHA-256 in hex."""
    from safetensors.numpy import save

    path = Path(path)
    tensors: dict[str, np.ndarray] = {}
    for name in parameter_shapes(avatar.field_config):
        precision = np.float16 if name.endswith("grid") else np.float32
        tensors[name] = np.ascontiguousarray(avatar.tensors[name], dtype=precision)
    tensors["occupancy"] = np.packbits(avatar.occupancy, bitorder="little")
    tensors["torso_mask"] = np.packbits(avatar.torso_mask, bitorder="little")
    tensors["background"] = np.ascontiguousarray(avatar.background)
    tensors["pose_track"] = np.ascontiguousarray(avatar.pose_track, dtype=np.float32)
    tensors["eye_track"] = np.ascontiguousarray(avatar.eye_track, dtype=np.float32)
    if avatar.poster is not None:
        tensors["poster"] = np.ascontiguousarray(avatar.poster)
    if avatar.audio_track is not None:
        tensors["audio_track"] = np.ascontiguousarray(avatar.audio_track, dtype=np.float16)
    if avatar.refiner is not None:
        tensors |= {name: np.ascontiguousarray(array, np.float32) for name, array in avatar.refiner.tensors.items()}
    header = {
        "format": FORMAT_VERSION,
        "name": avatar.name,
        "field": avatar.field_config.to_json(),
        "encoder": dataclasses.asdict(avatar.encoder),
        "fps": avatar.fps,
        "camera": dataclasses.asdict(avatar.camera),
        "subject": avatar.subject,
        "lineage": dataclasses.asdict(avatar.lineage),
        "n_track": len(avatar.pose_track),
        "poster": avatar.poster is not None,
        "n_audio_steps": 0 if avatar.audio_track is None else len(avatar.audio_track),
    }
    if avatar.refiner is not None:
        header["refiner"] = avatar.refiner.config.to_json()
    data = save(tensors, metadata={HEADER_KEY: json.dumps(header, sort_keys=True)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest()


def load_avatar(path: Path | str) -> Avatar:
    """Read and check an avatar. Raises BadAvatar (or BadInput for a path that cannot be read)."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8 + min(MAX_HEADER_BYTES, max(0, size - 8)))
    except IsADirectoryError as error:
        raise BadInput(f"{path} is a folder; an .avatar file was expected") from error
    except OSError as error:
        raise BadInput(f"cannot read avatar {path}: {error.strerror}") from error
    try:
        layout, header = _read_headers(start, size)
        _check_version(header)
        return _load(path, layout, header)
    except BadInput as error:
        raise BadAvatar(f"{path}: {error}") from error
    except BadAvatar as error:
        raise BadAvatar(f"{path}: {error}") from error


def read_header(path: Path | str) -> dict[str, Any]:
    """Only the JSON header of an avatar (for listings): cheap, and checked as far as it goes."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(8 + MAX_HEADER_BYTES)
        _, header = _read_headers(start, path.stat().st_size)
        _check_version(header)
    except OSError as error:
        raise BadInput(f"cannot read avatar {path}: {error.strerror}") from error
    except BadAvatar as error:
        raise BadAvatar(f"{path}: {error}") from error
    return header


def read_poster(path: Path | str) -> UInt8[np.ndarray, "height width 3"] | None:
    """Only the still of an avatar; None where it has none."""
    from safetensors import SafetensorError, safe_open

    if not read_header(path).get("poster"):
        return None
    try:
        with safe_open(Path(path), framework="numpy") as file:
            poster = file.get_tensor("poster")
    except (SafetensorError, OSError) as error:
        raise BadAvatar(f"{path}: damaged or truncated ({error})") from error
    if poster.dtype != np.uint8 or poster.ndim != 3 or poster.shape[2] != 3:
        raise BadAvatar(f"{path}: the poster is {poster.dtype} {poster.shape}; uint8 [height, width, 3] was expected")
    return poster


def file_sha256(path: Path | str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_headers(start: bytes, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    if start[:2] == b"\x80\x04" or start[:2] == b"PK":
        raise BadAvatar("this is a pickle or zip checkpoint, which could run code when opened; a safetensors .avatar file was expected")
    if size < 16 or size > MAX_FILE_BYTES:
        raise BadAvatar(f"not an avatar file ({size} bytes)")
    (length,) = struct.unpack("<Q", start[:8])
    if not 2 <= length <= MAX_HEADER_BYTES or start[8:9] != b"{":
        raise BadAvatar("not an avatar file (no safetensors header)")
    if 8 + length > size:
        raise BadAvatar(f"truncated: the header needs {8 + length} bytes, the file has {size}")
    try:
        layout = json.loads(start[8 : 8 + length])
        header = json.loads(layout.pop("__metadata__", {}).get(HEADER_KEY, "null"))
    except (ValueError, AttributeError, TypeError) as error:
        raise BadAvatar("not an avatar file (its header is not JSON)") from error
    if not isinstance(header, dict):
        raise BadAvatar("a safetensors file, but not an avatar (no 'visavis' header)")
    return layout, header


def _check_version(header: Mapping[str, Any]) -> None:
    version = header.get("format")
    if not isinstance(version, int):
        raise BadAvatar(f"format {version!r} is not a number")
    if version > FORMAT_VERSION:
        raise BadAvatar(f"format {version} is newer than this program ({__version__}) reads, {FORMAT_VERSION}; update visavis")
    if version < 1:
        raise BadAvatar(f"format {version} was never in use; {FORMAT_VERSION} is current")


def _load(path: Path, layout: dict[str, Any], header: dict[str, Any]) -> Avatar:
    config, camera = FieldConfig.from_json(_object(header, "field")), _dataclass(Camera, header, "camera")
    n_track = header.get("n_track")
    if not isinstance(n_track, int) or not 1 <= n_track <= 1_000_000:
        raise BadAvatar(f"n_track {n_track!r}; a whole number of frames was expected")
    n_audio_steps = header.get("n_audio_steps", 0)
    if not isinstance(n_audio_steps, int) or not 0 <= n_audio_steps <= 2_000_000:
        raise BadAvatar(f"n_audio_steps {n_audio_steps!r}; a whole number of encoder steps was expected")
    if not 16 <= camera.width <= 4096 or not 16 <= camera.height <= 4096:
        raise BadAvatar(f"camera of {camera.width}x{camera.height}; 16...4096 pixels a side were expected")
    shapes = parameter_shapes(config)
    packed = config.occupancy_resolution**3 // 8
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        name: (shape, "F16" if name.endswith("grid") else "F32") for name, shape in shapes.items()
    }
    expected |= {
        "occupancy": ((packed,), "U8"),
        "torso_mask": ((TORSO_MASK_RESOLUTION**2 // 8,), "U8"),
        "background": ((camera.height, camera.width, 3), "U8"),
        "pose_track": ((n_track, 4, 4), "F32"),
        "eye_track": ((n_track,), "F32"),
    }
    if header.get("poster"):
        expected["poster"] = ((camera.height, camera.width, 3), "U8")
    if n_audio_steps:
        expected["audio_track"] = ((n_audio_steps, config.feature_dim), "F16")
    refiner_config = None if header.get("refiner") is None else RefinerConfig.from_json(_object(header, "refiner"))
    refiner_shapes = {} if refiner_config is None else refiner_config.shapes()
    expected |= {name: (shape, "F32") for name, shape in refiner_shapes.items()}
    _check_layout(layout, expected, path.stat().st_size)
    arrays = _read_tensors(path, layout)
    resolution = config.occupancy_resolution
    return Avatar(
        name=str(header.get("name", path.stem)),
        field_config=config,
        tensors={name: arrays[name].astype(np.float32) for name in shapes},
        occupancy=np.unpackbits(arrays["occupancy"], bitorder="little").astype(bool).reshape((resolution,) * 3),
        torso_mask=np.unpackbits(arrays["torso_mask"], bitorder="little").astype(bool).reshape((TORSO_MASK_RESOLUTION,) * 2),
        background=arrays["background"],
        camera=camera,
        fps=_fps(header),
        pose_track=arrays["pose_track"],
        eye_track=arrays["eye_track"],
        encoder=_dataclass(EncoderIdentity, header, "encoder"),
        subject=_object(header, "subject"),
        lineage=_dataclass(Lineage, header, "lineage"),
        poster=arrays.get("poster"),
        audio_track=arrays["audio_track"].astype(np.float32) if n_audio_steps else None,
        refiner=None if refiner_config is None else Refiner(refiner_config, {name: arrays[name] for name in refiner_shapes}),
    )


def _check_layout(layout: dict[str, Any], expected: dict[str, tuple[tuple[int, ...], str]], file_size: int) -> None:
    """Names, shapes, types and byte ranges of all tensors, before a byte of them is read."""
    unknown = sorted(set(layout) - set(expected))
    if unknown:
        raise BadAvatar(f"tensor {unknown[0]!r} does not belong in an avatar of this format")
    end = 0
    for name, (shape, dtype) in expected.items():
        entry = layout.get(name)
        if not isinstance(entry, dict):
            raise BadAvatar(f"tensor {name!r} is missing; {shape} was expected")
        if tuple(entry.get("shape", ())) != shape or entry.get("dtype") != dtype:
            raise BadAvatar(f"tensor {name!r} is {entry.get('dtype')} {entry.get('shape')}; {dtype} {list(shape)} was expected")
        first, last = entry["data_offsets"]
        if last - first != int(np.prod(shape)) * np.dtype(_DTYPES[dtype]).itemsize:
            raise BadAvatar(f"tensor {name!r} occupies {last - first} bytes, which is not its shape {list(shape)}")
        end = max(end, last)
    if file_size < end:
        raise BadAvatar(f"truncated: the tensors need {end} bytes, the file has {file_size}")


def _read_tensors(path: Path, layout: dict[str, Any]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in layout}
    except (SafetensorError, OSError) as error:
        raise BadAvatar(f"damaged or truncated ({error})") from error


def _object(header: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = header.get(key)
    if not isinstance(value, dict):
        raise BadAvatar(f"header field {key!r} is {value!r}; an object was expected")
    return value


def _dataclass(cls: Any, header: Mapping[str, Any], key: str) -> Any:
    try:
        return cls(**_object(header, key))
    except TypeError as error:
        raise BadAvatar(f"header field {key!r}: {error}") from error


def _fps(header: Mapping[str, Any]) -> int:
    fps = header.get("fps")
    if not isinstance(fps, int) or not 1 <= fps <= 120:
        raise BadAvatar(f"fps {fps!r}; a whole number 1...120 was expected")
    return fps
