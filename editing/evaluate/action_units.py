"""Action-unit error (AUE): do the muscles around the mouth do the same in both clips?

Action units come from OpenFace (Baltrušaitis et al. 2018), a program of its own: its `FeatureExtraction` is run over the pictures as a
sequence and its CSV read; intensities are 0 (absent) … 5. RAD-NeRF names the metric and no formula; here it is the mean absolute difference
of the intensities of the units around the mouth, over the frames in which both clips show a face.

Where OpenFace is missing, the landmark model's blendshapes (0…1) give `blendshape_error`: the same idea by another measure, and so by
another name. The two cannot be compared.
"""

from __future__ import annotations

import csv
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BadInput
from renderer.images import encode_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jaxtyping import Float, UInt8

MOUTH_UNITS = ("AU10_r", "AU12_r", "AU14_r", "AU15_r", "AU17_r", "AU20_r", "AU23_r", "AU25_r", "AU26_r")
"""Upper lip raiser, lip corner puller, dimpler, lip corner depressor, chin raiser, lip stretcher, lip tightener, lips part, jaw drop."""
MOUTH_BLENDSHAPES = ("mouth", "jaw")
"""How the names of the blendshapes around the mouth begin."""


class OpenFace:
    """OpenFace's FeatureExtraction by the path of its executable."""

    def __init__(self, program: Path) -> None:
        if not program.is_file() or not os.access(program, os.X_OK):
            raise BadInput(f"{program}: not a program that can be run; OpenFace's FeatureExtraction was expected")
        self._program = program.resolve()

    def mouth_intensities(self, pictures: Iterable[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "n n_units"]:
        """Of consecutive pictures; NaN in frames where no face was found. BadInput where OpenFace fails."""
        with tempfile.TemporaryDirectory(prefix="visavis-openface-") as folder:
            sequence, out = Path(folder) / "clip", Path(folder) / "out"
            sequence.mkdir()
            n_frames = 0
            for n_frames, picture in enumerate(pictures, start=1):
                (sequence / f"{n_frames:06d}.png").write_bytes(encode_picture(picture, "png"))
            command = [str(self._program), "-fdir", str(sequence), "-aus", "-out_dir", str(out), "-of", "clip"]
            try:
                # OpenFace looks for its models beside its executable.
                done = subprocess.run(command, cwd=self._program.parent, capture_output=True, text=True, errors="replace", check=False)
            except OSError as error:
                raise BadInput(f"{self._program} cannot be run: {error.strerror or error}") from error
            table = out / "clip.csv"
            if done.returncode or not table.is_file():
                last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
                raise BadInput(f"{self._program} failed with exit status {done.returncode}: {last[0]}")
            return read_intensities(table, n_frames)


def read_intensities(path: Path, n_frames: int) -> Float[np.ndarray, "n n_units"]:
    """The units around the mouth from OpenFace's CSV; its frames count from 1 and its column names may begin with a blank."""
    values = np.full((n_frames, len(MOUTH_UNITS)), np.nan)
    with path.open(encoding="utf-8", newline="") as file:
        try:
            for row in csv.DictReader(file, skipinitialspace=True):
                frame = int(row["frame"]) - 1
                if float(row["success"]) > 0 and 0 <= frame < n_frames:
                    values[frame] = [float(row[unit]) for unit in MOUTH_UNITS]
        except (KeyError, ValueError, TypeError) as error:
            raise BadInput(f"{path.name} of OpenFace lacks or garbles a column: {error}") from error
    return values


def action_unit_error(real: Float[np.ndarray, "n n_units"], rendered: Float[np.ndarray, "n n_units"]) -> float | None:
    """Mean absolute difference of intensities; None where no frame has a face in both clips."""
    difference = np.abs(real - rendered)
    known = ~np.isnan(difference).any(1)
    return float(difference[known].mean()) if known.any() else None


def blendshape_error(real: Mapping[str, float], rendered: Mapping[str, float]) -> float:
    """Mean absolute difference of the blendshapes around the mouth."""
    return float(np.mean([abs(real[name] - rendered[name]) for name in real if name.startswith(MOUTH_BLENDSHAPES)]))
