"""OpenFace is a program that is not here: a stand-in that speaks its files' language."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from editing.evaluate.action_units import MOUTH_UNITS, OpenFace, action_unit_error, blendshape_error, read_intensities
from renderer.errors import BadInput

STAND_IN = """#!{python}
import sys
from pathlib import Path
arguments = dict(zip(sys.argv[1::1], sys.argv[2::1]))
assert "-aus" in sys.argv
pictures = sorted(Path(arguments["-fdir"]).glob("*.png"))
out = Path(arguments["-out_dir"])
out.mkdir()
units = {units!r}
lines = ["frame, face_id, timestamp, confidence, success, AU01_r, " + ", ".join(units)]
for i, picture in enumerate(pictures, 1):
    seen = 0 if i == 2 else 1
    lines.append(f"{{i}}, 0, {{i / 25}}, 0.98, {{seen}}, 9.0, " + ", ".join(str(i + j / 10) for j in range(len(units))))
(out / (arguments["-of"] + ".csv")).write_text("\\n".join(lines))
"""


def program(folder: Path, text: str) -> Path:
    path = folder / "FeatureExtraction"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_openface_gets_the_pictures_as_a_sequence_and_its_csv_is_read(tmp_path: Path) -> None:
    judge = OpenFace(program(tmp_path, STAND_IN.format(python=sys.executable, units=MOUTH_UNITS)))
    found = judge.mouth_intensities(np.zeros((3, 16, 16, 3), np.uint8))
    assert found.shape == (3, len(MOUTH_UNITS))
    np.testing.assert_allclose(found[0], 1 + np.arange(len(MOUTH_UNITS)) / 10)
    assert np.isnan(found[1]).all(), "a frame without a face has values"


def test_openface_that_fails_is_one_line(tmp_path: Path) -> None:
    judge = OpenFace(program(tmp_path, "#!/bin/sh\necho noise >&2\necho no model found >&2\nexit 3\n"))
    with pytest.raises(BadInput, match="exit status 3: no model found"):
        judge.mouth_intensities(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(BadInput, match="not a program"):
        OpenFace(tmp_path / "missing")


def test_read_intensities_rejects_a_table_without_action_units(tmp_path: Path) -> None:
    path = tmp_path / "clip.csv"
    path.write_text("frame, success\n1, 1\n")
    with pytest.raises(BadInput, match="AU10_r"):
        read_intensities(path, 1)


def test_action_unit_error_is_over_frames_with_a_face_in_both() -> None:
    real, rendered = np.zeros((3, 9)), np.full((3, 9), 0.5)
    rendered[1] = np.nan
    rendered[2] = 1.5
    assert action_unit_error(real, rendered) == pytest.approx(1.0)
    assert action_unit_error(real, np.full((3, 9), np.nan)) is None


def test_blendshape_error_looks_at_the_mouth_only() -> None:
    assert blendshape_error(
        {"jawOpen": 0.5, "mouthClose": 0.1, "eyeBlinkLeft": 1.0}, {"jawOpen": 0.1, "mouthClose": 0.1, "eyeBlinkLeft": 0.0}
    ) == (pytest.approx(0.2))
