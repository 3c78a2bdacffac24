"""An emotion out of a voice's loudness and pitch: what moves the emotion dial when it follows the speaker.

The rule
--------
Every 40 ms the last 64 ms of sound are looked at. Where they are voiced, their level (dB) and pitch (semitones) go into two averages:
the *present* one, over about 1.2 s of voice, and the speaker's *usual* one, over about 20 s of it. With l = (present - usual level) / 6 dB
and p = (present - usual pitch) / 4 semitones

    louder,  higher    l > 0, p > 0    happy
    louder,  lower     l > 0, p < 0    angry
    softer,  higher    l < 0, p > 0    fearful
    softer,  lower     l < 0, p < 0    sad

    strength = (min(|l|, |p|) - 0.2) / 0.8, held within 0...1

It is neutral on both axes, so that one category never gives way to another but through neutral; it is neutral until two seconds of voice
have told what is usual; and in a pause longer than 0.4 s the present goes back to the usual, with a time constant of 1.5 s.

Its limits
----------
Loudness and pitch tell how excited a voice is, hardly whether it is pleased: a furious voice is often high as well as loud and makes a
happy face here. The rule knows no words. A voice that stays loud becomes the usual one within half a minute; a microphone's automatic gain
takes part of the loudness away. It moves a puppet's face; it is no recognition of anybody's feelings.

Sound is mono at 16 kHz in -1...1. Causal, without a clock: what it says depends on the samples pushed so far and on nothing else, also not
on how they were cut into pieces.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from renderer.emotion import NEUTRAL, Emotion
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Float

HOP_SAMPLES = 640
WINDOW_SAMPLES = 1024
HOP_S = HOP_SAMPLES / SAMPLE_RATE_HZ
PRESENT_S, USUAL_S = 1.2, 20.0
"""Time constants of the two averages, in seconds of voice."""
LEARNING_S = 2.0
"""Of voice, before there is a usual to compare with."""
PAUSE_S, RELAX_S = 0.4, 1.5
STRANGER_S = 3.0
"""Of voice that is not the usual one: then it is another speaker, or another microphone, and all is learned anew."""
LEVEL_UNIT_DB, PITCH_UNIT_SEMITONES = 6.0, 4.0
DEAD_SHARE = 0.2
"""Of a unit: speech varies by so much without meaning it."""

LEAST_LEVEL_DB = -60.0
"""Of full scale: below, nobody speaks."""
LEVEL_RANGE_DB = 25.0
"""Below the usual level: what is softer is the room, or somebody else."""
LEAST_CLARITY = 0.6
"""Of the autocorrelation at the pitch's period, against lag 0: below, the sound has no pitch."""
MAX_PITCH_JUMP_SEMITONES = 9.0
"""From the usual pitch. A period taken twice or halved is an octave off and must not count."""
LEAST_PITCH_HZ, MOST_PITCH_HZ = 60.0, 500.0
FIRST_PEAK_SHARE = 0.85
"""Of the highest peak: the first one that reaches this is the period, the others are its multiples."""
DECIMATION = 4
SEMITONES_AN_OCTAVE = 12.0


