"""The native renderer's shared library: where it lies, its C interface, and what to say when it is missing.

An installed package has it at renderer/native/ in site-packages; a clone that is run from its own folder shadows that package, so the
installed distribution's file list is asked as well. The structures mirror renderer/native/field_abi.h field by field.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import sys
from ctypes import POINTER, c_char, c_char_p, c_double, c_float, c_int32, c_uint8, c_uint32, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import UInt8

DISTRIBUTION = "visavis"
LIBRARY = "visavis_field"
ABI_VERSION = 3
MAX_LEVELS = 16
INSTALL_HINT = "no native library: install a C++ compiler (Debian: apt-get install g++) and run `pip install .` again"


class GridStructure(ctypes.Structure):
    _fields_ = (
        ("n_dims", c_int32),
        ("n_levels", c_int32),
        ("scale", c_float * MAX_LEVELS),
        ("resolution", c_int32 * MAX_LEVELS),
        ("hashed", c_int32 * MAX_LEVELS),
        ("offset", c_uint32 * MAX_LEVELS),
        ("n_level_rows", c_uint32 * MAX_LEVELS),
        ("n_rows", c_uint32),
        ("rows", c_void_p),
    )


class RegionStructure(ctypes.Structure):
    _fields_ = (("centre", c_float * 3), ("radii", c_float * 3), ("softness", c_float))


MATRICES = (
    "ambient0", "ambient1", "ambient2", "density0", "density1", "density2", "colour0", "colour1",
    "deform0", "deform1", "deform2", "torso_colour0", "torso_colour1", "torso_colour2",
)  # fmt: skip


class FieldStructure(ctypes.Structure):
    _fields_ = (
        ("head_centre", c_float * 3),
        ("head_half_extent", c_float),
        ("step_size", c_float),
        ("transmittance_threshold", c_float),
        ("max_samples", c_int32),
        ("occupancy_resolution", c_int32),
        ("hidden", c_int32),
        ("torso_hidden", c_int32),
        ("torso_colour_hidden", c_int32),
        ("torso_octaves", c_int32),
        ("torso_max_deformation", c_float),
        ("audio_region", RegionStructure),
        ("eye_region", RegionStructure),
        ("spatial_grid", GridStructure),
        ("audio_grid", GridStructure),
        ("torso_grid", GridStructure),
        ("occupancy", c_void_p),
        ("torso_mask", c_void_p),
        *((name, c_void_p) for name in MATRICES),
    )


BIASES = ("ambient_bias", "density_bias", "eye_bias", "colour_bias", "deform_bias", "torso_colour_bias")


class FrameStructure(ctypes.Structure):
    _fields_ = (
        ("width", c_int32),
        ("height", c_int32),
        ("fx", c_float),
        ("fy", c_float),
        ("cx", c_float),
        ("cy", c_float),
        ("rotation", c_float * 9),
        ("translation", c_float * 3),
        ("window", c_float * 4),
        *((name, c_void_p) for name in BIASES),
        ("background", c_void_p),
    )


N_REFINER_CONVOLUTIONS = 7


class RefinerStructure(ctypes.Structure):
    _fields_ = (
        ("features", c_int32),
        ("growth", c_int32),
        ("weights", c_void_p * N_REFINER_CONVOLUTIONS),
        ("biases", c_void_p * N_REFINER_CONVOLUTIONS),
    )


class RefinementStructure(ctypes.Structure):
    _fields_ = (
        ("width", c_int32),
        ("height", c_int32),
        ("x", c_int32),
        ("y", c_int32),
        ("n_columns", c_int32),
        ("n_rows", c_int32),
        ("columns", c_void_p),
        ("rows", c_void_p),
        ("refine_weight", c_float),
    )


def library_name(stem: str) -> str:
    """File name of a shared library on this platform."""
    if sys.platform == "win32":
        return f"{stem}.dll"
    return f"lib{stem}.dylib" if sys.platform == "darwin" else f"lib{stem}.so"


def candidate_paths(name: str, folder: str = "renderer/native") -> Iterator[Path]:
    """Where a native library of this project may lie, nearest first."""
    yield Path(__file__).resolve().parent.parent / folder / name
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return
    for file in distribution.files or ():
        if file.as_posix() == f"{folder}/{name}":
            yield Path(str(distribution.locate_file(file)))


@functools.cache
def load_library() -> ctypes.CDLL:
    """The native renderer with its functions declared. Raises BackendUnavailable with what to install."""
    for path in candidate_paths(library_name(LIBRARY)):
        if not path.is_file():
            continue
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise BackendUnavailable(f"the native library {path} cannot be loaded ({error}); run `pip install .` again") from error
        return _declare(library, path)
    raise BackendUnavailable(INSTALL_HINT)


def _declare(library: ctypes.CDLL, path: Path) -> ctypes.CDLL:
    library.visavis_abi_version.restype = c_int32
    library.visavis_abi_version.argtypes = []
    found = library.visavis_abi_version()
    if found != ABI_VERSION:
        raise BackendUnavailable(
            f"the native library {path} has interface {found}, this version needs {ABI_VERSION}; run `pip install .` again"
        )
    declarations: dict[str, tuple[Any, list[Any]]] = {
        "visavis_cpu_isas": (c_char_p, []),
        "visavis_field_stages": (c_char_p, []),
        "visavis_field_create": (c_void_p, [POINTER(FieldStructure), c_char_p, c_int32, POINTER(c_char), c_int32]),
        "visavis_field_render": (c_int32, [c_void_p, POINTER(FrameStructure), POINTER(c_uint8), POINTER(c_float), POINTER(c_double)]),
        "visavis_field_destroy": (None, [c_void_p]),
        "visavis_refiner_create": (c_void_p, [POINTER(RefinerStructure), c_char_p, c_int32, POINTER(c_char), c_int32]),
        "visavis_refiner_apply": (
            c_int32,
            [c_void_p, POINTER(RefinementStructure), POINTER(c_float), POINTER(c_uint8), POINTER(c_double)],
        ),
        "visavis_refiner_destroy": (None, [c_void_p]),
        "visavis_rgb_to_i420": (None, [POINTER(c_uint8), c_int32, c_int32, POINTER(c_uint8), POINTER(c_uint8), POINTER(c_uint8)]),
    }
    for name, (result, arguments) in declarations.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def available_isas() -> tuple[str, ...]:
    """Instruction sets that the cpu backend can use here, best first. Raises BackendUnavailable without the library."""
    names: bytes = load_library().visavis_cpu_isas()
    return tuple(names.decode().split())


def rgb_to_i420(rgb: UInt8[np.ndarray, "height width 3"], out: UInt8[np.ndarray, " size"] | None = None) -> UInt8[np.ndarray, " size"]:
    """Planar Y, U, V of a picture with even sides (BT.601, limited range), into `out` when given (height * width * 3 / 2 bytes)."""
    height, width = rgb.shape[:2]
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or height % 2 or width % 2:
        raise ValueError(f"a picture of shape {rgb.shape} {rgb.dtype}; uint8 [even height, even width, 3] was expected")
    n_luma = height * width
    if out is None:
        out = np.empty(n_luma * 3 // 2, np.uint8)
    if out.shape != (n_luma * 3 // 2,) or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(f"an I420 buffer of shape {out.shape} {out.dtype}; contiguous uint8 [{n_luma * 3 // 2}] was expected")
    rgb = np.ascontiguousarray(rgb)
    planes = (out[:n_luma], out[n_luma : n_luma * 5 // 4], out[n_luma * 5 // 4 :])
    load_library().visavis_rgb_to_i420(_bytes(rgb), width, height, *(_bytes(plane) for plane in planes))
    return out


def _bytes(array: UInt8[np.ndarray, ...]) -> Any:
    return array.ctypes.data_as(POINTER(c_uint8))
