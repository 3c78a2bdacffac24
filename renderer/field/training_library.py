"""libvisavis_training (sources in renderer/native/training): loading it, its structures, and the calls into it.

Tensors are passed as pointers to dense float32 memory on the CPU. This module needs torch; the live server never imports it.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any, cast

import torch

from renderer.errors import BackendUnavailable, BadInput
from renderer.native_library import INSTALL_HINT, candidate_paths, library_name

if TYPE_CHECKING:
    from torch import Tensor

    from renderer.field.config import GridConfig

LIBRARY = "visavis_training"
INSTRUCTION_SETS = ("v4_bf16", "v4", "v3", "base")
"""Best first: AVX-512 with bfloat16 products, AVX-512, AVX2, and what every processor of the platform has."""

_threads = 1


def set_threads(n: int) -> None:
    """How many threads the operators may use, in this process. No result depends on it."""
    global _threads
    if n < 1:
        raise BadInput(f"{n} threads: at least 1 is needed")
    _threads = n


def threads() -> int:
    return _threads


class GridLevelStruct(ctypes.Structure):
    _fields_ = (
        ("scale", ctypes.c_float),
        ("resolution", ctypes.c_uint32),
        ("hashed", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("n_rows", ctypes.c_uint32),
    )


class MarchBoxStruct(ctypes.Structure):
    _fields_ = (
        ("lower", ctypes.c_float * 3),
        ("upper", ctypes.c_float * 3),
        ("centre", ctypes.c_float * 3),
        ("inverse_edge", ctypes.c_float),
        ("step", ctypes.c_float),
        ("resolution", ctypes.c_int32),
        ("max_samples", ctypes.c_int32),
    )


class RegionStruct(ctypes.Structure):
    _fields_ = (("centre", ctypes.c_float * 3), ("radii", ctypes.c_float * 3), ("softness", ctypes.c_float))


class HeadConfigStruct(ctypes.Structure):
    _fields_ = (
        ("centre", ctypes.c_float * 3),
        ("inverse_edge", ctypes.c_float),
        ("audio_region", RegionStruct),
        ("eye_region", RegionStruct),
        ("spatial_levels", ctypes.POINTER(GridLevelStruct)),
        ("audio_levels", ctypes.POINTER(GridLevelStruct)),
        ("n_spatial", ctypes.c_int32),
        ("n_audio", ctypes.c_int32),
        ("hidden", ctypes.c_int32),
    )


HEAD_TENSORS = (
    "spatial_grid", "audio_grid", "ambient0", "ambient1", "ambient2", "density0", "density1", "density_out", "folded", "colour1",
    "ambient_bias", "density_bias", "eye_bias", "colour_bias",
)  # fmt: skip


class HeadTensorsStruct(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in HEAD_TENSORS)


class AdamStepStruct(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_float) for name in ("rate", "beta1", "beta2", "epsilon", "correction1", "correction2"))


_POINTER, _SIZE, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "encode": (_POINTER, _SIZE, _INT, _POINTER, _POINTER, _INT, _POINTER, _INT),
    "encode_backward": (_POINTER, _SIZE, _INT, _POINTER, _POINTER, _INT, _POINTER, _POINTER, _POINTER, _INT),
    "adam": (_POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _POINTER, _INT),
    "average": (_POINTER, _POINTER, _SIZE, _FLOAT, _INT),
    "march": (_POINTER, _POINTER, _POINTER, _SIZE, _POINTER, _POINTER, _POINTER, _POINTER, _INT),
    "pack": (_POINTER, _POINTER, _SIZE, _POINTER, _INT, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER, _INT),
    "composite": (_POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _FLOAT, _POINTER, _POINTER, _POINTER, _INT),
    "composite_backward": (*[_POINTER] * 5, _SIZE, _FLOAT, *[_POINTER] * 5, _INT),
    "distortion": (_POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _FLOAT, _POINTER, _INT),
    "distortion_backward": (_POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _FLOAT, _POINTER, _POINTER, _INT),
    "head_create": (_POINTER,),
    "head_destroy": (_POINTER,),
    "head_forward": (*[_POINTER] * 4, _INT, _INT, _INT, *[_POINTER] * 3, _INT),
    "head_backward": (*[_POINTER] * 10, _INT),
}


@functools.cache
def library() -> Any:
    """The training library with its functions declared. Raises BackendUnavailable with what to install."""
    for path in candidate_paths(library_name(LIBRARY)):
        if not path.is_file():
            continue
        try:
            loaded = ctypes.CDLL(str(path))
        except OSError as error:
            raise BackendUnavailable(f"the native library {path} cannot be loaded ({error}); run `pip install .` again") from error
        for function, argtypes in _SIGNATURES.items():
            entry = getattr(loaded, f"visavis_training_{function}")
            entry.argtypes, entry.restype = argtypes, None
        loaded.visavis_training_isa.restype = ctypes.c_char_p
        loaded.visavis_training_select_isa.argtypes = (ctypes.c_char_p,)
        loaded.visavis_training_head_create.restype = ctypes.c_void_p
        return loaded
    raise BackendUnavailable(INSTALL_HINT)


def call(function: str, *arguments: Any) -> Any:
    """Call visavis_training_<function>; a tensor stands for the address of its first element."""
    values = [a.data_ptr() if isinstance(a, torch.Tensor) else a for a in arguments]
    return getattr(library(), f"visavis_training_{function}")(*values)


def available() -> bool:
    """Whether the library can be loaded."""
    try:
        library()
    except BackendUnavailable:
        return False
    return True


def instruction_set() -> str:
    """Which of INSTRUCTION_SETS the kernels use: the best that the processor has, unless another was selected."""
    return cast("bytes", library().visavis_training_isa()).decode()


def select_instruction_set(name: str) -> None:
    """Use another set of kernels in this process. Raises BackendUnavailable if the processor or the build lacks it."""
    if library().visavis_training_select_isa(name.encode()):
        raise BackendUnavailable(f"instruction set {name!r} cannot run here; known: {', '.join(INSTRUCTION_SETS)}")


def available_instruction_sets() -> tuple[str, ...]:
    """Those of INSTRUCTION_SETS that can run here, best first."""
    current = instruction_set()
    found = tuple(name for name in INSTRUCTION_SETS if library().visavis_training_select_isa(name.encode()) == 0)
    select_instruction_set(current)
    return found


def floats(tensor: Tensor, name: str) -> Tensor:
    """`tensor` as dense float32. Raises BadInput for another type."""
    if tensor.dtype != torch.float32:
        raise BadInput(f"{name} is {tensor.dtype}: the native operators take float32")
    return tensor.contiguous()


@functools.cache
def grid_levels(grid: GridConfig) -> Any:
    """The levels as an array of GridLevelStruct."""
    rows = [GridLevelStruct(v.scale, v.resolution, v.hashed, v.offset, v.n_rows) for v in grid.levels()]
    return (GridLevelStruct * len(rows))(*rows)
