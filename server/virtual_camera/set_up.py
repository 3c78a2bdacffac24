"""Which virtual devices this system has: looked at before anything is opened, and in words that say what to do.

                camera                                              microphone
Linux           v4l2loopback (every program sees it) or PipeWire    PulseAudio's, or PipeWire's in its place
macOS           OBS's virtual camera                                an output such as BlackHole
Windows         OBS's or Unity Capture's                            an output such as VB-CABLE
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from renderer.errors import BadInput, VisavisError
from server.virtual_camera.device import DeviceUnavailable
from server.virtual_camera.pipewire import LIBRARY as PIPEWIRE_LIBRARY
from server.virtual_camera.pipewire import load_pipewire
from server.virtual_camera.pulse import SINK, SOURCE, default_source, load_pulse, pactl, sources
from server.virtual_camera.sound_output import find_device, load_sounddevice

if TYPE_CHECKING:
    from server.virtual_camera.messages import CameraKind, VoiceKind

CAMERAS = ("auto", "pipewire", "v4l2loopback", "obs", "unitycapture")
"""Beside "/dev/videoN"."""
OUTPUTS = ("BlackHole", "CABLE Input")
"""Names of what is looked for where there is no PulseAudio: BlackHole's, VB-CABLE's."""

_MANAGERS = {"debian": "sudo apt-get install", "fedora": "sudo dnf install", "arch": "sudo pacman -S", "suse": "sudo zypper install"}
_PACKAGES = {
    "pactl": {"debian": "pulseaudio-utils", "fedora": "pulseaudio-utils", "arch": "libpulse", "suse": "pulseaudio-utils"},
    "libpulse": {"debian": "libpulse0", "fedora": "pulseaudio-libs", "arch": "libpulse", "suse": "libpulse0"},
    "portaudio": {
        "debian": "libportaudio2 libasound2-plugins",
        "fedora": "portaudio alsa-plugins-pulseaudio",
        "arch": "portaudio alsa-plugins",
        "suse": "libportaudio2 alsa-plugins-pulse",
    },
    "pipewire": {
        "debian": "pipewire wireplumber pipewire-pulse",
        "fedora": "pipewire wireplumber pipewire-pulseaudio",
        "arch": "pipewire wireplumber pipewire-pulse",
        "suse": "pipewire wireplumber pipewire-pulseaudio",
    },
    "v4l2loopback": {
        "debian": "v4l2loopback-dkms",
        "fedora": "akmod-v4l2loopback",
        "arch": "v4l2loopback-dkms",
        "suse": "v4l2loopback-kmp-default",
    },
}
MODULE_OPTIONS = 'exclusive_caps=1 card_label="visavis"'
PIP_INSTALL = "pip install '.[camera]'"


@dataclass(frozen=True)
class CameraSetUp:
    """Devices that are there."""

    camera: CameraKind
    device: str | None
    """See `messages.CameraOptions`."""
    voice: VoiceKind
    voice_device: str
    """Name of an output device; "" where the sound server's own are made."""
    remarks: tuple[str, ...] = ()
    """What may keep some programs from seeing it."""


@dataclass(frozen=True)
class Missing:
    """Something that is to be added."""

    what: str
    how: str
    """The command, or the address of what to install."""

    def __str__(self) -> str:
        return f"{self.what} ({self.how})"


class NotSetUp(BadInput):
    """Something is missing; the text is one line and names the commands that add it."""

    def __init__(self, missing: list[Missing]) -> None:
        super().__init__("the virtual camera needs " + "; ".join(str(item) for item in missing))
        self.missing = missing


