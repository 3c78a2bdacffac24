from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from server.frame_ring import SLOTS, FrameRing, RingLayout, i420_bytes

ROOT = Path(__file__).parents[2]
LAYOUT = RingLayout(regions=2, max_pixels=64 * 32)


@pytest.fixture
def ring() -> Iterator[FrameRing]:
    ring = FrameRing.create(LAYOUT)
    yield ring
    ring.close()


def write(ring: FrameRing, region: int, frame: int, value: int, width: int = 64, height: int = 32) -> None:
    ring.slot_for_writing(region, width, height, frame)[:] = value
    ring.publish(region, frame)


def test_ring_gives_back_what_was_published(ring: FrameRing) -> None:
    write(ring, 1, 5, 77)
    planes = ring.read(1, 5, 64, 32)
    assert planes is not None
    assert planes.shape == (i420_bytes(64, 32),)
    assert (planes == 77).all()
    assert ring.read(0, 5, 64, 32) is None, "regions are apart"


def test_ring_gives_nothing_of_an_unwritten_overwritten_or_unfinished_frame(ring: FrameRing) -> None:
    assert ring.read(0, 0, 64, 32) is None
    write(ring, 0, 3, 1)
    write(ring, 0, 3 + SLOTS, 2)
    assert ring.read(0, 3, 64, 32) is None
    ring.slot_for_writing(0, 64, 32, 3 + 2 * SLOTS)
    assert ring.read(0, 3 + SLOTS, 64, 32) is None
    assert ring.read(0, 3 + 2 * SLOTS, 64, 32) is None


def test_ring_copies_are_not_changed_by_later_frames(ring: FrameRing) -> None:
    write(ring, 0, 1, 10)
    planes = ring.read(0, 1, 64, 32)
    write(ring, 0, 1 + SLOTS, 20)
    assert planes is not None and (planes == 10).all()


def test_ring_clear_hides_a_former_sessions_frames(ring: FrameRing) -> None:
    write(ring, 0, 2, 9)
    write(ring, 1, 2, 9)
    ring.clear(0)
    assert ring.read(0, 2, 64, 32) is None
    assert ring.read(1, 2, 64, 32) is not None


@pytest.mark.parametrize(("width", "height"), [(63, 32), (64, 31), (128, 32)])
def test_ring_rejects_pictures_that_do_not_fit(ring: FrameRing, width: int, height: int) -> None:
    with pytest.raises(ValueError, match=f"{width}x{height}"):
        ring.slot_for_writing(0, width, height, 0)


def test_ring_rejects_places_outside(ring: FrameRing) -> None:
    with pytest.raises(IndexError):
        ring.read(2, 0, 64, 32)
    with pytest.raises(IndexError):
        ring.read(0, -1, 64, 32)


def test_ring_rejects_memory_that_is_too_small() -> None:
    small = FrameRing.create(RingLayout(1, 64))
    with pytest.raises(ValueError, match="expected"):
        FrameRing(os.dup(small.descriptor), LAYOUT)
    small.close()


def test_ring_is_shared_with_another_process(ring: FrameRing) -> None:
    program = (
        "import sys; from server.frame_ring import FrameRing, RingLayout\n"
        "ring = FrameRing(int(sys.argv[1]), RingLayout(2, 64 * 32))\n"
        "ring.slot_for_writing(1, 64, 32, 6)[:] = 123; ring.publish(1, 6)"
    )
    subprocess.run([sys.executable, "-c", program, str(ring.descriptor)], pass_fds=[ring.descriptor], cwd=ROOT, check=True, timeout=60)
    planes = ring.read(1, 6, 64, 32)
    assert planes is not None and (planes == 123).all()


def test_ring_has_no_name_in_the_file_system() -> None:
    before = set(Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else set()
    ring = FrameRing.create(LAYOUT)
    write(ring, 0, 0, 1)
    after = set(Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else set()
    ring.close()
    assert not any("visavis" in path.name for path in after - before)


def test_picture_planes_are_those_of_numpy() -> None:
    assert i420_bytes(64, 32) == np.zeros((32 * 3 // 2, 64)).size