class VoiceEmotion:
    """Follows one speaker; see the module for the rule."""

    def __init__(self) -> None:
        self._sound = np.zeros(WINDOW_SAMPLES - HOP_SAMPLES, np.float32)
        """What the next window needs, and what has come since."""
        self._usual = self._present = (0.0, 0.0)
        """Level in dB and pitch in semitones above 1 Hz."""
        self._voice_s = self._pause_s = self._strange_s = 0.0
        self.emotion = NEUTRAL
        """What the voice says now."""

    def push(self, samples: Float[np.ndarray, " n_samples"]) -> None:
        """Hear the next samples."""
        self._sound = np.concatenate([self._sound, samples.astype(np.float32, copy=False)])
        while len(self._sound) >= WINDOW_SAMPLES:
            self._listen(voice_of(self._sound[:WINDOW_SAMPLES]))
            self._sound = self._sound[HOP_SAMPLES:]

    def _listen(self, voice: tuple[float, float] | None) -> None:
        if voice is not None and self._is_the_speaker(voice):
            self._voice_s += HOP_S
            self._pause_s = self._strange_s = 0.0
            # A plain mean at first, so that the beginning weighs no more than what follows.
            self._usual = _towards(self._usual, voice, HOP_S / min(self._voice_s, USUAL_S))
            self._present = _towards(self._present, voice, HOP_S / min(self._voice_s, PRESENT_S))
        else:
            self._pause_s += HOP_S
            self._strange_s += HOP_S if voice is not None else 0.0
            if self._strange_s > STRANGER_S:
                self._voice_s = self._strange_s = 0.0
            if self._pause_s > PAUSE_S:
                self._present = _towards(self._present, self._usual, HOP_S / RELAX_S)
        self.emotion = self._rule() if self._voice_s >= LEARNING_S else NEUTRAL

    def _is_the_speaker(self, voice: tuple[float, float]) -> bool:
        if self._voice_s < LEARNING_S:
            return True
        (level, pitch), (usual_level, usual_pitch) = voice, self._usual
        return level > usual_level - LEVEL_RANGE_DB and abs(pitch - usual_pitch) < MAX_PITCH_JUMP_SEMITONES

    def _rule(self) -> Emotion:
        louder = (self._present[0] - self._usual[0]) / LEVEL_UNIT_DB
        higher = (self._present[1] - self._usual[1]) / PITCH_UNIT_SEMITONES
        strength = (min(abs(louder), abs(higher)) - DEAD_SHARE) / (1.0 - DEAD_SHARE)
        if strength <= 0.0:
            return NEUTRAL
        if louder > 0.0:
            category = "happy" if higher > 0.0 else "angry"
        else:
            category = "fearful" if higher > 0.0 else "sad"
        return Emotion(category, min(1.0, strength))


def _towards(value: tuple[float, float], goal: tuple[float, float], share: float) -> tuple[float, float]:
    share = min(1.0, share)
    return value[0] + share * (goal[0] - value[0]), value[1] + share * (goal[1] - value[1])


_RATE_HZ = SAMPLE_RATE_HZ / DECIMATION
_LENGTH = WINDOW_SAMPLES // DECIMATION
_SHORTEST, _LONGEST = int(_RATE_HZ / MOST_PITCH_HZ), int(_RATE_HZ / LEAST_PITCH_HZ)
"""Periods, in samples of the decimated sound."""
_TAPER = np.hanning(_LENGTH).astype(np.float32)


def _autocorrelation(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " lags"]:
    spectrum = np.fft.rfft(values, 2 * _LENGTH)
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[: _LONGEST + 2]


_TAPER_CORRELATION = _autocorrelation(_TAPER)


def voice_of(window: Float[np.ndarray, " 1024"]) -> tuple[float, float] | None:
    """Level in dB of full scale and pitch in semitones above 1 Hz of 64 ms of sound; None where it is not voiced.

    The pitch is the period at which the sound resembles itself most: the autocorrelation of the tapered window divided by the taper's own
    (Boersma 1993).
    """
    level = 10.0 * math.log10(float(np.mean(np.square(window))) + 1e-12)
    if level < LEAST_LEVEL_DB:
        return None
    sound = window.reshape(_LENGTH, DECIMATION).mean(1)
    correlation = _autocorrelation(_TAPER * (sound - sound.mean()))
    if correlation[0] <= 0.0:
        return None
    resemblance = correlation / correlation[0] / (_TAPER_CORRELATION / _TAPER_CORRELATION[0])
    inner = resemblance[_SHORTEST : _LONGEST + 1]
    is_peak = (inner >= resemblance[_SHORTEST - 1 : _LONGEST]) & (inner > resemblance[_SHORTEST + 1 : _LONGEST + 2])
    highest = float(inner[is_peak].max(initial=0.0))
    if highest < LEAST_CLARITY:
        return None
    lag = _SHORTEST + int(np.argmax(is_peak & (inner >= FIRST_PEAK_SHARE * highest)))
    left, middle, right = (float(value) for value in resemblance[lag - 1 : lag + 2])
    curvature = left - 2.0 * middle + right
    period = lag + (0.5 * (left - right) / curvature if curvature < 0.0 else 0.0)
    return level, SEMITONES_AN_OCTAVE * math.log2(_RATE_HZ / period)
