"""The refinement network by the native kernels; renderer/native/refiner.cpp."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BackendUnavailable
from renderer.native_library import RefinementStructure, RefinerStructure, load_library
from renderer.refiner.config import BLOCK_PX

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from renderer.refiner.config import Refiner
    from renderer.refiner.window import RefineWindow

ERROR_SIZE = 512


class NativeRefiner:
    """Refines windows of pictures in place, one at a time."""

    def __init__(self, refiner: Refiner, isa: str = "auto", threads: int = 1) -> None:
        """Raises BackendUnavailable without the native library or the instruction set."""
        self._library = load_library()
        arrays = {name: np.ascontiguousarray(refiner.tensors[name], np.float32) for name in refiner.config.shapes()}
        structure = RefinerStructure(features=refiner.config.features, growth=refiner.config.growth)
        for i in range(len(structure.weights)):
            structure.weights[i] = arrays[f"refiner.conv{i}.weight"].ctypes.data
            structure.biases[i] = arrays[f"refiner.conv{i}.bias"].ctypes.data
        error = ctypes.create_string_buffer(ERROR_SIZE)
        self._handle: int | None = self._library.visavis_refiner_create(ctypes.byref(structure), isa.encode(), threads, error, ERROR_SIZE)
        if not self._handle:
            raise BackendUnavailable(f"the native refiner cannot start: {error.value.decode(errors='replace')}")

    def refine(
        self,
        picture: Float[np.ndarray, "height width 3"],
        refine_weight: float,
        window: RefineWindow,
        rgb: UInt8[np.ndarray, "height width 3"] | None = None,
    ) -> float:
        """Equation 5 in the window, written to `picture` and, rounded, to `rgb`; returns the time in ms.

        At a weight of 0 nothing is touched. Raises ValueError for arrays that are not contiguous or a window that leaves the picture.
        """
        if self._handle is None:
            raise ValueError("the refiner is closed")
        height, width = picture.shape[:2]
        if picture.dtype != np.float32 or picture.shape != (height, width, 3) or not picture.flags.c_contiguous:
            raise ValueError(f"a picture of {picture.dtype} {picture.shape}; contiguous float32 [height, width, 3] was expected")
        if rgb is not None and (rgb.dtype != np.uint8 or rgb.shape != picture.shape or not rgb.flags.c_contiguous):
            raise ValueError(f"a picture of {rgb.dtype} {rgb.shape}; contiguous uint8 {list(picture.shape)} was expected")
        n_columns, n_rows = len(window.columns), len(window.rows)
        inside = 0 <= window.x <= width - n_columns and 0 <= window.y <= height - n_rows and n_columns > 0 and n_rows > 0
        if not inside or window.x % BLOCK_PX or window.y % BLOCK_PX:
            place = f"{n_columns} x {n_rows} pixels at {window.x}, {window.y}"
            raise ValueError(f"a window of {place}; one inside {width} x {height} that begins at even places was expected")
        if refine_weight == 0.0:
            return 0.0
        columns, rows = np.ascontiguousarray(window.columns, np.float32), np.ascontiguousarray(window.rows, np.float32)
        refinement = RefinementStructure(
            width=width, height=height, x=window.x, y=window.y, n_columns=n_columns, n_rows=n_rows,
            columns=columns.ctypes.data, rows=rows.ctypes.data, refine_weight=refine_weight,
        )  # fmt: skip
        took_ms = ctypes.c_double()
        failed = self._library.visavis_refiner_apply(
            self._handle,
            ctypes.byref(refinement),
            picture.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            None if rgb is None else rgb.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
            ctypes.byref(took_ms),
        )
        if failed:
            raise MemoryError(f"the native refiner ran out of memory at {n_columns} x {n_rows} pixels")
        return took_ms.value

    def close(self) -> None:
        """Free the handle; may be called twice."""
        if self._handle is not None:
            self._library.visavis_refiner_destroy(self._handle)
            self._handle = None

    def __del__(self) -> None:
        # Also runs when __init__ raised before the handle was made.
        if getattr(self, "_handle", None):
            self.close()
