"""`python -m tests.end_to_end.measure_turn SOUND.wav`: the live page through a TURN server, with no other way; one JSON object a run.

Three network namespaces: the server's, the browser's, and between them one where coturn runs, which forwards nothing. The page's HTTP and
WebSocket go through a tunnel (as they would through a proxy), the media only through the relay. Needs root, `ip` (iproute2), `turnserver`
(Debian: coturn) and Chromium; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from renderer.library import find_avatar
from tests.end_to_end.live_browser import existing_file, open_page, press_start
from tests.server.running_server import start_server

if TYPE_CHECKING:
    from playwright.sync_api import Page

SERVER, RELAY, VIEWER = (f"visavis-{name}-{os.getpid()}" for name in ("server", "relay", "viewer"))
SERVER_ADDRESS, RELAY_TO_SERVER = "10.99.1.2", "10.99.1.1"
VIEWER_ADDRESS, RELAY_TO_VIEWER = "10.99.2.2", "10.99.2.1"
TURN_PORT = 3478
SECRET = "a secret of both"
RELAY_URL = f"turn:{RELAY_TO_SERVER}:{TURN_PORT}?transport="
TROUBLES: dict[str, tuple[str, ...]] = {
    "none": (),
    "with another secret": ("--ice-servers", f"{RELAY_URL}tcp", "--turn-secret", "another"),
    "not there": ("--ice-servers", f"turn:{RELAY_TO_SERVER}:9?transport=tcp", "--turn-secret", SECRET),
}
"""What keeps a session from coming about, and the server's settings for it."""
NOTICE_TIMEOUT_MS = 60_000
COTURN_STARTS_S = 10.0
CHUNK = 1 << 16


def main(argv: list[str]) -> int:
    """Measure over UDP and over TCP to the relay; then what the page says where it is of no use."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sound", type=existing_file, help="WAV file that is the microphone")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run (default 30)")
    parser.add_argument("--size", type=int, default=128, help="picture size in pixels (default 128)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="keep pictures of the pages that could not connect")
    parser.add_argument("--transports", default="udp,tcp", help="to the relay (default udp,tcp)")
    options = parser.parse_args(argv)
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("turnserver"):
        parser.error("root, ip (iproute2) and turnserver (coturn) are needed")
    with networks(), coturn():
        for transport in options.transports.split(","):
            print(json.dumps({"relay": transport, **run(options, transport)}), flush=True)
        for trouble, ice in TROUBLES.items():
            print(json.dumps({"relay": trouble, **explain(options, ice)}), flush=True)
    return 0


def run(options: argparse.Namespace, transport: str) -> dict[str, Any]:
    """One session of the page."""
    with page_of_a_server(options, "--ice-servers", f"{RELAY_URL}{transport}", "--turn-secret", SECRET) as page:
        began_s = time.monotonic()
        press_start(page)
        first_s = time.monotonic() - began_s
        before, start_s = decoded(page), time.monotonic()
        page.wait_for_timeout(1000 * options.seconds)
        after, passed_s = decoded(page), time.monotonic() - start_s
    return {
        "first_picture_s": round(first_s, 2),
        "seconds": round(passed_s, 1),
        "pictures_a_second": round((after["frames"] - before["frames"]) / passed_s, 2),
        "round_trip_ms": after["round_trip_ms"],
        "way": after["way"],
    }


def explain(options: argparse.Namespace, ice: tuple[str, ...]) -> dict[str, Any]:
    """What the page says of a session that cannot come about."""
    with page_of_a_server(options, *ice) as page:
        page.get_by_role("button", name=re.compile("start", re.IGNORECASE)).first.click()
        notice = page.get_by_role("alert")
        notice.wait_for(timeout=NOTICE_TIMEOUT_MS)
        if options.pictures is not None:
            options.pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=options.pictures / f"{len(list(options.pictures.iterdir()))}.png")
        return {"notice": notice.inner_text().splitlines()[0]}


@contextlib.contextmanager
def page_of_a_server(options: argparse.Namespace, *ice: str) -> Iterator[Page]:
    """A server in its namespace, and its page in the viewer's."""
    with contextlib.ExitStack() as stack:
        with inside(SERVER):
            server = stack.enter_context(start_server(find_avatar("bundled"), "--size", str(options.size), *ice))
        stack.enter_context(tunnel(urlsplit(server.url).port or 0))
        stack.enter_context(inside(VIEWER))
        assert not reaches(SERVER_ADDRESS), "there is a direct way"
        yield stack.enter_context(open_page(server.url, options.sound))


