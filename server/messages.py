"""The messages between the page and the server: JSON over the WebSocket `/ws`, and `set`/`ping` also over the data channel "control".

Times are in ms, rates in frames a second, `audio_level` is a root mean square in 0...1 of full scale. The README of this folder is the
protocol's description in words.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from renderer.view import MAX_PITCH_DEG, MAX_YAW_DEG, MAX_ZOOM

MAX_MESSAGE_BYTES = 64 * 1024
"""Longest message a client may send; an offer of a browser has about 6 kB."""

MAX_TEXT = 5000
"""Longest text to be spoken, in characters."""

Category = Literal["neutral", "angry", "fearful", "happy", "sad"]
"""`renderer.emotion.EMOTIONS`."""
FollowStatus = Literal["off", "starting", "no_picture", "no_face", "following"]
ErrorCode = Literal[
    "busy",
    "bad_message",
    "bad_sdp",
    "unknown_avatar",
    "unknown_background",
    "unauthorised",
    "speech_failed",
    "follow_unavailable",
    "no_candidates",
    "internal",
]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Offer(_Message):
    """Start the socket's session. ICE does not trickle: the SDP holds all candidates."""

    type: Literal["offer"]
    sdp: str = Field(max_length=MAX_MESSAGE_BYTES)
    avatar: str | None = None
    """Name from `hello.avatars`; null: the default."""
    size: int | None = None
    """Wished height of the picture in px; larger than the server's own size is lowered to it; null: the server's."""
    token: str | None = None


class ViewAngles(_Message):
    """See `renderer.view`: the face turned to the right and down, degrees, and closer. An avatar turns as far as its clip allows."""

    yaw_deg: float = Field(default=0.0, ge=-MAX_YAW_DEG, le=MAX_YAW_DEG)
    pitch_deg: float = Field(default=0.0, ge=-MAX_PITCH_DEG, le=MAX_PITCH_DEG)
    zoom: float = Field(default=1.0, ge=1.0, le=MAX_ZOOM)


class EmotionWish(_Message):
    """What the dial stands at. The face goes there within 200 ms."""

    category: Category
    strength: float = Field(ge=0.0, le=1.0)
    """0 neutral, 1/3 weak, 2/3 medium, 1 strong."""


class Set(_Message):
    """Change what is given; the rest stays."""

    type: Literal["set"]
    voice: bool | None = None
    """Whether the returned audio carries the speaker's own delayed voice or silence."""
    avatar: str | None = None
    smoothing: float | None = Field(default=None, ge=0.0, le=0.7)
    """Explicit smoothing beta of the audio codes."""
    omega: float | None = Field(default=None, ge=0.0, le=1.0)
    """Detail of the avatar's refiner, 0 smooth ... 1 all of it; kept, without effect, where the avatar has none."""
    view: ViewAngles | None = None
    """Where the picture is taken from; gone to within a quarter of a second."""
    background: str | None = Field(default=None, max_length=64)
    """"original", a colour such as "#00b140", or the id that `POST /api/backgrounds` gave."""
    emotion: EmotionWish | None = None
    """Kept, without effect, where the avatar has no emotions."""
    emotion_auto: bool | None = None
    """Whether the face follows loudness and pitch of the voice (`renderer.voice_emotion`) in place of `emotion`."""
    fade: bool | None = None
    """Whether a swap fades over from the last picture of the old avatar in place of a cut."""
    follow: bool | None = None
    """Whether head, eyes and expression follow the user's camera: the pictures of the connection's video track."""
    straight_ahead: Literal[True] | None = None
    """The user looks straight ahead now, and for a second: movement is measured against that. Without effect while nothing is followed."""


class Ping(_Message):
    type: Literal["ping"]
    t: float
    """Anything; comes back in `pong`."""


class Bye(_Message):
    type: Literal["bye"]


class Say(_Message):
    """Have the avatar say a text, after those that wait; the microphone is not heard meanwhile."""

    type: Literal["say"]
    text: str = Field(min_length=1, max_length=MAX_TEXT)


class StopSaying(_Message):
    """Interrupt: say nothing more of what was sent, neither text nor sound of a program."""

    type: Literal["stop"]


