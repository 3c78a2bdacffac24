"""WHIP and WHEP on the whole server, by aiortc and by FFmpeg's own WHIP publisher."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import httpx
import numpy as np
import pytest
from aiortc import RTCCertificate
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.server.peer import bursts, join
from tests.server.running_server import RunningServer, start_server
from tests.server.test_udp_ports import free_range
from tests.server.whip_client import SDP, WhipClient

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.conftest import Studio

TOKEN = "s3cret"
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@pytest.fixture(scope="module")
def server(studio: Studio) -> Iterator[RunningServer]:
    with start_server(studio.first, "--size", "64", "--max-sessions", "2", "--token", TOKEN, "--ice-ports", "42000-42200") as running:
        yield running


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    base = server.url.partition("?")[0]
    async with httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
        yield client
        await free(client)


@pytest.fixture
async def client(http: httpx.AsyncClient) -> AsyncIterator[Callable[[], WhipClient]]:
    made: list[WhipClient] = []

    def make() -> WhipClient:
        made.append(WhipClient(http))
        return made[-1]

    yield make
    for one in made:
        if one.response is not None:
            await http.delete(one.location)
        await one.aclose()


async def free(http: httpx.AsyncClient) -> None:
    """All places are free again."""
    deadline_s = time.monotonic() + 20
    while (await http.get("healthz")).json()["sessions"]:
        assert time.monotonic() < deadline_s, "a session stayed"
        await asyncio.sleep(0.1)


async def test_whip_sound_is_spoken_and_whep_shows_it(http: httpx.AsyncClient, client: Callable[[], WhipClient]) -> None:
    publisher, player, listener = client(), client(), client()
    response = await publisher.publish("whip?avatar=second", video=True)
    assert response.status_code == 201 and response.headers["content-type"] == "application/sdp"
    assert re.fullmatch(r"/whip/[\w-]{16}", response.headers["location"])
    assert "a=recvonly" in response.text and "a=sendonly" not in response.text
    ports = [int(line.split()[5]) for line in response.text.splitlines() if line.startswith("a=candidate:") and " host" in line]
    assert ports and all(42_000 <= port <= 42_200 for port in ports)
    await publisher.connected()

    response = await player.play()
    assert response.status_code == 201
    assert response.headers["x-visavis-session"] == publisher.response.headers["x-visavis-session"], "the one that speaks"
    await player.until(lambda: len(player.pictures) >= 50 and len(player.voice) >= 100, "2 s of media")
    stamps = np.array([stamp for _, stamp in player.pictures])
    assert (np.diff(stamps) % 3600 == 0).all(), "frames stand at multiples of 1/25 s"
    level = np.abs(np.concatenate(player.voice).astype(float)).reshape(-1, 960).max(1)
    assert level.max() > 6000 and (level < 300).any(), "the bursts, and the pauses between them"

    named = response.headers["x-visavis-session"]
    assert (await listener.play(f"whep?session={named}", kinds=("audio",))).status_code == 201
    await listener.until(lambda: len(listener.voice) >= 25, "sound alone")
    assert (await http.get("healthz")).json()["sessions"] == 1, "players take no place"

    assert (await http.delete(publisher.location)).status_code == 200
    await player.until(lambda: player.connection.connectionState == "closed", "the end, with what was shown")
    assert (await http.delete(publisher.location)).status_code == 404
    assert (await http.delete(player.location)).status_code == 404


async def test_whep_player_that_goes_leaves_the_session_alone(http: httpx.AsyncClient, client: Callable[[], WhipClient]) -> None:
    publisher, first, second = client(), client(), client()
    await publisher.publish()
    await publisher.connected()
    for player in (first, second):
        await player.play()
        await player.until(lambda player=player: len(player.pictures) >= 5, "pictures")  # type: ignore[misc]
    assert (await http.delete(first.location)).status_code == 200
    await first.until(lambda: first.connection.connectionState == "closed", "the end")
    seen = len(second.pictures)
    await second.until(lambda: len(second.pictures) >= seen + 25, "the other's pictures go on")
    await second.connection.close()
    await asyncio.sleep(0.5)
    assert (await http.get("healthz")).json()["sessions"] == 1


async def test_whip_session_ends_when_its_publisher_goes(http: httpx.AsyncClient, client: Callable[[], WhipClient]) -> None:
    publisher = client()
    await publisher.publish()
    await publisher.connected()
    assert (await http.get("healthz")).json()["sessions"] == 1
    await publisher.connection.close()
    await free(http)


async def test_whep_shows_a_session_of_the_page(http: httpx.AsyncClient, server: RunningServer, client: Callable[[], WhipClient]) -> None:
    async with join(f"{server.socket_url}?token={TOKEN}") as peer:
        await peer.wait_for("hello")
        answer = await peer.connect_media(bursts)
        player = client()
        response = await player.play(f"whep?session={answer['session']}")
        assert response.status_code == 201
        await player.until(lambda: len(player.pictures) >= 10, "pictures")


async def test_whip_takes_candidates_later(http: httpx.AsyncClient, client: Callable[[], WhipClient]) -> None:
    publisher = client()
    publisher.connection.addTransceiver("audio", direction="sendonly")
    await publisher.connection.setLocalDescription(await publisher.connection.createOffer())
    complete = publisher.connection.localDescription.sdp
    found = [line for line in complete.splitlines() if line.startswith("a=candidate:")]
    bare = "\r\n".join(line for line in complete.splitlines() if "candidate" not in line) + "\r\n"
    response = publisher.response = await http.post("whip", content=bare, headers=SDP)
    assert response.status_code == 201
    etag, location = response.headers["etag"], response.headers["location"]
    ufrag = next(line for line in complete.splitlines() if line.startswith("a=ice-ufrag:"))
    password = next(line for line in complete.splitlines() if line.startswith("a=ice-pwd:"))
    fragment = "\r\n".join([ufrag, password, "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *found, "a=end-of-candidates", ""])

    async def patch(content: str, **headers: str) -> int:
        return (await http.patch(location, content=content, headers={**FRAGMENT, **headers})).status_code

    assert await patch(fragment) == 428
    assert await patch(fragment, **{"If-Match": '"another"'}) == 412
    assert await patch(fragment, **{"If-Match": "*"}) == 422
    assert await patch(fragment.replace(ufrag, "a=ice-ufrag:new1"), **{"If-Match": etag}) == 422
    assert await patch("nonsense", **{"If-Match": etag}) == 400
    assert await patch(fragment, **{"If-Match": etag, "Content-Type": "application/sdp"}) == 415
    assert await patch(fragment, **{"If-Match": f'"other", {etag}'}) == 204
    assert (await http.patch("whip/nobody", content=fragment, headers={**FRAGMENT, "If-Match": etag})).status_code == 404


async def test_whip_answers_bad_offers_in_one_line(http: httpx.AsyncClient, client: Callable[[], WhipClient]) -> None:
    async def refusal(address: str, content: str | bytes, headers: dict[str, str] = SDP) -> tuple[int, str]:
        response = await http.post(address, content=content, headers=headers)
        words = response.json()["detail"]
        assert "\n" not in words
        return response.status_code, words

    assert await refusal("whip", "v=0", {"Content-Type": "text/plain"}) == (415, "Content-Type text/plain: application/sdp was expected")
    assert await refusal("whip", b"") == (400, "the body is empty")
    assert await refusal("whip", b"\xff\xfe") == (400, "the body is not UTF-8 text")
    assert (await refusal("whip", b"v=0\r\n" * 20_000))[0] == 413
    assert await refusal("whip", "v=0\r\n") == (400, "the offer has no media section")
    assert (await refusal("whip", "hello"))[0] == 400
    deaf = client()
    deaf.connection.addTransceiver("audio", direction="recvonly")
    assert "sends no sound" in (await deaf._offer("whip")).json()["detail"]
    assert (await client().publish("whip?avatar=nobody")).status_code == 400
    nobody_speaks = await client().play()
    assert nobody_speaks.status_code == 409 and int(nobody_speaks.headers["retry-after"]) > 0
    assert (await client().play("whep?session=nothing")).status_code == 409
    publisher, mute = client(), client()
    await publisher.publish()
    await publisher.connected()
    mute.connection.addTransceiver("video", direction="sendonly")
    refused = await mute._offer("whep")
    assert refused.status_code == 422 and "receives neither" in refused.json()["detail"]
    await client().publish()
    full = await client().publish()
    assert full.status_code == 503 and "2 places" in full.json()["detail"] and int(full.headers["retry-after"]) > 0


async def test_whip_is_for_those_with_the_token(server: RunningServer, http: httpx.AsyncClient, client: Callable[[], WhipClient]) -> None:
    base = server.url.partition("?")[0]
    async with httpx.AsyncClient(base_url=base) as stranger:
        for method, path in (("POST", "whip"), ("POST", "whep"), ("PATCH", "whip/x"), ("DELETE", "whep/x")):
            response = await stranger.request(method, path, content="v=0", headers=SDP)
            assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
        # What a browser asks before a page of another server may.
        asked = await stranger.options("whip", headers={"Origin": "https://example.org", "Access-Control-Request-Method": "POST"})
        assert asked.status_code == 200 and asked.headers["accept-post"] == "application/sdp"
        assert asked.headers["access-control-allow-origin"] == "*" and "Authorization" in asked.headers["access-control-allow-headers"]
        assert (await stranger.get("whip")).status_code == 204
        assert (await stranger.put("whip")).status_code == 405
    publisher = client()
    response = await publisher.publish(f"whip?token={TOKEN}")
    assert response.headers["location"].endswith(f"?token={TOKEN}"), "the address is complete for who cannot send headers"


async def test_server_without_a_free_port_says_so(studio: Studio) -> None:
    ports = free_range(1)
    with start_server(studio.first, "--size", "64", "--max-sessions", "2", "--ice-ports", str(ports)) as server:
        async with join(server.socket_url) as first, join(server.socket_url) as second, httpx.AsyncClient(base_url=server.url) as http:
            await first.wait_for("hello")
            await first.connect_media()
            await second.wait_for("hello")
            await second.offer()
            assert "free UDP port" in (await second.wait_for("error", code="no_candidates"))["message"]
            player = WhipClient(http)
            refused = await player.play()
            assert refused.status_code == 503 and "free UDP port" in refused.json()["detail"]
            await player.aclose()
            seen = len(first.pictures)
            await first.until(lambda: len(first.pictures) > seen + 10, "the first goes on")


FFMPEG_WHIP_S = 4


def test_whip_takes_ffmpegs_publisher(server: RunningServer, tmp_path: Path) -> None:
    """The muxer in PyAV's wheels; it sends H.264 too. Left alone, its GnuTLS makes a certificate that OpenSSL 4 refuses."""
    certificate, key = write_certificate(tmp_path)
    if "whip" not in av.formats_available:
        pytest.fail("this PyAV has no whip muxer")
    base = server.url.partition("?")[0]
    options = {"authorization": TOKEN, "handshake_timeout": "20000", "cert_file": str(certificate), "key_file": str(key)}
    with av.open(f"{base}whip", "w", format="whip", options=options) as output:
        video = output.add_stream("libx264", rate=25, options={"profile": "baseline", "tune": "zerolatency"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = output.add_stream("libopus", rate=48_000, layout="stereo")
        start_s = time.monotonic()
        heard = 0.0
        for packet in range(FFMPEG_WHIP_S * 50):
            time.sleep(max(0.0, start_s + packet / 50 - time.monotonic()))
            sound = av.AudioFrame.from_ndarray(np.repeat(bursts(packet), 2)[None], format="s16", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48_000, packet * 960, Fraction(1, 48_000)
            output.mux(audio.encode(sound))
            if packet % 2 == 0:
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), packet % 200, np.uint8), format="rgb24")
                picture.pts, picture.time_base = packet // 2, Fraction(1, 25)
                output.mux(video.encode(picture))
            if packet % 50 == 49:
                assert _health(base)["sessions"] == 1
                heard = max(heard, _metric(base, "frames_sent_total"))
        assert heard > 25, "it is shown"
    deadline_s = time.monotonic() + 20
    while _health(base)["sessions"]:
        assert time.monotonic() < deadline_s, "the session ends with its publisher's DELETE"
        time.sleep(0.1)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """An ECDSA certificate as browsers make them, and its key."""
    made = RTCCertificate.generateCertificate()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made._cert.public_bytes(Encoding.PEM))
    key.write_bytes(made._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key


def _health(base: str) -> dict[str, Any]:
    with urllib.request.urlopen(base + "healthz", timeout=10) as response:
        return dict(json.load(response))


def _metric(base: str, name: str) -> float:
    with urllib.request.urlopen(f"{base}metrics?token={TOKEN}", timeout=10) as response:
        return next(float(line.split()[1]) for line in response.read().decode().splitlines() if line.startswith(f"visavis_{name} "))
