"""A PipeWire of its own: daemon, session manager and PulseAudio server in a folder that nobody else knows.

`loudspeaker` is a null sink in it; what is played into it is what the microphone "loudspeaker.monitor" hears.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("dbus-run-session", "pipewire", "wireplumber", "pipewire-pulse", "pactl", "paplay", "gst-launch-1.0")
DEBIAN_PACKAGES = (
    "dbus-daemon pipewire wireplumber pipewire-pulse pulseaudio-utils gstreamer1.0-tools gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-good gstreamer1.0-pipewire libportaudio2 libasound2-plugins"
)
LOUDSPEAKER = "loudspeaker"
START_TIMEOUT_S = 30.0
_SCRIPT = "pipewire & sleep 0.5; wireplumber & sleep 0.5; pipewire-pulse & wait"


@contextlib.contextmanager
def sound_session() -> Iterator[Path]:
    """Runs while the context lasts, with the environment of this process pointing at it; yields its folder."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    assert not missing, f"{', '.join(missing)} belong to the tests' requirements; Debian: apt-get install {DEBIAN_PACKAGES}"
    # A socket's path has 107 characters at most, so not in pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="visavis-sound-"))
    folder.chmod(0o700)
    (folder / "pulse").mkdir()
    ours = {
        "XDG_RUNTIME_DIR": str(folder),
        "PIPEWIRE_RUNTIME_DIR": str(folder),
        "PULSE_RUNTIME_PATH": str(folder / "pulse"),
        "PULSE_SERVER": f"unix:{folder}/pulse/native",
        "DISABLE_RTKIT": "1",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [*hurried(), "dbus-run-session", "--", "sh", "-c", _SCRIPT],
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for_sound_server(folder)
        subprocess.run(["pactl", "load-module", "module-null-sink", f"sink_name={LOUDSPEAKER}"], check=True, stdout=subprocess.DEVNULL)
        yield folder
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def hurried() -> list[str]:
    """Begins a command that is to run at real-time priority, where that is allowed: sound server, player and recorder are not what is
    measured, and a test machine is busier than a desktop on which somebody makes a call."""
    allowed = subprocess.run(["chrt", "-r", "10", "true"], check=False, capture_output=True).returncode == 0
    return ["chrt", "-r", "10"] if allowed else []


def _wait_for_sound_server(folder: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while subprocess.run(["pactl", "info"], check=False, capture_output=True).returncode:
        assert time.monotonic() < deadline_s, (folder / "log").read_text(errors="replace")
        time.sleep(0.2)


@contextlib.contextmanager
def playing(sound: Path) -> Iterator[None]:
    """Play a WAV file into the loudspeaker, again and again."""
    again = (
        "import subprocess, sys\n"
        f"while not subprocess.run(['paplay', '--device={LOUDSPEAKER}', '--latency-msec=40', sys.argv[1]]).returncode: pass"
    )
    process = subprocess.Popen([*hurried(), sys.executable, "-c", again, str(sound)], start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
