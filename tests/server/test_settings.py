from __future__ import annotations

from pathlib import Path

import pytest

from renderer.errors import BadInput
from server.settings import ServerSettings, read_settings
from server.udp_ports import UdpPorts
from server.virtual_camera.size import automatic_size


def test_settings_default_to_this_machine_only() -> None:
    settings = read_settings([])
    assert settings == ServerSettings()
    assert (settings.host, settings.port, settings.is_local) == ("127.0.0.1", 8000, True)


def test_settings_from_a_file_yield_to_flags(tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text(
        "port: 9000\nsize: 256\nmax_sessions: auto\nice_servers: [stun:a:1, stun:b:2]\nice_ports: 50000-50100\ntoken: secret\n"
    )
    settings = read_settings(["--config", str(config), "--size", "auto", "--latency-ms", "250"])
    assert (settings.port, settings.size, settings.max_sessions, settings.latency_ms) == (9000, None, None, 250.0)
    assert settings.ice_servers == ("stun:a:1", "stun:b:2")
    assert settings.ice_ports == UdpPorts(50_000, 50_100)
    assert settings.token == "secret"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "100"], "multiple of 16"),
        (["--size", "4096"], "multiple of 16"),
        (["--size", "big"], "--size 'big': a number or auto"),
        (["--port", "70000"], "port 70000"),
        (["--port", "http"], "--port 'http': a number"),
        (["--device", "tpu"], "auto, cpu, cuda"),
        (["--device", "cuda"], "no CUDA"),
        (["--threads", "0"], "1 to 64"),
        (["--max-sessions", "0"], "1 to 64"),
        (["--latency-ms", "5"], "100 to 2000"),
        (["--log-level", "loud"], "debug, info, warning, error"),
        (["--avatars", "nowhere"], "'nowhere': not a folder"),
        (["--token", ""], "protects nothing"),
        (["--ice-servers", "http://a"], "stun:host:port"),
        (["--ice-servers", "turn:a"], "needs turn_secret"),
        (["--ice-ports", "50000"], "two port numbers"),
        (["--ice-ports", "80-90"], "1024 <= FIRST"),
        (["--publish", "http://a/b"], "rtmp://"),
        (["--publish", "srt://a:1,srt://b"], "srt://host:port"),
        (["--recording-minutes", "0"], "more than 0"),
        (["--recording-mb", "0"], "1 to"),
        (["--recordings", "/dev/null"], "not a folder"),
        (["--say", " "], "a text"),
        (["--speech-command", ""], "a program"),
        (["--virtual-camera", "/video0"], "one of auto, pipewire, v4l2loopback, obs, unitycapture or /dev/videoN"),
        (["--camera-size", "640x361"], "640x361: even numbers"),
        (["--camera-size", "big"], "WIDTHxHEIGHT"),
        (["--camera-size", "8000x4000"], "from 32 to 3840"),
        (["--camera-delay-ms", "20"], "200 to 2000"),
        (["--fps", "60"], "unrecognized arguments: --fps"),
        (["extra"], "unrecognized arguments: extra"),
        (["--config", "nowhere.yaml"], "cannot read"),
    ],
)
def test_settings_reject_what_is_not_possible(arguments: list[str], words: str) -> None:
    with pytest.raises(BadInput) as error:
        read_settings(arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot: 80", "no setting 'prot'; known: host, port"),
        ("- 1", "names and values"),
        ("a: [", "not YAML"),
        ("port: x", "a number was expected"),
    ],
)
def test_settings_reject_a_wrong_file(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "server.yaml"
    config.write_text(text)
    with pytest.raises(BadInput) as error:
        read_settings(["--config", str(config)])
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_help_fits_a_screen_and_states_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        read_settings(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 45
    for words in ("--size PX", "default 8000", "default auto", "in ms", "--config FILE.yaml"):
        assert words in text


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("192.0.2.7", False)]
)
def test_settings_know_which_addresses_are_local(host: str, local: bool) -> None:
    assert ServerSettings(host=host).is_local is local


def test_settings_of_the_virtual_camera() -> None:
    assert read_settings([]).virtual_camera is None
    assert read_settings(["--virtual-camera"]).virtual_camera == "auto"
    settings = read_settings(["--virtual-camera", "/dev/video4", "--camera-size", "1280x720", "--camera-delay-ms", "350"])
    assert (settings.virtual_camera, str(settings.camera_size), settings.camera_delay_s) == ("/dev/video4", "1280x720", 0.35)
    assert read_settings(["--camera-size", "auto"]).camera_size is None


def test_automatic_camera_size_is_a_usual_one_in_which_the_picture_loses_nothing() -> None:
    assert [str(automatic_size(height)) for height in (128, 360, 384, 512, 720, 1024, 2048)] == [
        "640x360", "640x360", "960x540", "960x540", "1280x720", "1920x1080", "1920x1080",
    ]  # fmt: skip