@dataclass(frozen=True)
class System:
    """What is looked at; a test puts another in its place."""

    name: str = field(default_factory=platform.system)
    """"Linux", "Darwin" or "Windows"."""
    release: str = field(default_factory=lambda: _release(Path("/etc/os-release")))
    """Contents of `/etc/os-release`."""
    folder: Path = Path("/")
    """Root of `/dev` and `/sys`."""
    has_program: Callable[[str], bool] = lambda name: shutil.which(name) is not None
    has_package: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None
    has_pipewire_library: Callable[[], bool] = lambda: _loads(load_pipewire)
    runs_pipewire: Callable[[], bool] = lambda: _pipewire_socket() is not None
    pulse: Callable[[], str | None] = lambda: _pulse_fault()
    """None where a sound server answers, otherwise why none does."""
    output: Callable[[str], bool] = lambda name: _has_output(name)
    """Whether there is a sound output of that name."""

    def install(self, what: str) -> str:
        """The command that installs it here."""
        words = self._family_words()
        family = next((name for name in _MANAGERS if name in words), None)
        if family is None and "rhel" in words:
            family = "fedora"
        if family is None:
            return "; ".join(f"{name}: {_MANAGERS[name]} {_PACKAGES[what][name]}" for name in _MANAGERS)
        return f"{_MANAGERS[family]} {_PACKAGES[what][family]}"

    def _family_words(self) -> list[str]:
        values = dict(line.split("=", 1) for line in self.release.splitlines() if "=" in line)
        words = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").lower().split()
        return ["suse" if "suse" in word else "debian" if word == "ubuntu" else word for word in words]


def look(wish: str, voice: str | None, system: System | None = None) -> CameraSetUp:
    """What there is for this wish: one of `CAMERAS`, or "/dev/videoN"; `voice` names an output device, None: the system's usual one.

    Raises NotSetUp where something is missing, BadInput for a wish that this system cannot have."""
    system = system or System()
    missing: list[Missing] = []
    remarks: list[str] = []
    if system.name == "Linux":
        camera, device = _linux_camera(wish, system, missing, remarks)
    else:
        camera, device = _other_camera(wish, system, missing)
    voice_kind, voice_device = _voice(voice, system, missing)
    if missing:
        raise NotSetUp(missing)
    return CameraSetUp(camera, device, voice_kind, voice_device, tuple(remarks))


def _linux_camera(wish: str, system: System, missing: list[Missing], remarks: list[str]) -> tuple[CameraKind, str | None]:
    if wish in ("obs", "unitycapture"):
        raise BadInput(f"virtual_camera {wish!r}: on Linux auto, pipewire, v4l2loopback and /dev/videoN are possible")
    devices = loopback_devices(system)
    wants_device = wish.startswith("/dev/")
    if wants_device and wish not in devices:
        known = ", ".join(devices) or "none"
        raise BadInput(f"virtual_camera {wish!r}: not a device of v4l2loopback; known: {known}")
    if wants_device or wish == "v4l2loopback" or (wish == "auto" and devices and system.has_package("pyvirtualcam")):
        if not devices:
            command = f"sudo modprobe v4l2loopback {MODULE_OPTIONS}"
            if not (system.folder / "sys/module/v4l2loopback").exists():
                command = f"{system.install('v4l2loopback')} && {command}"
            missing.append(Missing("a device of v4l2loopback", command))
        if not system.has_package("pyvirtualcam"):
            missing.append(Missing("the package pyvirtualcam", PIP_INSTALL))
        device = wish if wants_device else next(iter(devices), None)
        if device is not None:
            remarks += _loopback_remarks(device, devices, system)
        return "v4l2loopback", device
    if not system.has_pipewire_library() or not system.runs_pipewire():
        if system.has_pipewire_library():
            missing.append(Missing("a PipeWire that runs in this session", "systemctl --user enable --now pipewire wireplumber"))
        else:
            missing.append(Missing(f"PipeWire ({PIPEWIRE_LIBRARY})", system.install("pipewire")))
        if wish == "auto":
            other = f"{system.install('v4l2loopback')} && sudo modprobe v4l2loopback {MODULE_OPTIONS} && {PIP_INSTALL}"
            missing[-1] = Missing(missing[-1].what, f"{missing[-1].how}; or v4l2loopback in its place: {other}")
    else:
        remarks.append(
            "Zoom, and programs that only know /dev/video devices, do not see a PipeWire camera; for those: "
            f"{system.install('v4l2loopback')} && sudo modprobe v4l2loopback {MODULE_OPTIONS}"
        )
    return "pipewire", None


def loopback_devices(system: System) -> list[str]:
    """ "/dev/videoN" of v4l2loopback, in the order of their numbers."""
    found = []
    for entry in (system.folder / "sys/devices/virtual/video4linux").glob("video*"):
        device = system.folder / "dev" / entry.name
        if device.exists() and entry.name[5:].isdigit():
            found.append(int(entry.name[5:]))
    return [f"/dev/video{number}" for number in sorted(found)]