ClientMessage = Annotated[Offer | Set | Ping | Say | StopSaying | Bye, Field(discriminator="type")]
_CLIENT_MESSAGE: TypeAdapter[Offer | Set | Ping | Say | StopSaying | Bye] = TypeAdapter(ClientMessage)


class AvatarInfo(_Message):
    name: str
    title: str
    subject: str
    """"synthetic" or "person"."""
    poster: str | None = None
    """Address of a still picture, relative to the page."""
    refiner: bool = False
    """Whether `omega` has an effect."""
    instruction: str | None = None
    """That made this style, where it was edited."""
    editable: bool = False
    """Whether it can be edited: it holds what was said in its training clip."""
    emotional: bool = False
    """Whether `emotion` and `emotion_auto` have an effect."""


class IceServer(_Message):
    """A STUN or TURN server, as WebRTC's RTCIceServer has it."""

    urls: str
    username: str | None = None
    """Of a TURN server; time-limited where the server has a shared secret."""
    credential: str | None = None


class Hello(_Message):
    """First message on a socket."""

    type: Literal["hello"] = "hello"
    version: str
    avatars: list[AvatarInfo]
    default_avatar: str
    size: int
    fps: float
    busy: bool
    """True: an offer would be answered with the error `busy` now."""
    ice_servers: list[IceServer] = []
    """For the page's connection; their credentials are good for the next hours."""


class Answer(_Message):
    type: Literal["answer"] = "answer"
    sdp: str
    session: str
    latency_ms: float
    """Time from the arrival of a sound at the server to the moment its picture and its voice leave, at first (see `stats`)."""
    size: int


class Stats(_Message):
    """Once a second while a session runs."""

    type: Literal["stats"] = "stats"
    fps: float
    """New pictures a second (a repeated one does not count)."""
    late_percent: float
    """Share of the last ten seconds' frames whose picture was not ready and for which the last one was shown again."""
    latency_ms: float
    queue: int
    """Pictures rendered ahead of their time."""
    render_ms: float
    """Median of the last second."""
    audio_level: float


class FollowState(_Message):
    """How it stands with following the user's camera."""

    on: bool = False
    status: FollowStatus = "off"
    """`starting`: until the first face; `no_picture`: none has come for three seconds; `no_face`: the avatar moves by itself meanwhile."""
    reason: str | None = None
    """Why a camera cannot be followed here, with what to do about it."""


class State(_Message):
    """What is set; sent after the answer and after every change."""

    type: Literal["state"] = "state"
    avatar: str
    voice: bool
    smoothing: float
    omega: float
    size: int
    view: ViewAngles = ViewAngles()
    background: str = "original"
    fade: bool = False
    emotion: EmotionWish = EmotionWish(category="neutral", strength=0.0)
    """The dial's; while `emotion_auto` is on, it waits."""
    emotion_auto: bool = False
    emotional: bool = False
    """Whether the avatar that is shown has emotions; without, both lines above are kept for one that has."""
    follow: FollowState = FollowState()
    loading: str | None = None
    """Name of an avatar that is being loaded and will be swapped in."""


class Pong(_Message):
    type: Literal["pong"] = "pong"
    t: float


class Speech(_Message):
    """How it stands with texts to be spoken; at every change."""

    type: Literal["speech"] = "speech"
    speaking: bool
    waiting: int
    """Texts after the one that is being spoken."""


class Error(_Message):
    type: Literal["error"] = "error"
    code: ErrorCode
    message: str


ServerMessage = Hello | Answer | Stats | State | Pong | Speech | Error


class BadMessage(ValueError):
    """A client message that is not JSON, of no known type, or with a wrong field; the text says which."""


def parse_client_message(text: str | bytes) -> Offer | Set | Ping | Say | StopSaying | Bye:
    """Raises BadMessage with one line for whatever is wrong."""
    if len(text) > MAX_MESSAGE_BYTES:
        raise BadMessage(f"message of {len(text)} bytes; at most {MAX_MESSAGE_BYTES} are read")
    try:
        return _CLIENT_MESSAGE.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadMessage(f"{place}: {first['msg']}" if place else first["msg"]) from error
    except UnicodeDecodeError as error:
        raise BadMessage("the message is not UTF-8 text") from error
