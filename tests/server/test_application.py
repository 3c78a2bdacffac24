from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from renderer.avatar_file import load_avatar, save_avatar
from renderer.images import encode_picture
from server.access import Access
from server.application import create_application
from server.backgrounds import MAX_UPLOAD_BYTES
from server.live_server import LiveServer
from server.settings import ServerSettings
from server.virtual_camera import call
from server.virtual_camera.set_up import CameraSetUp, Missing, NotSetUp

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.conftest import Studio

MEDIA_CHANGES = (
    ("POST", "/api/sessions"),
    ("DELETE", "/api/sessions/x"),
    ("POST", "/api/sessions/x/say"),
    ("DELETE", "/api/sessions/x/say"),
    ("POST", "/api/recordings"),
    ("DELETE", "/api/recordings/x"),
    ("POST", "/api/publications"),
    ("DELETE", "/api/publications/x"),
    ("POST", "/api/camera"),
    ("PATCH", "/api/camera"),
    ("DELETE", "/api/camera"),
)
LOCAL_BASE = "http://127.0.0.1:8000"


def client(studio: Studio, host: str = "127.0.0.1", token: str | None = None, base: str = LOCAL_BASE) -> TestClient:
    """The application before its render worker has started."""
    settings = ServerSettings(host=host, avatar=str(studio.first), avatars=studio.folder, token=token)
    return TestClient(create_application(LiveServer(settings), Access(settings)), base_url=base)


def test_application_says_that_it_is_still_starting(studio: Studio) -> None:
    answer = client(studio).get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "starting"


def test_application_serves_the_page_with_right_types_and_headers(studio: Studio) -> None:
    app = client(studio)
    types = {"/": "text/html", "/js/main.js": "text/javascript", "/style.css": "text/css", "/favicon.svg": "image/svg+xml"}
    for path, content_type in types.items():
        answer = app.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(content_type)
        assert answer.headers["cache-control"] == "no-cache"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        again = app.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
    assert "access-control-allow-origin" not in app.get("/", headers={"origin": "https://example.org"}).headers


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/pyproject.toml", "/nothing.js"])
def test_application_serves_nothing_beside_the_page(studio: Studio, path: str) -> None:
    assert client(studio).get(path).status_code == 404


def test_application_lists_avatars_and_metrics(studio: Studio) -> None:
    app = client(studio)
    listing = app.get("/api/avatars").json()
    assert listing["default_avatar"] == "first"
    assert [avatar["name"] for avatar in listing["avatars"]] == ["first", "second"]
    metrics = app.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    for name in ("sessions ", "frames_sent_total", "frames_late_total", "render_ms_bucket", "audio_packets_lost", "render_memory_bytes"):
        assert f"visavis_{name}" in metrics.text


def test_application_describes_itself_without_a_network(studio: Studio) -> None:
    app = client(studio)
    schema = app.get("/openapi.json").json()
    assert {"/healthz", "/metrics", "/api/avatars"} <= set(schema["paths"])
    page = app.get("/docs").text
    assert "http" not in page.replace("HTTP", ""), "nothing is fetched from elsewhere"
    for words in ("GET /healthz", "offer", "late_percent", "unknown_avatar", "WebSocket /api/feed", "begun", "POST /api/recordings"):
        assert words in page


def test_application_elsewhere_asks_for_the_token(studio: Studio) -> None:
    app = client(studio, host="0.0.0.0", token="s3cret", base="http://avatar.example.org")
    for path in ("/api/avatars", "/metrics"):
        assert app.get(path).status_code == 401
        assert app.get(path + "?token=wrong").status_code == 401
        assert app.get(path + "?token=s3cret").status_code == 200
        assert app.get(path, headers={"authorization": "Bearer s3cret"}).status_code == 200
    assert app.get("/").status_code == 200
    assert app.get("/healthz").status_code == 503
    with app.websocket_connect("/ws?token=wrong") as socket:
        assert socket.receive_json()["code"] == "unauthorised"
        assert socket.receive()["code"] == 1008


def test_application_on_this_machine_answers_to_its_own_name_only(studio: Studio) -> None:
    app = client(studio)
    assert app.get("/", headers={"host": "rebound.example.org"}).status_code == 421
    with pytest.raises(WebSocketDisconnect), app.websocket_connect("/ws", headers={"host": "rebound.example.org"}):
        pass


def test_application_shows_an_avatars_poster(studio: Studio, tmp_path: Path) -> None:
    avatar = load_avatar(studio.first)
    height, width = avatar.background.shape[:2]
    save_avatar(avatar.replace(poster=np.full((height, width, 3), 90, np.uint8)), tmp_path / "with poster.avatar")
    save_avatar(avatar, tmp_path / "without.avatar")
    settings = ServerSettings(avatar=str(tmp_path / "with poster.avatar"), avatars=tmp_path)
    app = TestClient(create_application(LiveServer(settings), Access(settings)), base_url=LOCAL_BASE)
    addresses = {entry["name"]: entry["poster"] for entry in app.get("/api/avatars").json()["avatars"]}
    assert addresses["without"] is None
    answer = app.get(f"/{addresses['with poster']}")
    assert answer.headers["content-type"] == "image/jpeg" and answer.content[:2] == b"\xff\xd8"
    assert app.get("/api/avatars/without/poster.jpg").status_code == 404
    assert app.get("/api/avatars/nobody/poster.jpg").status_code == 404


