from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.frame_ring import SLOTS, FrameRing, RingLayout
from server.pictures import PictureQueue
from server.worker_messages import FrameReady


@pytest.fixture
def ring() -> Iterator[FrameRing]:
    ring = FrameRing.create(RingLayout(1, 16 * 16))
    yield ring
    ring.close()


def render(ring: FrameRing, queue: PictureQueue, frame: int) -> None:
    ring.slot_for_writing(0, 16, 16, frame)[:] = frame
    ring.publish(0, frame)
    queue.add(FrameReady(1, frame, 16, 16, 5.0))


def test_pictures_are_shown_at_their_time(ring: FrameRing) -> None:
    queue = PictureQueue(ring, 0)
    assert queue.show(0) is None
    for frame in range(3):
        render(ring, queue, frame)
    shown = [queue.show(frame) for frame in range(3)]
    assert [picture.frame for picture in shown if picture] == [0, 1, 2]
    assert all(picture is not None and (picture.planes == picture.frame).all() for picture in shown)
    assert (queue.frames, queue.late, len(queue)) == (3, 0, 0)


def test_pictures_repeat_the_last_one_and_skip_ahead(ring: FrameRing) -> None:
    queue = PictureQueue(ring, 0)
    render(ring, queue, 0)
    seen = [queue.show(0), queue.show(1)]
    render(ring, queue, 1)
    render(ring, queue, 2)
    seen.append(queue.show(2))
    assert [picture.frame for picture in seen if picture] == [0, 0, 2]
    assert queue.late == 1
    assert queue.late_share == pytest.approx(1 / 3)


def test_pictures_show_a_late_one_rather_than_none(ring: FrameRing) -> None:
    queue = PictureQueue(ring, 0)
    render(ring, queue, 0)
    queue.show(0)
    render(ring, queue, 1)
    shown = queue.show(2)
    assert shown is not None and shown.frame == 1
    assert queue.late == 1


def test_pictures_made_anew_take_the_place_of_the_first_ones(ring: FrameRing) -> None:
    queue = PictureQueue(ring, 0)
    for frame in range(2):
        render(ring, queue, frame)
    ring.slot_for_writing(0, 16, 16, 1)[:] = 77
    ring.publish(0, 1)
    assert not queue.add(FrameReady(1, 1, 16, 16, 5.0))
    assert len(queue) == 2
    queue.show(0)
    shown = queue.show(1)
    assert shown is not None and shown.frame == 1 and (shown.planes == 77).all()
    assert queue.late == 0


def test_pictures_keep_the_last_one_when_the_ring_was_overwritten(ring: FrameRing) -> None:
    queue = PictureQueue(ring, 0)
    render(ring, queue, 0)
    queue.show(0)
    render(ring, queue, 1)
    ring.slot_for_writing(0, 16, 16, 1 + SLOTS)
    shown = queue.show(1)
    assert shown is not None and shown.frame == 0


def test_pictures_wait_in_a_bounded_queue(ring: FrameRing) -> None:
    queue = PictureQueue(ring, 0)
    for frame in range(50):
        render(ring, queue, frame)
    assert len(queue) == SLOTS
    assert queue.show(49) is not None
