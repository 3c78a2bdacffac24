from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from renderer.errors import BadInput
from server.media import TimedPicture
from server.sinks import publication as publication_module
from server.sinks.formats import ffmpeg_with_srt
from server.sinks.publication import (
    Publication,
    Publications,
    StreamPublication,
    UnknownPublication,
    check_address,
    shown_address,
)
from tests.server.listening import free_port, srt_receiver, stalled_rtmp_server
from tests.server.pretended_media import flashes_and_beeps

PATIENCE_S = 60.0


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtmp://live.example.org/app/secret-key", "rtmp://live.example.org/app/…"),
        ("rtmps://user:password@live.example.org:443/app/key?sign=1", "rtmps://live.example.org:443/app/…"),
        ("srt://192.0.2.7:9000?streamid=secret&passphrase=secret", "srt://192.0.2.7:9000/…"),
        ("srt://[2001:db8::1]:9000", "srt://[2001:db8::1]:9000"),
    ],
)
def test_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert shown_address(check_address(address)) == shown


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://a/b", "rtmp://, rtmps://, srt://"),
        ("file:///etc/passwd", "rtmp://"),
        ("rtmp://", "rtmp://host:port"),
        ("srt://host", "no port of its own"),
        ("rtmp://host:port/a", "rtmp://"),
        ("rtmp://host/a b", "rtmp://host:port"),
        ("rtmp://host/" + "a" * 2000, "rtmp://host:port"),
    ],
)
def test_address_that_cannot_be_is_refused_in_one_line(address: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        check_address(address)
    assert words in str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) < 200


async def until(condition: Callable[[], bool], publication: Publication, pace: float = 1.0) -> None:
    """Feed it in real time, `pace` times as fast, meanwhile."""
    start_s = time.monotonic()
    for media in flashes_and_beeps(0, 100_000):
        if isinstance(media, TimedPicture):
            delay_s = start_s + media.presented_s / pace - time.monotonic()
            await asyncio.sleep(max(0.0, delay_s))
            assert time.monotonic() - start_s < PATIENCE_S, publication.info
            if condition():
                return
        publication.put(media)


async def test_publication_tries_again_with_growing_pauses_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication_module, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(publication_module, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(publication_module, "MAX_TRIES", 3)
    publication = StreamPublication(f"rtmp://127.0.0.1:{free_port()}/live/key", "s")
    ended: list[Publication] = []
    publication.start(ended.append)
    await until(lambda: bool(ended), publication)
    info = publication.info
    assert (info.state, info.tries) == ("failed", 3) and info.reason is not None and "refused" in info.reason
    await publication.aclose()
    assert ended == [publication]


async def test_publication_lets_a_stalled_connection_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sinks.encoder_process.STALL_S", 1.0)
    with stalled_rtmp_server() as stalled:
        publication = StreamPublication(f"rtmp://127.0.0.1:{stalled.port}/live/key", "s")
        publication.start(lambda _: None)
        await until(lambda: stalled.connections >= 2, publication, pace=3.0)
        assert publication.info.reason == "nothing was taken for 1 s"
        start_s = time.monotonic()
        await publication.aclose()
        assert time.monotonic() - start_s < 5
        assert publication.info.state == "ended"


async def test_publication_over_srt_arrives() -> None:
    assert ffmpeg_with_srt() is not None, "ffmpeg belongs to the tests' requirements"
    port = free_port(socket.SOCK_DGRAM)
    with srt_receiver(port) as received:
        publication = StreamPublication(f"srt://127.0.0.1:{port}", "s")
        publication.start(lambda _: None)
        await until(lambda: len(received.pictures_s) >= 30, publication)
        assert publication.info.state == "live"
        await publication.aclose()


def test_publications_are_known_by_id_and_address() -> None:
    publications = Publications()
    made = publications.make("rtmp://127.0.0.1/live/key", "s")
    assert publications.get(made.id) is made and publications.runs(made.url) and not publications.runs("rtmp://127.0.0.1/live/other")
    assert publications.infos()[0].url == "rtmp://127.0.0.1/live/…"
    with pytest.raises(UnknownPublication, match="'nobody'"):
        publications.get("nobody")
