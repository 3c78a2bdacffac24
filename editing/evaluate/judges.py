"""Models of others that judge pictures: each is loaded if its files are named, and says what it needs if they are not.

A file that is named and wrong is an error; one that is not named only leaves its metrics out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editing.lpips import open_lpips
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from editing.evaluate.action_units import OpenFace
    from editing.evaluate.arcface import ArcFace
    from editing.evaluate.clip_direction import Clip
    from editing.evaluate.syncnet import SyncNet
    from editing.landmarks import LandmarkDetector
    from editing.lpips import Lpips

SYNCNET_MODEL = "SYNCNET_MODEL"
OPENFACE = "OPENFACE_FEATURE_EXTRACTION"
CLIP_MODEL = "CLIP_MODEL"
ARCFACE_MODEL = "ARCFACE_MODEL"
"""Variables that name the files where no option does."""

NEEDS_SYNCNET = f"needs syncnet_v2.model (--syncnet or {SYNCNET_MODEL})"
NEEDS_OPENFACE = f"needs OpenFace's FeatureExtraction (--openface or {OPENFACE})"
NEEDS_CLIP = f"needs a CLIP model of transformers (--clip or {CLIP_MODEL})"
NEEDS_ARCFACE = f"needs ArcFace as an ONNX file (--arcface or {ARCFACE_MODEL})"


@dataclass(frozen=True)
class JudgeFiles:
    """Where the files are; None: the variable of that name is asked."""

    lpips_backbone: Path | None = None
    """AlexNet's or VGG-16's state dict"""
    lpips_linear: Path | None = None
    """alex.pth or vgg.pth"""
    syncnet: Path | None = None
    """syncnet_v2.model"""
    openface: Path | None = None
    """the executable FeatureExtraction"""
    clip: str | None = None
    """CLIP's folder or hub name"""
    arcface: Path | None = None
    """ArcFace's ONNX file"""


@dataclass(frozen=True)
class Judges:
    """Who is there to judge."""

    detector: LandmarkDetector | None = None
    """with blendshapes"""
    lpips: Lpips | None = None
    syncnet: SyncNet | None = None
    openface: OpenFace | None = None
    clip: Clip | None = None
    arcface: ArcFace | None = None
    no_detector: str = field(default="")
    """why there is no detector"""

    @staticmethod
    def open(files: JudgeFiles | None = None) -> Judges:
        """Load what is named; BadInput for files that are not what they should be."""
        files = files or JudgeFiles()
        syncnet, openface = _named(files.syncnet, SYNCNET_MODEL), _named(files.openface, OPENFACE)
        judges: dict[str, Any] = {"lpips": open_lpips(files.lpips_backbone, files.lpips_linear)}
        if syncnet is not None:
            from editing.evaluate.syncnet import SyncNet

            judges["syncnet"] = SyncNet(syncnet)
        if openface is not None:
            from editing.evaluate.action_units import OpenFace

            judges["openface"] = OpenFace(openface)
        clip, arcface = files.clip or os.environ.get(CLIP_MODEL), _named(files.arcface, ARCFACE_MODEL)
        if clip:
            from editing.evaluate.clip_direction import Clip

            judges["clip"] = Clip(clip)
        if arcface is not None:
            from editing.evaluate.arcface import ArcFace

            judges["arcface"] = ArcFace(arcface)
        try:
            from editing.landmarks import LandmarkDetector

            judges["detector"] = LandmarkDetector()
        except BadInput as error:
            judges["no_detector"] = str(error)
        return Judges(**judges)

    def close(self) -> None:
        if self.detector is not None:
            self.detector.close()


def _named(option: Path | None, variable: str) -> Path | None:
    return option if option is not None else Path(os.environ[variable]) if os.environ.get(variable) else None


def missing(metrics: Iterable[str], reason: str) -> dict[str, str | None]:
    """Each metric as null, with `<metric>_reason`."""
    found: dict[str, str | None] = {}
    for metric in metrics:
        found |= {metric: None, f"{metric}_reason": f"not available: {reason}"}
    return found