def _loopback_remarks(device: str, devices: list[str], system: System) -> list[str]:
    """`exclusive_caps` is one Y or N a device: without it a device that nobody feeds says that it can be written to, and browsers and Zoom
    leave it out of their lists."""
    try:
        values = (system.folder / "sys/module/v4l2loopback/parameters/exclusive_caps").read_text().strip().split(",")
    except OSError:
        return []
    place = devices.index(device)
    if place < len(values) and values[place].strip() == "Y":
        return []
    command = f"sudo modprobe -r v4l2loopback && sudo modprobe v4l2loopback {MODULE_OPTIONS}"
    return [f"{device} was made without exclusive_caps=1: browsers and Zoom may not list it; close what uses it and run: {command}"]


def _other_camera(wish: str, system: System, missing: list[Missing]) -> tuple[CameraKind, str | None]:
    possible = ("auto", "obs", "unitycapture") if system.name == "Windows" else ("auto", "obs")
    if wish not in possible:
        raise BadInput(f"virtual_camera {wish!r}: on {system.name} {', '.join(possible)} are possible")
    if not system.has_package("pyvirtualcam"):
        missing.append(Missing("the package pyvirtualcam", PIP_INSTALL))
    return ("unitycapture" if wish == "unitycapture" else "obs"), None


def _voice(voice: str | None, system: System, missing: list[Missing]) -> tuple[VoiceKind, str]:
    if system.name == "Linux" and voice is None:
        if not system.has_program("pactl"):
            missing.append(Missing("pactl, for the virtual microphone", system.install("pactl")))
        elif (fault := system.pulse()) is not None:
            how = system.install("libpulse") if fault.startswith("there is no lib") else "systemctl --user enable --now pipewire-pulse"
            missing.append(Missing(f"a sound server that answers – {fault} –", how))
        return "pulse", ""
    if not system.has_package("sounddevice"):
        missing.append(Missing("the package sounddevice", PIP_INSTALL))
        return "output", voice or ""
    names = [voice] if voice is not None else list(OUTPUTS)
    if (found := next((name for name in names if system.output(name)), None)) is not None:
        return "output", found
    if voice is not None:
        raise BadInput(f"camera_voice {voice!r}: there is no sound output of that name")
    how = "brew install --cask blackhole-2ch" if system.name == "Darwin" else "VB-CABLE, https://vb-audio.com/Cable/"
    missing.append(Missing("a sound output that is a microphone for other programs", how))
    return "output", ""


def check_microphone(name: str | None) -> str | None:
    """On Linux, that the virtual microphone does not hear itself. Returns the PulseAudio source to hear; None: as sounddevice finds it.

    `name`: what the user asked for. Raises BadInput."""
    if platform.system() != "Linux" or shutil.which("pactl") is None:
        return None
    try:
        known = sources()
        wanted = default_source() if name is None else name
    except DeviceUnavailable:
        return None
    ours = {SOURCE, f"{SINK}.monitor"}
    others = [source for source in known if source.name not in ours]
    listed = ", ".join(repr(source.name) for source in others if not source.is_monitor) or "none"
    found = next((source for source in known if wanted.casefold() in (source.name.casefold(), source.title.casefold())), None)
    if found is not None and found.name in ours:
        raise BadInput(f"microphone {found.name!r}: the virtual microphone cannot listen to itself; known others: {listed}")
    if name is None and (found is None or found.is_monitor):
        raise BadInput(f"microphone: this system has none that is its default (--microphone NAME); known: {listed}")
    return None if found is None else found.name


def _loads(load: Callable[[], object]) -> bool:
    try:
        load()
    except DeviceUnavailable:
        return False
    return True


def _pipewire_socket() -> Path | None:
    folder = os.environ.get("PIPEWIRE_RUNTIME_DIR") or os.environ.get("XDG_RUNTIME_DIR")
    if folder is None:
        return None
    path = Path(folder) / os.environ.get("PIPEWIRE_REMOTE", "pipewire-0")
    return path if path.exists() and stat.S_ISSOCK(path.stat().st_mode) else None


def _pulse_fault() -> str | None:
    try:
        load_pulse()
        pactl("info")
    except DeviceUnavailable as error:
        return str(error)
    return None


def _has_output(name: str) -> bool:
    try:
        find_device(load_sounddevice(), name, "output")
    except VisavisError:
        return False
    return True


def _release(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
