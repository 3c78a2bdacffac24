"""What the live server can be told: a YAML file and then flags, which win.

Every error is one line that names the value and what is possible; the command then exits with 2.
"""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from renderer.backends.base import MAX_SIZE_PX, MIN_SIZE_PX
from renderer.errors import BadInput
from server.ice import IceServers
from server.messages import MAX_TEXT
from server.sinks.publication import check_address
from server.text_to_speech import DEFAULT_COMMAND, check_command
from server.udp_ports import UdpPorts
from server.virtual_camera.set_up import CAMERAS
from server.virtual_camera.size import CameraSize

if TYPE_CHECKING:
    from collections.abc import Sequence

DEVICES = ("auto", "cpu", "cuda")
LOG_LEVELS = ("debug", "info", "warning", "error")
MIN_LATENCY_MS, MAX_LATENCY_MS = 100.0, 2000.0
MIN_CAMERA_DELAY_MS = 200.0
"""The least latency, and what the virtual devices add."""
MAX_SESSIONS = 64
MAX_RECORDING_MINUTES = 24 * 60.0
MAX_RECORDING_MB = 1e6


@dataclass(frozen=True)
class ServerSettings:
    """See `--help`, which is made of these lines."""

    host: str = "127.0.0.1"
    """address to listen on; off this machine a token is required"""
    port: int = 8000
    """TCP port of page, signalling and API; the media take free UDP ports"""
    avatar: str = "bundled"
    """avatar shown first: a file, or the name of one that is known"""
    avatars: Path | None = None
    """the shelf: folder of *.avatar files, old and new; default: visavis/avatars in your data"""
    encoder: str | None = None
    """audio encoder: "bundled", an .onnx file, a folder or a hub name; default: the avatar's own"""
    device: str = "auto"
    """what renders: auto, cpu or cuda"""
    backend: str = "auto"
    """how the CPU renders: auto, cpu (fused, native) or torch (slow)"""
    size: int | None = None
    """height of the picture in px, a multiple of 16; auto: what holds 25 frames a second"""
    threads: int | None = None
    """render threads; auto: half of the processor's cores, 2 (if there are) to 4"""
    max_sessions: int | None = None
    """people served at a time; auto: as many as the measured speed allows"""
    latency_ms: float | None = None
    """time from a sound's arrival to its picture, in ms; auto: look-ahead + measured render time + margin"""
    token: str | None = None
    """secret of the page's address; auto off this machine: made anew at each start, printed"""
    ice_servers: tuple[str, ...] = ()
    """STUN and TURN servers, for routers: stun:host:port, turn:host:port?transport=tcp; default none"""
    turn_username: str | None = None
    """name at the TURN servers"""
    turn_password: str | None = None
    """and the password; better in a file: the system's list of processes shows it here"""
    turn_secret: str | None = None
    """secret shared with them (coturn: static-auth-secret), in place of name and password"""
    ice_ports: UdpPorts | None = None
    """UDP ports for media, such as 50000-50100; auto: any free ones"""
    recordings: Path | None = None
    """folder for recordings; default: visavis/recordings among your data"""
    recording_minutes: float = 120.0
    """a recording ends after so many minutes"""
    recording_mb: float = 4000.0
    """or when its file has so many MB"""
    publish: tuple[str, ...] = ()
    """send the first session to a stream server, rtmp://host/app/key, srt://host:port or whip:https://TOKEN@host/path; default none"""
    virtual_camera: str | None = None
    """be a camera for calls: auto, pipewire, v4l2loopback, /dev/videoN, obs or unitycapture"""
    microphone: str | None = None
    """what that camera hears, by name or a part of it; default: the system's microphone"""
    camera_size: CameraSize | None = None
    """of that camera, even, such as 1280x720; auto: 16:9 around the picture"""
    camera_voice: str | None = None
    """sound output that is its microphone; default: Linux its own, else BlackHole or VB-CABLE"""
    camera_delay_ms: float | None = None
    """from a sound to its picture there; auto: latency + 100 or more"""
    follow_camera: str | None = None
    """the avatar there follows your own camera: auto, a device, or a video file in its place"""
    say: str | None = None
    """begin a session that says this text, without a browser"""
    speech_command: str = DEFAULT_COMMAND
    """text-to-speech program: reads text, or has {text} in it; writes sound, or has {file} in it"""
    log_level: str = "info"
    """debug, info, warning or error"""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise BadInput(f"port {self.port}: 1 to 65535 is possible (0: any free one)")
        if self.device not in DEVICES:
            raise BadInput(f"device {self.device!r}: one of {', '.join(DEVICES)} is possible")
        if self.device == "cuda":
            raise BadInput("device 'cuda': no CUDA backend is installed here; auto and cpu are possible")
        if self.size is not None and (not MIN_SIZE_PX <= self.size <= MAX_SIZE_PX or self.size % 16):
            raise BadInput(f"size {self.size}: a multiple of 16 from {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels is possible, or auto")
        if self.threads is not None and not 1 <= self.threads <= 64:
            raise BadInput(f"threads {self.threads}: 1 to 64 are possible, or auto")
        if self.max_sessions is not None and not 1 <= self.max_sessions <= MAX_SESSIONS:
            raise BadInput(f"max_sessions {self.max_sessions}: 1 to {MAX_SESSIONS} are possible, or auto")
        if self.latency_ms is not None and not MIN_LATENCY_MS <= self.latency_ms <= MAX_LATENCY_MS:
            raise BadInput(f"latency_ms {self.latency_ms:g}: {MIN_LATENCY_MS:g} to {MAX_LATENCY_MS:g} is possible, or auto")
        if self.log_level not in LOG_LEVELS:
            raise BadInput(f"log_level {self.log_level!r}: one of {', '.join(LOG_LEVELS)} is possible")
        if self.avatars is not None and not self.avatars.is_dir():
            raise BadInput(f"avatars {str(self.avatars)!r}: not a folder")
        if self.token is not None and not self.token:
            raise BadInput("token '': an empty token protects nothing; leave it out, or give one")
        _ = self.ice  # raises BadInput
        if not 0 < self.recording_minutes <= MAX_RECORDING_MINUTES:
            raise BadInput(f"recording_minutes {self.recording_minutes:g}: more than 0 and at most {MAX_RECORDING_MINUTES:g} is possible")
        if not 1 <= self.recording_mb <= MAX_RECORDING_MB:
            raise BadInput(f"recording_mb {self.recording_mb:g}: 1 to {MAX_RECORDING_MB:g} is possible")
        if self.recordings is not None and self.recordings.exists() and not self.recordings.is_dir():
            raise BadInput(f"recordings {str(self.recordings)!r}: not a folder")
        if self.virtual_camera is not None and self.virtual_camera not in CAMERAS and not self.virtual_camera.startswith("/dev/"):
            raise BadInput(f"virtual_camera {self.virtual_camera!r}: one of {', '.join(CAMERAS)} or /dev/videoN is possible")
        if self.follow_camera is not None and self.virtual_camera is None:
            raise BadInput("follow_camera: only together with virtual_camera; a page follows its own camera")
        if self.camera_delay_ms is not None and not MIN_CAMERA_DELAY_MS <= self.camera_delay_ms <= MAX_LATENCY_MS:
            raise BadInput(f"camera_delay_ms {self.camera_delay_ms:g}: {MIN_CAMERA_DELAY_MS:g} to {MAX_LATENCY_MS:g} is possible, or auto")
        if self.say is not None and not 0 < len(self.say.strip()) <= MAX_TEXT:
            raise BadInput(f"say: a text of 1 to {MAX_TEXT} characters is possible, not {len(self.say.strip())}")
        for address in self.publish:
            check_address(address)
        check_command(self.speech_command)

    @property
    def camera_delay_s(self) -> float | None:
        return None if self.camera_delay_ms is None else self.camera_delay_ms / 1000

    @property
    def ice(self) -> IceServers:
        return IceServers(self.ice_servers, self.turn_username, self.turn_password, self.turn_secret)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def shelf(self) -> Path:
        """Where avatars are looked for and new styles are put; need not exist yet."""
        return self.avatars.absolute() if self.avatars is not None else _data_folder() / "avatars"

    @property
    def recordings_folder(self) -> Path:
        """Where recordings are put; need not exist yet."""
        return self.recordings.absolute() if self.recordings is not None else _data_folder() / "recordings"

    @property
    def edit_threads(self) -> int:
        """Of an edit: the cores that the live picture leaves, but at least one."""
        return max(1, (os.cpu_count() or 1) - self.render_threads)

    @property
    def render_threads(self) -> int:
        if self.threads is not None:
            return self.threads
        cores = os.cpu_count() or 1
        return min(4, cores, max(2, cores // 2))


def _data_folder() -> Path:
    """The user's own, of this program."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "visavis"


_AUTO = ("size", "threads", "max_sessions", "latency_ms", "token", "ice_ports", "camera_size", "camera_delay_ms")
"""Fields where the word auto stands for None."""


@dataclass(frozen=True)
class _Flag:
    metavar: str
    parse: Any
    alone: str | None = None
    """What the flag means where no value follows it."""


_FLAGS = {
    "host": _Flag("ADDRESS", str),
    "port": _Flag("N", int),
    "avatar": _Flag("FILE|NAME", str),
    "avatars": _Flag("DIR", Path),
    "encoder": _Flag("NAME", str),
    "device": _Flag("DEVICE", str),
    "backend": _Flag("NAME", str),
    "size": _Flag("PX", int),
    "threads": _Flag("N", int),
    "max_sessions": _Flag("N", int),
    "latency_ms": _Flag("MS", float),
    "token": _Flag("TEXT", str),
    "ice_servers": _Flag("URL,…", lambda text: tuple(part for part in text.split(",") if part)),
    "turn_username": _Flag("NAME", str),
    "turn_password": _Flag("TEXT", str),
    "turn_secret": _Flag("TEXT", str),
    "ice_ports": _Flag("A-B", UdpPorts.parse),
    "recordings": _Flag("DIR", Path),
    "recording_minutes": _Flag("MIN", float),
    "recording_mb": _Flag("MB", float),
    "publish": _Flag("URL,…", lambda text: tuple(part for part in text.split(",") if part)),
    "virtual_camera": _Flag("DEV", str, alone="auto"),
    "microphone": _Flag("NAME", str),
    "camera_size": _Flag("WxH", CameraSize.parse),
    "camera_voice": _Flag("NAME", str),
    "camera_delay_ms": _Flag("MS", float),
    "follow_camera": _Flag("DEV", str, alone="auto"),
    "say": _Flag("TEXT", str),
    "speech_command": _Flag("TEXT", str),
    "log_level": _Flag("LEVEL", str),
}


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see --help")


def read_settings(arguments: Sequence[str]) -> ServerSettings:
    """From the command line, and the YAML file it names. Raises BadInput."""
    given = {key: value for key, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    config = given.pop("config", None)
    values: dict[str, Any] = _read_yaml(Path(config)) if config is not None else {}
    for key, text in given.items():
        values[key] = _convert(key, text, f"--{key.replace('_', '-')}")
    return ServerSettings(**values)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="run_server.py",
        usage="%(prog)s [--SETTING VALUE …]",
        description="Speak into a browser's microphone, and an avatar speaks your words as live video.",
        epilog="To follow the user's camera: pip install '.[follow]'; FACE_LANDMARKER_TASK names MediaPipe's model.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=118),
        allow_abbrev=False,
    )
    documentation = _field_documentation()
    for item in dataclasses.fields(ServerSettings):
        default = "auto" if item.name in _AUTO else item.default
        shown = f" (default {default})" if default not in (None, ()) else ""
        words = documentation[item.name].replace("%", "%%")
        flag = _FLAGS[item.name]
        alone: dict[str, Any] = {} if flag.alone is None else {"nargs": "?", "const": flag.alone}
        parser.add_argument(f"--{item.name.replace('_', '-')}", dest=item.name, metavar=flag.metavar, help=words + shown, **alone)
    parser.add_argument("--config", metavar="FILE.yaml", help="settings by the names above with _ for -; flags win over it")
    return parser


def _field_documentation() -> dict[str, str]:
    """The string under each field of ServerSettings."""
    import ast
    import inspect

    body = ast.parse(inspect.getsource(ServerSettings)).body[0]
    assert isinstance(body, ast.ClassDef)
    documentation = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr) and isinstance(statement.target, ast.Name):
            documentation[statement.target.id] = str(ast.literal_eval(following.value))
    return documentation


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read --config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"--config {path}: not YAML ({' '.join(str(error).split())})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BadInput(f"--config {path}: names and values were expected, not {type(values).__name__}")
    for key in values:
        if key not in _FLAGS:
            raise BadInput(f"--config {path}: no setting {key!r}; known: {', '.join(_FLAGS)}")
    return {
        key: _convert(key, ",".join(map(str, value)) if isinstance(value, list) else str(value), f"--config {path}: {key}")
        for key, value in values.items()
        if value is not None
    }


def _convert(key: str, text: str, place: str) -> Any:
    if text == "auto" and key in _AUTO:
        return None
    try:
        return _FLAGS[key].parse(text)
    except ValueError:
        kind = "a number" if _FLAGS[key].parse in (int, float) else "a value"
        raise BadInput(f"{place} {text!r}: {kind}{' or auto' if key in _AUTO else ''} was expected") from None
