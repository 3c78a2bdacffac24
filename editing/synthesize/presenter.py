"""The procedural presenter: articulation in, picture and ground truth out. A ctypes face of editing/synthesize/native.

Conventions
-----------
articulation  float32 [n_parameters], in the order of `PARAMETERS`; `_l` is the image's right side (+x)
head frame    x to the image right, y up, z out of the face; the head is about two units tall
camera        OpenCV: x right, y down, z forward; pixel centres at +0.5
light         fixed to the head for the head and to the torso for neck and clothes: the head looks the same from the
              camera's place in the head frame, whatever its pose, so a radiance field can be trained by moving the camera
background    fixed in the picture
"""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.errors import BackendUnavailable, BadInput
from renderer.native_library import candidate_paths, library_name
from renderer.types import Camera

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

LABELS: dict[str, int] = {
    "background": 0,
    "cloth": 1,
    "neck": 2,
    "face": 3,
    "hair": 4,
    "eye": 5,
    "lips": 6,
    "teeth": 7,
    "mouth": 8,
    "brow": 9,
}

_EYE_POINTS = ("inner", "outer", "upper_lid", "lower_lid", "pupil")
_BROW_POINTS = ("inner", "middle", "outer")

LANDMARK_NAMES: tuple[str, ...] = (
    "mouth_corner_r",
    "mouth_corner_l",
    "upper_lip_inner",
    "lower_lip_inner",
    "upper_lip_outer",
    "lower_lip_outer",
    "upper_lip_outer_r",
    "lower_lip_outer_r",
    "upper_lip_outer_l",
    "lower_lip_outer_l",
    *(f"eye_{point}_{side}" for side in "rl" for point in _EYE_POINTS),
    "nose_tip",
    "chin",
    *(f"brow_{point}_{side}" for side in "rl" for point in _BROW_POINTS),
    "cheek_r",
    "cheek_l",
    "temple_r",
    "temple_l",
    "forehead",
    "nose_wing_r",
    "nose_wing_l",
    "jaw_r",
    "jaw_l",
    "nose_bridge",
)

# Regions in the head frame, measured by moving every parameter (tests/editing/test_presenter.py holds them).
HEAD_BOX_CENTRE, HEAD_BOX_HALF_EXTENT = (0.0, 0.14, -0.02), 1.26
AUDIO_REGION_CENTRE, AUDIO_REGION_RADII = (0.0, -0.56, 0.50), (0.66, 0.66, 0.66)
EYE_REGION_CENTRE, EYE_REGION_RADII = (0.0, 0.03, 0.66), (0.66, 0.26, 0.36)