def decoded(page: Any) -> dict[str, Any]:
    """Pictures so far, and the pair of addresses in use."""
    return dict(
        page.evaluate(
            """async () => {
                const report = [...(await visavis.session.peer.getStats()).values()];
                const video = report.find((part) => part.type === "inbound-rtp" && part.kind === "video");
                const transport = report.find((part) => part.type === "transport");
                const pair = report.find((part) => part.id === transport.selectedCandidatePairId);
                const side = (id) => report.find((part) => part.id === id);
                const [mine, other] = [side(pair.localCandidateId), side(pair.remoteCandidateId)];
                return {
                    frames: video.framesDecoded,
                    round_trip_ms: Math.round(1e4 * pair.currentRoundTripTime) / 10,
                    way: `${mine.candidateType} (${mine.relayProtocol ?? mine.protocol}) to ${other.candidateType}`,
                };
            }"""
        )
    )


# ---- the networks


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def networks() -> Iterator[None]:
    """Server and viewer each joined to the relay, and to nothing else."""
    names = (SERVER, RELAY, VIEWER)
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for name, address, relay_address in ((SERVER, SERVER_ADDRESS, RELAY_TO_SERVER), (VIEWER, VIEWER_ADDRESS, RELAY_TO_VIEWER)):
            end = "toserver" if name == SERVER else "toviewer"
            ip("-n", name, "link", "add", "torelay", "type", "veth", "peer", "name", end, "netns", RELAY)
            for where, link, own in ((name, "torelay", address), (RELAY, end, relay_address)):
                ip("-n", where, "address", "add", f"{own}/24", "dev", link)
                ip("-n", where, "link", "set", link, "up")
            # Towards the relay's other address; the relay hands nothing on.
            ip("-n", name, "route", "add", "default", "via", relay_address)
        with inside(RELAY):
            for setting in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
                path = Path("/proc/sys/net") / setting.replace(".", "/")
                if path.read_text().strip() != "0":
                    path.write_text("0")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread, and what it starts, in a network namespace."""
    with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", name).open() as there:
        enter(there.fileno())
        try:
            yield
        finally:
            enter(home.fileno())


def enter(namespace: int) -> None:
    """setns(2), which Python has from 3.12 on only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, 0):
        raise OSError(ctypes.get_errno(), "setns")


def reaches(address: str) -> bool:
    """Whether a packet to that machine finds anybody: a closed TCP port answers too."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        try:
            probe.connect((address, 9))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True


@contextlib.contextmanager
def coturn() -> Iterator[None]:
    """A TURN server that hands out time-limited places."""
    command = ["turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--log-file=stdout", "--simple-log", "--realm=visavis"]
    command += ["--use-auth-secret", f"--static-auth-secret={SECRET}", f"--listening-port={TURN_PORT}"]
    command += [f"--listening-ip={RELAY_TO_SERVER}", f"--listening-ip={RELAY_TO_VIEWER}", f"--relay-ip={RELAY_TO_SERVER}"]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        command += [f"--pidfile={folder}/pid", f"--userdb={folder}/db"]
        with inside(RELAY):
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline_s = time.monotonic() + COTURN_STARTS_S
            while not listens(RELAY, RELAY_TO_SERVER, TURN_PORT):
                assert process.poll() is None and time.monotonic() < deadline_s, (Path(folder) / "log").read_text()[-2000:]
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait()


def listens(namespace: str, address: str, port: int) -> bool:
    with inside(namespace), contextlib.suppress(OSError), socket.create_connection((address, port), 1.0):
        return True
    return False


@contextlib.contextmanager
def tunnel(port: int) -> Iterator[None]:
    """127.0.0.1:port of the viewer is 127.0.0.1:port of the server, for TCP."""
    with inside(VIEWER):
        listener = socket.create_server(("127.0.0.1", port))
    with listener:
        threading.Thread(target=accept_all, args=(listener, port), daemon=True).start()
        yield


def accept_all(listener: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = listener.accept()
            threading.Thread(target=join_sockets, args=(near, port), daemon=True).start()


def join_sockets(near: socket.socket, port: int) -> None:
    """In a thread of its own, which stays in the server's namespace."""
    with Path("/run/netns", SERVER).open() as there:
        enter(there.fileno())
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        back = threading.Thread(target=pump, args=(far, near), daemon=True)
        back.start()
        pump(near, far)
        back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
