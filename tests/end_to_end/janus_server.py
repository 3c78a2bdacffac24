"""Janus as the media server that a publication goes to: Debian's `janus`, with its video room and HTTP interface.

Janus itself speaks no WHIP: the few lines here hand a WHIP request's offer to its room, and its answer back. ICE, DTLS and RTP are Janus'
own. It forwards what it gets as plain RTP to this program, which counts it.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PLUGINS = Path("/usr/lib/x86_64-linux-gnu/janus")
ROOM = 4711
START_TIMEOUT_S = 20.0
RTP_HEADER = struct.Struct("!BBHII")


class Janus:
    """The room, and one publisher at a time."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.frames = {"video": 0, "audio": 0}
        """Pictures (RTP time stamps) and packets of sound that came out of Janus."""
        self.publishers = 0
        self._handle = ""
        self._session = ""
        self._sockets = {kind: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for kind in self.frames}
        for kind, receiver in self._sockets.items():
            receiver.bind(("127.0.0.1", 0))
            threading.Thread(target=self._count, args=(kind, receiver), daemon=True).start()

    def publish(self, offer: str) -> str:
        """The answer of the room."""
        self._session = f"{self.api}/{self._ask(self.api, janus='create')['data']['id']}"
        self._handle = f"{self._session}/{self._ask(self._session, janus='attach', plugin='janus.plugin.videoroom')['data']['id']}"
        self._tell({"request": "create", "room": ROOM, "publishers": 4, "videocodec": "vp8", "audiocodec": "opus"})
        wish = {"request": "joinandconfigure", "ptype": "publisher", "room": ROOM, "id": 1}
        self._ask(self._handle, janus="message", body=wish, jsep={"type": "offer", "sdp": offer})
        while True:
            with urllib.request.urlopen(f"{self._session}?maxev=1", timeout=40) as response:
                event = json.load(response)
            if "jsep" in event:
                break
        self.publishers += 1
        streams = event["plugindata"]["data"]["streams"]
        ports = {kind: receiver.getsockname()[1] for kind, receiver in self._sockets.items()}
        forwards = [{"mid": stream["mid"], "host": "127.0.0.1", "port": ports[stream["type"]]} for stream in streams]
        self._tell({"request": "rtp_forward", "room": ROOM, "publisher_id": 1, "host": "127.0.0.1", "streams": forwards})
        return str(event["jsep"]["sdp"])

    def end(self) -> None:
        self._tell({"request": "destroy", "room": ROOM})
        self._ask(self._session, janus="destroy")
        self.publishers -= 1

    def _tell(self, body: dict[str, Any]) -> None:
        answer = self._ask(self._handle, janus="message", body=body)
        assert "error" not in answer["plugindata"]["data"], answer

    def _ask(self, url: str, **message: Any) -> dict[str, Any]:
        body = json.dumps({**message, "transaction": "t"}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=20) as response:
            answer = dict(json.load(response))
        assert answer["janus"] != "error", answer
        return answer

    def _count(self, kind: str, receiver: socket.socket) -> None:
        last = None
        while True:
            _, _, _, stamp, _ = RTP_HEADER.unpack_from(receiver.recv(4096))
            self.frames[kind] += stamp != last
            last = stamp


@contextlib.contextmanager
def janus_by_whip() -> Iterator[tuple[Janus, str]]:
    """A Janus of its own, and the address where it takes WHIP."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        write_settings(folder, port)
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(["janus", "-F", str(folder), "-L", str(folder / "janus.log")], stdout=log, stderr=log)
            try:
                api = f"http://127.0.0.1:{port}/janus"
                wait_until_answers(f"{api}/info", process, folder / "log")
                janus = Janus(api)
                with http.server.ThreadingHTTPServer(("127.0.0.1", 0), whip_handler(janus)) as front:
                    threading.Thread(target=front.serve_forever, daemon=True).start()
                    yield janus, f"http://127.0.0.1:{front.server_port}/room"
                    front.shutdown()
            finally:
                process.terminate()
                process.wait()


def has_janus() -> bool:
    return shutil.which("janus") is not None


def write_settings(folder: Path, port: int) -> None:
    """Nothing but the video room and HTTP on this machine."""
    (folder / "janus.jcfg").write_text(
        f'general: {{ configs_folder = "{folder}" plugins_folder = "{PLUGINS}/plugins" transports_folder = "{PLUGINS}/transports" '
        f'events_folder = "{folder}" loggers_folder = "{folder}" interface = "127.0.0.1" }}\n'
        'plugins: { disable = "libjanus_lua.so,libjanus_duktape.so,libjanus_sip.so,libjanus_nosip.so,libjanus_recordplay.so,'
        'libjanus_textroom.so,libjanus_voicemail.so,libjanus_streaming.so,libjanus_audiobridge.so,libjanus_videocall.so" }\n'
        'transports: { disable = "libjanus_rabbitmq.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_websockets.so" }\n'
    )
    (folder / "janus.transport.http.jcfg").write_text(
        f'general: {{ json = "compact" base_path = "/janus" http = true port = {port} ip = "127.0.0.1" https = false }}\n'
        "admin: { admin_http = false }\n"
    )
    (folder / "janus.plugin.videoroom.jcfg").write_text("general: {}\n")


def wait_until_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        assert process.poll() is None and time.monotonic() < deadline_s, log.read_text()[-2000:]
        time.sleep(0.2)


def whip_handler(janus: Janus) -> type[http.server.BaseHTTPRequestHandler]:
    """WHIP's two requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer = janus.publish(offer).encode()
            self.send_response(201)
            for name, value in (("Content-Type", "application/sdp"), ("Location", "/session"), ("Content-Length", str(len(answer)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def do_DELETE(self) -> None:
            janus.end()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
