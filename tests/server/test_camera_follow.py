from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

import server.camera_follow
from renderer.face_expression import CATEGORIES
from renderer.head_guide import HeadSighting, SeenFace
from server.camera_follow import CameraFollow, FollowUnavailable
from server.camera_picture import CameraPicture
from server.face_tracker import MODEL_VARIABLE, missing_for_tracking
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    from server.messages import FollowState

PICTURE = CameraPicture(bytes(16 * 16 * 3 // 2), 16, 16)
FACE = SeenFace(np.eye(4), 0.1, np.zeros(len(CATEGORIES)))


class PretendedTracker:
    def __init__(self) -> None:
        self.listeners: list[Any] = []
        self.samples: list[int] = []

    def follow(self, listener: Any) -> None:
        self.listeners.append(listener)

    def leave(self, listener: Any) -> None:
        if listener in self.listeners:
            self.listeners.remove(listener)

    def put(self, listener: Any, picture: CameraPicture, sample: int) -> None:
        assert listener in self.listeners
        self.samples.append(sample)


class Stage:
    def __init__(self) -> None:
        self.tracker, self.seen, self.states = PretendedTracker(), list[HeadSighting](), list["FollowState"]()
        self.follow = CameraFollow(cast("Any", self.tracker), self.seen.append, self.states.append)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(server.camera_follow, "missing_for_tracking", lambda: None)
    return Stage()


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(server.camera_follow.time, "monotonic", lambda: now[0])
    return now


def test_camera_follow_is_off_and_forgets_pictures_until_it_is_asked_for(stage: Stage) -> None:
    stage.follow.see(PICTURE, 10)
    assert stage.follow.state.status == "off" and not stage.tracker.samples and not stage.tracker.listeners
    stage.follow.turn(True)
    stage.follow.see(PICTURE, 20)
    assert stage.tracker.samples == [20] and stage.follow.state.status == "starting"
    stage.follow.turn(False)
    stage.follow.see(PICTURE, 30)
    assert stage.tracker.samples == [20] and not stage.tracker.listeners and stage.follow.state.status == "off"


def test_camera_follow_hands_on_what_was_seen_at_its_moment(stage: Stage) -> None:
    stage.follow.turn(True)
    stage.follow.tracked(FACE, VOICE_RATE_HZ // 2)
    assert stage.seen == [HeadSighting(0.5, FACE)]
    assert [state.status for state in stage.states] == ["following"]


def test_camera_follow_says_when_there_is_no_face_and_when_no_picture(stage: Stage, now_s: list[float]) -> None:
    stage.follow.turn(True)
    stage.follow.see(PICTURE, 0)
    stage.follow.tracked(FACE, 0)
    now_s[0] += 0.2
    stage.follow.tracked(None, 9600)
    assert stage.follow.state.status == "following"
    now_s[0] += 0.5
    stage.follow.tracked(None, 33_600)
    assert stage.follow.state.status == "no_face" and stage.seen[-1].face is None
    stage.follow.tick()
    assert stage.follow.state.status == "no_face"
    now_s[0] += 4.0
    stage.follow.tick()
    assert stage.follow.state.status == "no_picture"
    stage.follow.tracked(FACE, 240_000)
    assert stage.follow.state.status == "following"


def test_camera_follow_refuses_with_the_reason_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.camera_follow, "missing_for_tracking", lambda: "mediapipe is missing")
    stage = Stage()
    assert stage.follow.state.reason == "mediapipe is missing"
    with pytest.raises(FollowUnavailable, match="mediapipe is missing"):
        stage.follow.turn(True)
    assert not stage.follow.is_on and not stage.tracker.listeners


def test_camera_follow_ends_when_the_tracker_does(stage: Stage) -> None:
    stage.follow.turn(True)
    stage.follow.tracking_failed("the face tracker ended unexpectedly")
    assert [(state.on, state.reason) for state in stage.states] == [(False, "the face tracker ended unexpectedly")]


def test_missing_for_tracking_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    assert MODEL_VARIABLE in (missing_for_tracking() or "")
    monkeypatch.setenv(MODEL_VARIABLE, "nowhere.task")
    assert "'nowhere.task'" in (missing_for_tracking() or "")


def test_missing_for_tracking_names_the_command_that_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install '.[follow]'" in (missing_for_tracking() or "")
