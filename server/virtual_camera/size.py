"""The raster of the virtual camera. Programs expect one that they know, and that stays as it is while avatars are swapped."""

from __future__ import annotations

import re
from dataclasses import dataclass

from renderer.errors import BadInput

MIN_SIDE_PX, MAX_SIDE_PX = 32, 3840


@dataclass(frozen=True)
class CameraSize:
    """Width and height, px. Both even, as I420 and the virtual devices need them."""

    width: int
    height: int

    def __post_init__(self) -> None:
        for side in (self.width, self.height):
            if not MIN_SIDE_PX <= side <= MAX_SIDE_PX or side % 2:
                raise BadInput(f"camera_size {self}: even numbers from {MIN_SIDE_PX} to {MAX_SIDE_PX} are possible, such as 1280x720")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> CameraSize:
        """From "1280x720". Raises BadInput."""
        match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text.strip())
        if match is None:
            raise BadInput(f"camera_size {text!r}: WIDTHxHEIGHT was expected, such as 1280x720, or auto")
        return cls(int(match[1]), int(match[2]))


USUAL = (CameraSize(640, 360), CameraSize(960, 540), CameraSize(1280, 720), CameraSize(1920, 1080))
"""16:9, which every program that makes calls knows."""


def automatic_size(height: int) -> CameraSize:
    """The smallest of the usual ones in which a picture of this height, px, loses nothing."""
    return next((size for size in USUAL if size.height >= height), USUAL[-1])