def test_application_takes_backgrounds_within_limits(studio: Studio) -> None:
    app = client(studio)
    made = app.post("/api/backgrounds", content=encode_picture(np.full((32, 32, 3), 80, np.uint8), "png"))
    assert made.status_code == 201 and made.json()["id"].startswith("picture-")
    for content, status, named in ((b"hello", 400, "PNG, JPEG or WebP"), (bytes(MAX_UPLOAD_BYTES + 1), 413, "more than 12 MB")):
        refused = app.post("/api/backgrounds", content=content)
        assert refused.status_code == status and named in refused.json()["detail"]


def test_application_takes_changes_from_its_own_page_only(studio: Studio) -> None:
    app = client(studio)
    for method, path in (
        ("POST", "/api/edits"),
        ("POST", "/api/backgrounds"),
        ("DELETE", "/api/edits/x"),
        ("POST", "/api/edits/x/resume"),
        *MEDIA_CHANGES,
    ):
        answer = app.request(method, path, headers={"origin": "https://example.org"}, json={})
        assert answer.status_code == 403 and "another server" in answer.json()["detail"]
    elsewhere = client(studio, host="0.0.0.0", token="s3cret", base="http://avatar.example.org")
    for method, path in (("GET", "/api/edits"), ("GET", "/api/edits/options"), ("GET", "/api/events"), ("POST", "/api/backgrounds")):
        assert elsewhere.request(method, path).status_code == 401
    for method, path in (*MEDIA_CHANGES, *(("GET", f"/api/{kind}") for kind in ("sessions", "recordings", "publications"))):
        assert elsewhere.request(method, path).status_code == 401, path
    assert elsewhere.get("/api/recordings/x/file").status_code == 401
    for feed in ("/api/feed", "/api/feed?token=wrong"):
        with pytest.raises(WebSocketDisconnect), elsewhere.websocket_connect(feed):
            pass
    with pytest.raises(WebSocketDisconnect), app.websocket_connect("/api/feed", headers={"origin": "https://example.org"}):
        pass


def test_application_answers_bad_edits_with_one_line(studio: Studio) -> None:
    app = client(studio)
    refused = app.post("/api/edits", json={"avatar": "first", "instruction": " "})
    assert refused.status_code == 422 and refused.json()["detail"].startswith("the instruction is empty")
    refused = app.post("/api/edits", json={"avatar": "first", "instruction": "red", "strength": 2})
    assert refused.status_code == 422 and refused.json()["detail"].startswith("strength: ")
    assert app.post("/api/edits", json={"avatar": "nobody", "instruction": "red"}).status_code == 400
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/resume"), ("GET", "/preview.png")):
        answer = app.request(method, f"/api/edits/nothing{path}")
        assert answer.status_code == 404 and answer.json()["detail"] == "no edit 'nothing'"
    assert app.get("/api/edits").json() == {"edits": []}


def test_application_offers_what_the_built_in_editor_understands(studio: Studio) -> None:
    """Asked of the editing command itself."""
    options = client(studio).get("/api/edits/options").json()
    assert "hair colour" in [look["name"] for look in options["instructions"]]
    assert {"draft", "standard"} <= set(options["presets"]) and "progressive" in options["strategies"]
    assert options["available"] or "FACE_LANDMARKER_TASK" in options["reason"]


def test_application_keeps_the_virtual_camera_to_its_own_machine(studio: Studio) -> None:
    app = client(studio)
    here = app.get("/api/camera").json()
    assert here["here"] and here["state"] == "off" and here["session"] is None
    refused = app.post("/api/camera", json={"session": "nobody"})
    assert refused.status_code == 404 and refused.json()["detail"] == "no session 'nobody' runs here"
    for change in ({"privacy": True}, {"delay_ms": 300}, {"delay_ms": None}):
        refused = app.patch("/api/camera", json=change)
        assert refused.status_code == 409 and refused.json()["detail"] == "the virtual camera is off"
    assert app.patch("/api/camera", json={"size": 3}).status_code == 422
    assert app.delete("/api/camera").json()["state"] == "off"
    elsewhere = client(studio, host="0.0.0.0", token="s3cret", base="http://avatar.example.org")
    assert elsewhere.get("/api/camera?token=s3cret").json() == {**here, "here": False, "reason": None, "remarks": []}
    for method in ("POST", "PATCH", "DELETE"):
        refused = elsewhere.request(method, "/api/camera?token=s3cret", json={})
        assert refused.status_code == 403 and "127.0.0.1" in refused.json()["detail"]


async def test_application_says_what_the_virtual_camera_needs(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(wish: str, voice: str | None) -> CameraSetUp:
        raise NotSetUp([Missing("pactl, for the virtual microphone", "sudo apt-get install pulseaudio-utils")])

    monkeypatch.setattr(call, "look", bare)
    app = client(studio)
    words = "the virtual camera needs pactl, for the virtual microphone (sudo apt-get install pulseaudio-utils)"
    assert app.get("/api/camera").json()["reason"] == words
    refused = app.post("/api/camera", json={})
    assert refused.status_code == 501 and refused.json()["detail"] == words
    with pytest.raises(NotSetUp, match="pactl"):
        LiveServer(ServerSettings(avatar=str(studio.first), avatars=studio.folder, virtual_camera="auto"))
