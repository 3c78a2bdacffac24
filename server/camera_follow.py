"""An avatar that follows its user's camera: pictures in, what the tracker saw of them out to the render worker.

Off until it is asked for. The pictures come from whoever has the camera (the page by WebRTC, a device of this machine) with the moment they
were taken, as a number on the sound's time line; `renderer.head_guide` says what becomes of what was seen.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from renderer.errors import VisavisError
from renderer.head_guide import HeadSighting
from server.face_tracker import missing_for_tracking
from server.messages import FollowState
from server.timeline import VOICE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable

    from renderer.head_guide import SeenFace
    from server.camera_picture import CameraPicture
    from server.messages import FollowStatus
    from server.tracker_process import TrackerProcess

NO_PICTURE_S = 3.0
"""Without a picture for so long, the user is told."""
FACE_GONE_S = 0.5
"""`renderer.head_guide.LOST_S`: from then on the head goes its own way."""


class FollowUnavailable(VisavisError):
    """A camera cannot be followed here; the text says what is missing."""


class CameraFollow:
    """Of one performance."""

    def __init__(self, tracker: TrackerProcess, on_seen: Callable[[HeadSighting], None], on_change: Callable[[FollowState], None]) -> None:
        """`on_seen` has each sighting; `on_change` is told whenever `state` has changed by itself."""
        self._tracker, self._on_seen, self._on_change = tracker, on_seen, on_change
        self.state = FollowState(reason=missing_for_tracking())
        self._picture_s = self._face_s = 0.0

    @property
    def is_on(self) -> bool:
        return self.state.on

    def turn(self, on: bool) -> None:
        """Raises FollowUnavailable, and changes nothing then."""
        if on == self.is_on:
            return
        reason = missing_for_tracking()
        if on:
            if reason is not None:
                self.state = FollowState(reason=reason)
                raise FollowUnavailable(reason)
            self._picture_s = self._face_s = time.monotonic()
            self.state = FollowState(on=True, status="starting")
            self._tracker.follow(self)
        else:
            self._tracker.leave(self)
            self.state = FollowState(reason=reason)

    def see(self, picture: CameraPicture, sample: int) -> None:
        """A picture of the user's camera, taken when `sample` (48 kHz, as the performance counts them) was spoken. While following is off
        it is forgotten."""
        if self.is_on:
            self._picture_s = time.monotonic()
            self._tracker.put(self, picture, sample)

    def tick(self) -> None:
        """Once a second: notice that no picture comes."""
        if self.is_on and time.monotonic() - self._picture_s > NO_PICTURE_S:
            self._become("no_picture")

    def close(self) -> None:
        """Nothing more is heard; may be called twice."""
        self._tracker.leave(self)

    # ---- news of the tracker (FaceListener)

    def tracked(self, face: SeenFace | None, sample: int) -> None:
        now_s = time.monotonic()
        if face is not None:
            self._face_s = now_s
        self._on_seen(HeadSighting(sample / VOICE_RATE_HZ, face))
        if face is not None:
            self._become("following")
        elif now_s - self._face_s > FACE_GONE_S:
            self._become("no_face")

    def tracking_failed(self, message: str) -> None:
        self.state = FollowState(reason=message)
        self._on_change(self.state)

    def _become(self, status: FollowStatus) -> None:
        if status != self.state.status:
            self.state = FollowState(on=True, status=status)
            self._on_change(self.state)
