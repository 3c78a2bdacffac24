"""What is said where something is missing, on systems that are not this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from renderer.errors import BadInput
from server.virtual_camera import set_up
from server.virtual_camera.device import DeviceUnavailable
from server.virtual_camera.pulse import PulseSource
from server.virtual_camera.set_up import CameraSetUp, NotSetUp, System, check_microphone, look, loopback_devices

UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'
FEDORA = "ID=fedora\n"
ARCH = "ID=manjaro\nID_LIKE=arch\n"
SUSE = 'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n'


def system(folder: Path = Path("/nowhere"), **changes: Any) -> System:
    """A Linux desktop with everything but v4l2loopback."""
    values: dict[str, Any] = {
        "name": "Linux",
        "release": UBUNTU,
        "folder": folder,
        "has_program": lambda name: True,
        "has_package": lambda name: True,
        "has_pipewire_library": lambda: True,
        "runs_pipewire": lambda: True,
        "pulse": lambda: None,
        "output": lambda name: False,
    }
    return System(**{**values, **changes})


def with_loopback(folder: Path, caps: str = "Y,N", numbers: tuple[int, ...] = (2,)) -> System:
    for number in numbers:
        (folder / f"sys/devices/virtual/video4linux/video{number}").mkdir(parents=True)
        (folder / "dev").mkdir(exist_ok=True)
        (folder / f"dev/video{number}").touch()
    parameters = folder / "sys/module/v4l2loopback/parameters"
    parameters.mkdir(parents=True)
    (parameters / "exclusive_caps").write_text(caps + "\n")
    return system(folder)


def test_look_takes_v4l2loopback_where_it_is_and_pipewire_otherwise(tmp_path: Path) -> None:
    assert look("auto", None, with_loopback(tmp_path)) == CameraSetUp("v4l2loopback", "/dev/video2", "pulse", "")
    assert look("pipewire", None, with_loopback(tmp_path / "again")).camera == "pipewire"
    found = look("auto", None, system())
    assert (found.camera, found.device) == ("pipewire", None)
    assert len(found.remarks) == 1 and "Zoom" in found.remarks[0]
    assert 'sudo apt-get install v4l2loopback-dkms && sudo modprobe v4l2loopback exclusive_caps=1 card_label="visavis"' in found.remarks[0]


def test_look_warns_of_a_device_without_exclusive_caps(tmp_path: Path) -> None:
    caps = with_loopback(tmp_path, "Y,N,N", (10, 4))
    assert loopback_devices(caps) == ["/dev/video4", "/dev/video10"]
    assert look("/dev/video4", None, caps).remarks == ()
    (remark,) = look("/dev/video10", None, caps).remarks
    assert remark.startswith("/dev/video10 was made without exclusive_caps=1") and "sudo modprobe -r v4l2loopback && " in remark
    with pytest.raises(BadInput, match=r"'/dev/video0': not a device of v4l2loopback; known: /dev/video4, /dev/video10"):
        look("/dev/video0", None, caps)


@pytest.mark.parametrize(
    ("release", "command"),
    [
        (UBUNTU, "sudo apt-get install pulseaudio-utils"),
        (FEDORA, "sudo dnf install pulseaudio-utils"),
        (ARCH, "sudo pacman -S libpulse"),
        (SUSE, "sudo zypper install pulseaudio-utils"),
        ("ID=rocky\nID_LIKE='rhel centos'\n".replace("'", '"'), "sudo dnf install pulseaudio-utils"),
        ("ID=nixos\n", "debian: sudo apt-get install pulseaudio-utils; fedora: "),
    ],
)
def test_look_names_the_command_of_this_system(release: str, command: str) -> None:
    with pytest.raises(NotSetUp, match=r"^the virtual camera needs pactl, for the virtual microphone") as refusal:
        look("auto", None, system(release=release, has_program=lambda name: name != "pactl"))
    assert command in str(refusal.value) and "\n" not in str(refusal.value)


def test_look_names_all_that_is_missing_at_once() -> None:
    bare = system(
        has_package=lambda name: False, runs_pipewire=lambda: False, pulse=lambda: "pactl info: Connection refused", release=FEDORA
    )
    with pytest.raises(NotSetUp) as refusal:
        look("auto", None, bare)
    words = str(refusal.value)
    assert len(refusal.value.missing) == 2
    assert "systemctl --user enable --now pipewire wireplumber" in words
    assert "or v4l2loopback in its place: sudo dnf install akmod-v4l2loopback && sudo modprobe v4l2loopback exclusive_caps=1" in words
    assert "Connection refused" in words and "systemctl --user enable --now pipewire-pulse" in words
    with pytest.raises(NotSetUp, match=r"v4l2loopback \(sudo dnf install .*; the package pyvirtualcam \(pip install '\.\[camera\]'\)"):
        look("v4l2loopback", None, bare)
    with pytest.raises(NotSetUp, match=r"PipeWire \(libpipewire-0\.3\.so\.0\) \(sudo apt-get install pipewire wireplumber pipewire-pulse"):
        look("pipewire", None, system(has_pipewire_library=lambda: False))


def test_look_on_macos_and_windows_wants_a_named_output() -> None:
    mac = {"name": "Darwin", "release": ""}
    with pytest.raises(NotSetUp, match="brew install --cask blackhole-2ch"):
        look("auto", None, system(**mac))
    with pytest.raises(NotSetUp, match=r"https://vb-audio\.com/Cable"):
        look("auto", None, system(name="Windows"))
    assert look("auto", None, system(**mac, output=lambda name: name == "BlackHole")) == CameraSetUp("obs", None, "output", "BlackHole")
    found = look("unitycapture", "Line 1", system(name="Windows", output=lambda name: name == "Line 1"))
    assert found == CameraSetUp("unitycapture", None, "output", "Line 1")
    with pytest.raises(BadInput, match="camera_voice 'Line 2': there is no sound output of that name"):
        look("auto", "Line 2", system(**mac))
    with pytest.raises(BadInput, match=r"'pipewire': on Darwin auto, obs are possible"):
        look("pipewire", None, system(**mac))
    with pytest.raises(BadInput, match="'obs': on Linux"):
        look("obs", None, system())


@pytest.fixture
def pulse(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A sound server with a headset and the virtual microphone; its default can be changed."""
    default = ["headset"]
    known = [
        PulseSource("headset", "Ada's Headset"),
        PulseSource("speakers.monitor", "Monitor of Speakers"),
        PulseSource("visavis_voice.monitor", "Monitor of visavis voice"),
        PulseSource("visavis_microphone", "visavis microphone"),
    ]
    monkeypatch.setattr(set_up, "sources", lambda: known)
    monkeypatch.setattr(set_up, "default_source", lambda: default[0])
    monkeypatch.setattr(set_up.platform, "system", lambda: "Linux")
    monkeypatch.setattr(set_up.shutil, "which", lambda name: f"/usr/bin/{name}")
    return default


def test_check_microphone_refuses_the_virtual_one(pulse: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_microphone(None) == "headset"
    assert check_microphone("ada's headset") == "headset"
    assert check_microphone("speakers.monitor") == "speakers.monitor", "asked for by name, anything goes"
    assert check_microphone("something that PortAudio may know") is None
    for name in ("visavis microphone", "visavis_voice.monitor"):
        with pytest.raises(BadInput, match="cannot listen to itself; known others: 'headset'"):
            check_microphone(name)
    pulse[0] = "visavis_microphone"
    with pytest.raises(BadInput, match="cannot listen to itself"):
        check_microphone(None)
    pulse[0] = "speakers.monitor"
    with pytest.raises(BadInput, match=r"none that is its default \(--microphone NAME\); known: 'headset'"):
        check_microphone(None)

    def silent() -> str:
        raise DeviceUnavailable("pactl does not answer")

    monkeypatch.setattr(set_up, "default_source", silent)
    assert check_microphone(None) is None