MIN_SIZE_PX, MAX_SIZE_PX = 16, 4096
MAX_SUPERSAMPLE = 8
LIBRARY_DIR_VARIABLE = "VISAVIS_PRESENTER_DIR"
_NATIVE_FOLDER = "editing/synthesize/native"
_REQUIRED_CPU_FLAGS = {
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi2"},
    "v3": {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"},
    "baseline": set(),
}


@dataclass(frozen=True)
class Parameter:
    """One number of an articulation."""

    name: str
    """as in native/articulation.h"""
    default: float
    """value at rest"""
    low: float
    """smallest meaningful value"""
    high: float
    """largest meaningful value"""


@dataclass(frozen=True)
class Landmarks:
    """Points of the face at one articulation, in the order of LANDMARK_NAMES."""

    pixels: Float32[np.ndarray, "n_landmarks 2"]
    """x, y in the picture"""
    head: Float32[np.ndarray, "n_landmarks 3"]
    """the same points in the head frame"""


@dataclass(frozen=True)
class Measures:
    """Openings at one articulation."""

    lip_opening: float
    """gap between the inner lips over the mouth's width at rest"""
    eye_opening: float
    """mean height of both eyes' openings, head units"""


def cpu_variants() -> tuple[str, ...]:
    """Library variants that this CPU can run, best first."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ("baseline",)
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ("baseline",)
    flags = next((set(line.split(":", 1)[1].split()) for line in text.splitlines() if line.startswith("flags")), set())
    return tuple(variant for variant, needed in _REQUIRED_CPU_FLAGS.items() if needed <= flags)


def _library_path(isa: str) -> Path:
    wanted = cpu_variants() if isa == "auto" else (isa,)
    if isa != "auto" and isa not in cpu_variants():
        raise BackendUnavailable(f"presenter variant {isa!r} cannot run here; this CPU has: {', '.join(cpu_variants())}")
    chosen = os.environ.get(LIBRARY_DIR_VARIABLE)
    for variant in wanted:
        name = library_name(f"visavis_presenter_{variant}")
        for path in [Path(chosen) / name] if chosen else candidate_paths(name, _NATIVE_FOLDER):
            if path.is_file():
                return path
    raise BackendUnavailable(
        "the presenter's native library is not built; run pip install . or: cmake -S . -B build/native && "
        "cmake --build build/native && cmake --install build/native --prefix ."
    )


class Presenter:
    """The synthetic presenter. Holds no state between calls: a picture is a function of its articulation."""

    def __init__(self, isa: str = "auto") -> None:
        path = _library_path(isa)
        self.variant = path.stem.rsplit("_", 1)[-1]
        self._library: Any = ctypes.CDLL(str(path))
        self._library.visavis_presenter_parameters.restype = ctypes.c_char_p
        rows = self._library.visavis_presenter_parameters().decode("ascii").strip(";").split(";")
        fields = [row.split(",") for row in rows]
        self.parameters: tuple[Parameter, ...] = tuple(
            Parameter(name, *(float(value.rstrip("f")) for value in values)) for name, *values in fields
        )
        self.index: dict[str, int] = {parameter.name: i for i, parameter in enumerate(self.parameters)}
        self.rest: Float32[np.ndarray, " n_parameters"] = np.array([p.default for p in self.parameters], np.float32)

    def articulation(self, **values: float) -> Float32[np.ndarray, " n_parameters"]:
        """The resting face with the named parameters changed."""
        result = self.rest.copy()
        for name, value in values.items():
            if name not in self.index:
                raise BadInput(f"unknown presenter parameter {name!r}; known: {', '.join(self.index)}")
            result[self.index[name]] = value
        return result

    def render(
        self, articulation: Float32[np.ndarray, " n_parameters"], size_px: int, supersample: int = 2
    ) -> tuple[UInt8[np.ndarray, "size size 3"], UInt8[np.ndarray, "size size"]]:
        """The picture (sRGB) and its labels (ids as in LABELS), with supersample² rays a pixel."""
        _check_size(size_px)
        if not 1 <= supersample <= MAX_SUPERSAMPLE:
            raise BadInput(f"supersample {supersample} is outside 1...{MAX_SUPERSAMPLE}")
        rgb = np.empty((size_px, size_px, 3), np.uint8)
        labels = np.empty((size_px, size_px), np.uint8)
        self._library.visavis_presenter_render(self._values(articulation), size_px, size_px, supersample, _pointer(rgb), _pointer(labels))
        return rgb, labels

    def background(self, size_px: int) -> UInt8[np.ndarray, "size size 3"]:
        """The picture without the presenter."""
        _check_size(size_px)
        rgb = np.empty((size_px, size_px, 3), np.uint8)
        self._library.visavis_presenter_background(size_px, size_px, _pointer(rgb))
        return rgb

    def landmarks(self, articulation: Float32[np.ndarray, " n_parameters"], size_px: int) -> Landmarks:
        """Points of the face in the picture and in the head frame."""
        _check_size(size_px)
        rows = np.empty((len(LANDMARK_NAMES), 5), np.float32)
        count = self._library.visavis_presenter_landmarks(self._values(articulation), size_px, size_px, _pointer(rows))
        assert count == len(LANDMARK_NAMES)
        return Landmarks(rows[:, :2].copy(), rows[:, 2:].copy())

    def pose(self, articulation: Float32[np.ndarray, " n_parameters"], size_px: int) -> tuple[Float32[np.ndarray, "4 4"], Camera]:
        """camera_from_head and the camera."""
        _check_size(size_px)
        values = np.empty(20, np.float32)
        self._library.visavis_presenter_pose(self._values(articulation), size_px, size_px, _pointer(values))
        fx, fy, cx, cy = (float(value) for value in values[16:])
        return values[:16].reshape(4, 4).copy(), Camera(fx, fy, cx, cy, size_px, size_px)

    def measures(self, articulation: Float32[np.ndarray, " n_parameters"]) -> Measures:
        """Openings of mouth and eyes."""
        values = np.empty(3, np.float32)
        self._library.visavis_presenter_measures(self._values(articulation), _pointer(values))
        return Measures(float(values[0]), float(values[1] + values[2]) / 2.0)

    def _values(self, articulation: Float32[np.ndarray, " n_parameters"]) -> Any:
        if articulation.shape != (len(self.parameters),):
            raise BadInput(f"articulation has shape {articulation.shape}, wanted ({len(self.parameters)},)")
        values = np.ascontiguousarray(articulation, dtype=np.float32)
        return (ctypes.c_float * len(values)).from_buffer_copy(values.tobytes())


def _check_size(size_px: int) -> None:
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise BadInput(f"size {size_px} px is outside {MIN_SIZE_PX}...{MAX_SIZE_PX}")


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
