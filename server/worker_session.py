"""What the render worker keeps of one session: its sound on the way to the encoder, its conditions, and when its frames are due.

Pure: every call is told the time (local monotonic seconds, see `timeline`). Frame k shows the sound from k / 25 s on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from renderer.audio.resample import Resampler
from renderer.audio.streaming import StreamingEncoder
from renderer.condition_stream import ConditionStream
from renderer.emotion import NEUTRAL
from renderer.field.config import STEPS_PER_FRAME
from renderer.types import FPS, AudioChunk
from renderer.voice_emotion import VoiceEmotion
from server.frame_ring import SLOTS
from server.timeline import VOICE_RATE_HZ
from server.worker_messages import OpenSession, Sound

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from renderer.audio.encoder import AudioEncoder
    from renderer.emotion import Emotion
    from renderer.head_guide import HeadSighting
    from renderer.types import FrameCondition
    from renderer.view import View
    from server.avatar_store import LoadedAvatar
    from server.worker_messages import Backdrop

MAX_AHEAD_S = (SLOTS - 3) / FPS
"""Frames due later than this are left for later, so that a slot is read before it is written again."""
MAX_SOUND_GAP_S = 2.0
FULL_SCALE = 32768.0
AGAIN_PERIOD_FRAMES = 5
"""Frames between two times of making pictures anew: what is dragged changes more often than that."""
AGAIN_SPARE_S = 0.008
"""Time that a picture made anew must have left beyond its rendering: its memory may not be read while it is written."""
FADE_FRAMES = 6
"""240 ms."""
FADE_STEPS = 256


class WorkerSession:
    """One session's way from sound to frame conditions."""

    def __init__(self, opening: OpenSession, loaded: LoadedAvatar, encoder: AudioEncoder, stride: int) -> None:
        self.id, self.region, self.size = opening.session, opening.region, opening.size
        self.loaded = loaded
        self._stride = stride
        self._start_s = opening.start_s
        self._resampler = Resampler(VOICE_RATE_HZ)
        self._encoder = StreamingEncoder(encoder)
        self._conditions = ConditionStream(
            loaded.avatar, encoder.silence_features(), opening.seed, opening.smoothing, refine_weight=opening.omega
        )
        self._emotion = NEUTRAL
        self._voice_emotion: VoiceEmotion | None = None
        """None: the emotion is the one that was set."""
        self._fade = False
        self._last_picture: UInt8[np.ndarray, "h w 3"] | None = None
        """Kept only where swaps fade."""
        self._fading_from: UInt8[np.ndarray, "h w 3"] | None = None
        self._faded = 0
        self._next_sample = 0
        self._next_encoder_sample = 0
        self._again_from = -AGAIN_PERIOD_FRAMES
        self.skipped = 0
        """Frames given up because they could not have been in time."""

    def hear(self, sound: Sound) -> None:
        """Take the next stretch of the microphone's sound. What was dropped on the way here is silence."""
        self._start_s = sound.start_s
        samples = np.frombuffer(sound.pcm, np.int16).astype(np.float32) / FULL_SCALE
        gap = sound.first_sample - self._next_sample
        if gap < 0 or gap > MAX_SOUND_GAP_S * VOICE_RATE_HZ:
            raise ValueError(f"sound from sample {sound.first_sample} on; {self._next_sample} was expected")
        if gap:
            samples = np.concatenate([np.zeros(gap, np.float32), samples])
        self._next_sample += len(samples)
        resampled = self._resampler.push(samples)
        chunk = AudioChunk(resampled, self._next_encoder_sample)
        self._next_encoder_sample += len(resampled)
        if self._voice_emotion is not None:
            self._voice_emotion.push(resampled)
            self._show_emotion()
        features = self._encoder.push(chunk)
        if len(features.steps):
            self._conditions.push(features)

    def deadline_s(self, frame: int) -> float:
        """Local time at which `frame` leaves."""
        return self._start_s + frame / FPS

    def choose(self, now_s: float, render_s: float) -> int | None:
        """The frame to render next: the first whose sound is complete and that can be in time; else the newest; None: nothing to do."""
        shape = self.loaded.avatar.field_config.audio_window
        newest = (self._conditions.next_step - shape.future_steps) // STEPS_PER_FRAME
        newest -= newest % self._stride
        frame = -(-self._conditions.next_frame // self._stride) * self._stride
        in_time = math.ceil((now_s + render_s - self._start_s) * FPS)
        in_time = -(-in_time // self._stride) * self._stride
        frame = max(frame, min(in_time, newest))
        if frame > newest or self.deadline_s(frame) > now_s + MAX_AHEAD_S:
            return None
        return frame

    def take(self, frame: int) -> FrameCondition:
        """The condition of the frame that `choose` gave."""
        self.skipped += (frame - self._conditions.next_frame) // self._stride
        self._conditions.skip_to(frame)
        condition = self._conditions.next()
        assert condition is not None, "choose() gives only frames whose sound is complete"
        return condition

    def make_anew(self, now_s: float, render_s: float) -> int:
        """Something has changed: what is rendered but not due yet is to be rendered again; returns the next frame.

        Without it a change shows only after all that waits for its time, two frames where the latency leaves room for them. A picture
        that might not be ready in time stays as it is, and so do all where there is no time to render some twice.
        """
        first = math.ceil((now_s + render_s + AGAIN_SPARE_S - self._start_s) * FPS)
        first = -(-first // self._stride) * self._stride
        has_time = 2 * render_s < self._stride / FPS
        if has_time and self._again_from + AGAIN_PERIOD_FRAMES <= first < self._conditions.next_frame:
            self._again_from = self._conditions.back_to(first)
        return self._conditions.next_frame

    @property
    def next_frame(self) -> int:
        """The frame whose condition comes next."""
        return self._conditions.next_frame

    def swap(self, loaded: LoadedAvatar) -> None:
        """Show another avatar from the next frame on."""
        self._conditions.swap(loaded.avatar)
        self.loaded = loaded
        self._fading_from, self._faded = self._last_picture, 0

    def faded(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The picture to show for a rendered one: after a swap it comes out of the old avatar's last picture within `FADE_FRAMES`.

        The old avatar is not rendered any more: a fade costs no time, so it can cost no frame.
        """
        if not self._fade:
            return rgb
        old = self._fading_from
        if old is None or old.shape != rgb.shape:
            shown = rgb
        else:
            self._faded += 1
            share = FADE_STEPS * self._faded // (FADE_FRAMES + 1)
            shown = ((rgb.astype(np.uint16) * share + old.astype(np.uint16) * (FADE_STEPS - share)) // FADE_STEPS).astype(np.uint8)
            if self._faded == FADE_FRAMES:
                self._fading_from = None
        self._last_picture = shown
        return shown

    def set_fade(self, fade: bool) -> None:
        self._fade = fade
        self._last_picture = self._fading_from = None

    def set_view(self, view: View) -> None:
        self._conditions.view = view

    def set_backdrop(self, backdrop: Backdrop) -> None:
        self._conditions.background = backdrop.picture

    def set_emotion(self, emotion: Emotion) -> None:
        """Takes effect at once, or when the emotion no longer follows the voice."""
        self._emotion = emotion
        self._show_emotion()

    def set_emotion_auto(self, follows_voice: bool) -> None:
        """What the voice usually is, is learned anew each time."""
        if follows_voice == (self._voice_emotion is not None):
            return
        self._voice_emotion = VoiceEmotion() if follows_voice else None
        self._show_emotion()

    def _show_emotion(self) -> None:
        """The voice's where it is followed; else the dial's; else, where the dial stands at neutral, that of the face that is followed."""
        if self._voice_emotion is not None:
            self._conditions.emotion = self._voice_emotion.emotion
        else:
            self._conditions.emotion = self._conditions.guide.emotion if self._emotion == NEUTRAL else self._emotion

    def set_follow(self, follows: bool) -> None:
        """Whether head and face follow what `see` brings; see `renderer.head_guide`."""
        if follows:
            self._conditions.guide.turn_on()
        else:
            self._conditions.guide.turn_off()
        self._show_emotion()

    def straighten(self) -> None:
        """What is seen in the next second is the head at rest."""
        self._conditions.guide.straighten()

    def see(self, sighting: HeadSighting) -> None:
        """Of the head that is followed."""
        self._conditions.guide.push(sighting)
        self._show_emotion()

    def set_smoothing(self, smoothing: float) -> None:
        self._conditions.smoothing = smoothing

    def set_omega(self, omega: float) -> None:
        self._conditions.refine_weight = omega


NEED_STEP_SAMPLES = 48
"""Resolution of `sound_needed`, 1 ms."""
NEED_FRAMES = 4


def sound_needed(loaded: LoadedAvatar, encoder: AudioEncoder) -> int:
    """Samples at 48 kHz after a frame's own time that must be heard before it can be rendered.

    Found by trying: resampler, encoder hops and the avatar's window all have a part in it.
    """
    opening = OpenSession(0, 0, "", loaded.size, smoothing=0.0, omega=0.0, seed=0, start_s=0.0)
    session = WorkerSession(opening, loaded, encoder, stride=1)
    silence = np.zeros(NEED_STEP_SAMPLES, np.int16).tobytes()
    heard, frame, needed = 0, 0, 0
    while frame < NEED_FRAMES:
        session.hear(Sound(0, heard, silence, start_s=0.0))
        heard += NEED_STEP_SAMPLES
        while session.choose((frame - 0.5) / FPS, 0.0) is not None:
            session.take(frame)
            needed = max(needed, heard - frame * VOICE_RATE_HZ // FPS)
            frame += 1
    return needed
