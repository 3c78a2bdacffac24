from __future__ import annotations

import asyncio

import pytest

from server.media import Media, TimedPicture, VoicePacket
from server.sinks.fan_out import FanOut
from server.sinks.sink import MediaQueue, PictureSlot, VoiceQueue
from tests.server.pretended_media import flashes_and_beeps, packet, picture


class Consumer:
    """A sink with a task that takes what comes, or one that never gets past the first."""

    def __init__(self, blocks: bool = False, max_pictures: int = 10) -> None:
        self.queue = MediaQueue(max_pictures, 2 * max_pictures)
        self.seen: list[Media] = []
        self.is_closed = False
        self._blocks = blocks
        self._task = asyncio.create_task(self._consume())

    async def _consume(self) -> None:
        while True:
            media = await self.queue.get()
            assert media is not None
            self.seen.append(media)
            if self._blocks:
                await asyncio.Event().wait()

    def put(self, media: Media) -> None:
        self.queue.put(media)

    async def aclose(self) -> None:
        self.is_closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Broken:
    def __init__(self) -> None:
        self.calls = 0
        self.is_closed = False

    def put(self, media: Media) -> None:
        self.calls += 1
        raise OSError("no such device")

    async def aclose(self) -> None:
        self.is_closed = True
        raise RuntimeError("and it does not close either")


async def test_fan_out_gives_each_sink_everything_though_another_blocks_for_ever() -> None:
    fan_out, blocked, healthy = FanOut(), Consumer(blocks=True), Consumer()
    for sink in (blocked, healthy):
        fan_out.add(sink)
    media = list(flashes_and_beeps(0, 200))
    for item in media:
        fan_out.put(item)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert healthy.seen == media
    assert blocked.seen == media[:1]
    assert len(blocked.queue) == 30, "what waits for it is bounded"
    assert (blocked.queue.dropped_pictures, blocked.queue.dropped_packets) == (200 - 1 - 10, 400 - 20)
    assert (healthy.queue.dropped_pictures, healthy.queue.dropped_packets) == (0, 0)
    await fan_out.aclose()
    assert blocked.is_closed and healthy.is_closed


async def test_fan_out_leaves_out_a_sink_that_fails() -> None:
    fan_out, broken, healthy = FanOut(), Broken(), Consumer()
    fan_out.add(broken)
    fan_out.add(healthy)
    for frame in range(5):
        fan_out.put(picture(frame))
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert broken.calls == 1 and broken.is_closed and broken not in fan_out
    assert len(healthy.seen) == 5
    await fan_out.aclose()
    with pytest.raises(RuntimeError, match="ended"):
        fan_out.add(Broken())


async def test_media_queue_leaves_out_the_oldest_of_a_kind() -> None:
    queue = MediaQueue(max_pictures=2, max_packets=3)
    for number in range(4):
        queue.put(packet(number))
        queue.put(picture(number))
    seen = [await queue.get() for _ in range(5)]
    assert [item.frame for item in seen if isinstance(item, TimedPicture)] == [2, 3]
    assert [item.first_sample // 960 for item in seen if isinstance(item, VoicePacket)] == [1, 2, 3]
    assert (queue.dropped_pictures, queue.dropped_packets, len(queue)) == (2, 1, 0)
    last = picture(5)
    queue.put(last)
    queue.close()
    queue.put(picture(6))
    assert [await queue.get() for _ in range(2)] == [last, None]


async def test_picture_slot_keeps_the_newest_and_voice_queue_the_order() -> None:
    slot, voice = PictureSlot(), VoiceQueue(max_packets=3)
    for number in range(5):
        slot.put(picture(number))
        voice.put(packet(number))
    assert (await slot.get()).frame == 4
    assert [(await voice.get()).first_sample // 960 for _ in range(3)] == [2, 3, 4]
    waiting = asyncio.create_task(slot.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    slot.put(picture(9))
    assert (await waiting).frame == 9
