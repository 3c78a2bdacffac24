"""What is said in a take: sentences, voices and pauses laid out on one time base.

Time base: seconds from the take's start; audio is float32 in -1...1 at 16 kHz. The sound is clean: no noise is added.
espeak-ng remembers a little from sentence to sentence, so all speech of a take is made in one fresh process: the same
seed and options give the same samples.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.phones import SILENCE
from editing.speech_synthesis import PhoneInterval, SpeechSynthesizer
from editing.synthesize.performance import SpokenStretch
from editing.synthesize.sentences import SETS
from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Float32

_LEVEL_DBFS = -22.0
_PEAK = 0.9
_LOUDNESS_DB = (-3.0, 3.0)
_PAUSE_S = (0.2, 1.2)
_PAUSE_SHARE = 0.10
_RATE_WPM = (145, 190)
_PITCH = (30, 70)
_PITCH_RANGE = (35, 70)
_FADE_S = 0.02


@dataclass(frozen=True)
class SpokenSentence:
    """One sentence of the transcript."""

    text: str
    """as written"""
    voice: str
    """espeak-ng's name"""
    start_s: float
    """in the take"""
    end_s: float
    """in the take"""
    stretch: SpokenStretch
    """its phones and loudness"""


@dataclass(frozen=True)
class Speech:
    """The sound of a take and who says what when."""

    samples: Float32[np.ndarray, " n_samples"]
    """16 kHz"""
    sentences: tuple[SpokenSentence, ...]
    """in order of time"""


def compose(seconds: float, seed: int, voices: tuple[str, ...], sentence_set: str) -> Speech:
    """Speech of exactly `seconds`; voices change from sentence to sentence."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as executor:
        return executor.submit(_compose, seconds, seed, voices, sentence_set).result()


def _compose(seconds: float, seed: int, voices: tuple[str, ...], sentence_set: str) -> Speech:
    if sentence_set not in SETS:
        raise BadInput(f"unknown sentence set {sentence_set!r}; known: {', '.join(SETS)}")
    if not voices:
        raise BadInput("no voice given; name at least one, e.g. en-us+f2")
    synthesizer = SpeechSynthesizer()
    synthesizer.check_voices(voices)
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * SAMPLE_RATE_HZ)
    samples = np.zeros(n_samples, np.float32)
    sentences: list[SpokenSentence] = []
    at_s, paused_s = rng.uniform(*_PAUSE_S) / 2.0, 0.0
    texts: list[str] = []
    turns: list[str] = []
    while at_s < seconds:
        texts = texts or list(rng.permutation(np.array(SETS[sentence_set], dtype=object)))
        turns = turns or list(rng.permutation(np.array(voices, dtype=object)))
        text, voice = texts.pop(), turns.pop()
        utterance = synthesizer.say(
            text, voice, int(rng.integers(*_RATE_WPM)), int(rng.integers(*_PITCH)), int(rng.integers(*_PITCH_RANGE))
        )
        loudness_db = rng.uniform(*_LOUDNESS_DB)
        sound = _levelled(utterance.at_16_khz(), loudness_db)
        # The take's clock is that of whole samples.
        first = round(at_s * SAMPLE_RATE_HZ)
        start_s = first / SAMPLE_RATE_HZ
        end_s = min(start_s + len(sound) / SAMPLE_RATE_HZ, seconds)
        room = min(len(sound), n_samples - first)
        samples[first : first + room] = sound[:room]
        phones = _shifted(utterance.phones, start_s, end_s)
        sentences.append(SpokenSentence(text, voice, start_s, end_s, SpokenStretch(phones, loudness_db)))
        # Pauses are as long as their share of the take asks for, within their range.
        owed_s = _PAUSE_SHARE / (1.0 - _PAUSE_SHARE) * (end_s - start_s) + 0.5 * (_PAUSE_SHARE * end_s - paused_s)
        pause_s = float(np.clip(owed_s * rng.uniform(0.4, 1.8), *_PAUSE_S))
        paused_s += pause_s
        at_s = end_s + pause_s
    fade = min(n_samples, round(_FADE_S * SAMPLE_RATE_HZ))  # the last sentence may be cut off
    samples[n_samples - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return Speech(samples, tuple(sentences))


def _levelled(sound: Float32[np.ndarray, " n"], loudness_db: float) -> Float32[np.ndarray, " n"]:
    level = float(np.sqrt(np.mean(sound**2)) + 1e-9)
    gain = 10.0 ** ((_LEVEL_DBFS + loudness_db) / 20.0) / level
    return sound * np.float32(min(gain, _PEAK / float(np.max(np.abs(sound)) + 1e-9)))


def _shifted(phones: tuple[PhoneInterval, ...], start_s: float, end_s: float) -> tuple[PhoneInterval, ...]:
    """The phones on the take's time base, cut at end_s; outer silences are left to the pauses."""
    moved = [PhoneInterval(p.start_s + start_s, min(p.end_s + start_s, end_s), p.phone) for p in phones]
    moved = [p for p in moved if p.end_s > p.start_s]
    while moved and moved[0].phone == SILENCE:
        moved.pop(0)
    while moved and moved[-1].phone == SILENCE:
        moved.pop()
    return tuple(moved)
