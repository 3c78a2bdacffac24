"""From phones to movement: articulation curves, blinks, head motion.

Time base: seconds from the take's start. Picture k shows the mouth at exactly k / FPS; phones of the same moment are
heard then, without any offset.

Everything visible on the head of a plain take is a function of speech, blink and head pose: gaze is fixed to the head,
brows and smile rest, and the torso follows the pose. A radiance field conditioned on those three can then learn it.
`Expression` adds life (gaze, brows, emotion) for people who want a lively video instead.

Coarticulation follows Cohen and Massaro: each phone segment has targets and a dominance that falls off in time, and a
curve is the dominance-weighted mean of the targets. Closures (m, b, p) and lip-teeth contact (f, v) are laid over it as
pulses that always hold long enough for at least one picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from editing.phones import PHONE_INDEX, SILENCE, VISEME_OF_PHONE_INDEX, VOICELESS_CLOSURES, VOWELS
from editing.speech_synthesis import CLOSURE_S, PhoneInterval
from editing.synthesize.emotions import EVERY_EMOTION, EmotionTrack, check_emotion, held, in_turn
from renderer.types import FPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float32, Float64, Int16

CHANNELS = ("jaw", "wide", "pucker", "upper_raise", "lower_drop", "tongue", "tongue_out")
_N = len(CHANNELS)

# Targets and dominances of a segment, one number a channel. A consonant that does not care about a channel has little
# dominance there, so that its neighbours show through.
_TARGETS: dict[str, tuple[float, ...]] = {
    #      jaw   wide  puck  upper lower tong  out
    "AA": (0.80, 0.00, 0.00, 0.00, 0.00, 0.00, 0.0),
    "AE": (0.62, 0.35, 0.00, 0.15, 0.20, 0.00, 0.0),
    "AH": (0.40, 0.05, 0.00, 0.00, 0.05, 0.05, 0.0),
    "AO": (0.55, 0.00, 0.45, 0.00, 0.00, 0.00, 0.0),
    "EH": (0.44, 0.30, 0.00, 0.10, 0.20, 0.05, 0.0),
    "ER": (0.22, 0.00, 0.40, 0.10, 0.15, 0.20, 0.0),
    "IH": (0.24, 0.45, 0.00, 0.15, 0.20, 0.10, 0.0),
    "IY": (0.15, 0.85, 0.00, 0.25, 0.30, 0.15, 0.0),
    "UH": (0.27, 0.00, 0.50, 0.00, 0.05, 0.00, 0.0),
    "UW": (0.15, 0.00, 0.95, 0.00, 0.00, 0.00, 0.0),
    "W": (0.08, 0.00, 1.00, 0.00, 0.00, 0.00, 0.0),
    "Y": (0.12, 0.55, 0.00, 0.10, 0.15, 0.20, 0.0),
    "R": (0.15, 0.00, 0.45, 0.10, 0.15, 0.20, 0.0),
    "L": (0.27, 0.10, 0.00, 0.05, 0.10, 1.00, 0.0),
    "TH": (0.15, 0.10, 0.00, 0.05, 0.20, 0.00, 1.0),
    "DH": (0.15, 0.10, 0.00, 0.05, 0.20, 0.00, 0.9),
    "T": (0.10, 0.15, 0.00, 0.08, 0.22, 0.80, 0.0),
    "D": (0.10, 0.15, 0.00, 0.08, 0.22, 0.80, 0.0),
    "N": (0.12, 0.15, 0.00, 0.08, 0.18, 0.85, 0.0),
    "S": (0.04, 0.35, 0.00, 0.20, 0.45, 0.15, 0.0),
    "Z": (0.04, 0.30, 0.00, 0.20, 0.42, 0.15, 0.0),
    "SH": (0.07, 0.00, 0.60, 0.35, 0.45, 0.10, 0.0),
    "ZH": (0.07, 0.00, 0.60, 0.32, 0.42, 0.10, 0.0),
    "K": (0.22, 0.05, 0.00, 0.00, 0.10, 0.00, 0.0),
    "G": (0.22, 0.05, 0.00, 0.00, 0.10, 0.00, 0.0),
    "NG": (0.24, 0.05, 0.00, 0.00, 0.08, 0.00, 0.0),
    "HH": (0.30, 0.00, 0.00, 0.00, 0.05, 0.00, 0.0),
    "M": (0.08, 0.00, 0.00, 0.00, 0.00, 0.00, 0.0),
    "F": (0.07, 0.08, 0.00, 0.00, 0.00, 0.00, 0.0),
    SILENCE: (0.0,) * _N,
}
_SAME_AS = {"B": "M", "P": "M", "V": "F", "CH": "SH", "JH": "SH"}
_DIPHTHONGS = {
    "AW": ("AA", "UH"),
    "AY": ("AA", "IH"),
    "EY": ("EH", "IY"),
    "OW": ("AO", "UW"),
    "OY": ("AO", "IH"),
}
_FIRST_PART = 0.55  # share of a diphthong's time in its first vowel

_FULL = (1.35, *(1.0,) * (_N - 1))  # vowels own the jaw
_DOMINANCE: dict[str, tuple[float, ...]] = {
    "L": (0.60, 0.25, 0.15, 0.30, 0.40, 2.0, 1.0),
    "TH": (0.80, 0.30, 0.30, 0.40, 0.60, 1.0, 2.5),
    "DH": (0.80, 0.30, 0.30, 0.40, 0.60, 1.0, 2.5),
    "T": (0.80, 0.20, 0.15, 0.30, 0.50, 1.5, 1.0),
    "D": (0.80, 0.20, 0.15, 0.30, 0.50, 1.5, 1.0),
    "N": (0.70, 0.20, 0.15, 0.30, 0.50, 1.5, 1.0),
    "S": (1.40, 0.40, 0.25, 0.60, 0.90, 1.0, 1.0),
    "Z": (1.40, 0.40, 0.25, 0.60, 0.90, 1.0, 1.0),
    "SH": (1.30, 0.60, 0.90, 1.00, 1.00, 1.0, 1.0),
    "ZH": (1.30, 0.60, 0.90, 1.00, 1.00, 1.0, 1.0),
    "K": (0.45, 0.15, 0.10, 0.20, 0.20, 0.6, 1.0),
    "G": (0.45, 0.15, 0.10, 0.20, 0.20, 0.6, 1.0),
    "NG": (0.45, 0.15, 0.10, 0.20, 0.20, 0.6, 1.0),
    "HH": (0.15, 0.08, 0.08, 0.10, 0.10, 0.3, 0.3),
    "R": (0.70, 0.60, 0.70, 0.40, 0.40, 0.8, 1.0),
    "W": (1.30, 1.00, 2.20, 1.00, 1.00, 1.0, 1.0),
    "M": (0.90, 0.15, 0.15, 0.60, 0.60, 0.6, 1.0),
    "F": (0.90, 0.30, 0.30, 0.60, 0.60, 0.6, 1.0),
    "UW": (1.00, 1.00, 2.00, 1.00, 1.00, 1.0, 1.0),
}
_PAUSE_DOMINANCE = (0.6,) * _N

# How far a segment reaches into the past (anticipation) and the future (carry-over), in seconds: lips round early.
_REACH_BEFORE_S = np.array([0.045, 0.065, 0.095, 0.050, 0.045, 0.040, 0.035])
_REACH_AFTER_S = np.array([0.045, 0.055, 0.065, 0.045, 0.042, 0.035, 0.030])
_FALL_OFF_POWER = 1.6
_CORE_SHARE = 0.25  # each side of the centre: the inner half of a segment has full dominance

# A vowel of this length reaches its full opening; shorter ones undershoot, longer ones open a little more.
_FULL_VOWEL_S = 0.110
_UNDERSHOOT_POWER = 0.45
_UNDERSHOOT_RANGE = (0.60, 1.10)

_CLOSURE_RAMP_S = 0.055
_CONTACT_RAMP_S = 0.055
_HOLD_S = 1.1 / FPS  # longer than a picture, so that at least one picture shows it
MIN_PAUSE_S = 0.150
_PAUSE_CLOSE_S = (-0.030, 0.090)  # lips close from ... to, relative to the pause's start
_PAUSE_OPEN_S = (-0.110, 0.000)  # and open from ... to, relative to its end

_BLINK_GAP_S = (2.0, 6.0)
_BLINK_S = (0.120, 0.250)
_BLINK_SQUINT = 0.25
_LIMITS_DEG = {"yaw": 14.0, "pitch": 7.0, "roll": 5.0}
_SPREAD_DEG = {"yaw": 6.5, "pitch": 2.6, "roll": 2.0}
_SPREAD_UNITS = {"shift_x": 0.025, "shift_y": 0.014, "shift_z": 0.045}
_MOTION_BAND_HZ = (0.04, 0.45)
_MOTION_WAVES = 24
_BREATH_HZ = 0.26
_BREATH_UNITS = 0.010
_NOD_DEG = (1.2, 3.2)
_NOD_WIDTH_S = 0.16


@dataclass(frozen=True)
class Expression:
    """What a take shows beyond speech, blink and pose."""

    emotion: str = "neutral"
    """a name in EMOTION_NAMES, held through the take; or EVERY_EMOTION, one after the other"""
    strength: float = 0.0
    """0 ... 1; of one that is held"""
    lively: bool = False
    """gaze wanders and brows move; such a take is for watching, not for training a plain field"""
    seed: int = 0
    """of the order in which emotions come"""

    def __post_init__(self) -> None:
        check_emotion(self.emotion, self.strength)

    def emotions(self, stretches: Sequence[SpokenStretch], n_frames: int) -> EmotionTrack:
        """Of every picture of a take in which this is said."""
        if self.emotion != EVERY_EMOTION:
            return held(self.emotion, self.strength, n_frames)
        # A stream of its own, so that head and lids move as in a take without emotion.
        rng = np.random.default_rng([self.seed, 2])
        return in_turn([(s.phones[0].start_s, s.phones[-1].end_s) for s in stretches if s.phones], n_frames, rng)


@dataclass(frozen=True)
class SpokenStretch:
    """One sentence on the take's time base."""

    phones: tuple[PhoneInterval, ...]
    """times in the take"""
    loudness_db: float
    """against the usual level; opens the mouth a little more or less"""


@dataclass(frozen=True)
class Performance:
    """Curves of one take, one row a picture."""

    curves: dict[str, Float64[np.ndarray, " n_frames"]]
    """presenter parameters that move, by name; the others rest"""
    viseme: Int16[np.ndarray, " n_frames"]
    """index into VISEMES of the phone heard at the picture's time"""
    emotions: EmotionTrack

    def articulation(
        self, names: Sequence[str], rest: Float32[np.ndarray, " n_parameters"]
    ) -> Float32[np.ndarray, "n_frames n_parameters"]:
        """The presenter's parameters for every picture."""
        rows = np.tile(rest, (len(self.viseme), 1))
        for column, name in enumerate(names):
            if name in self.curves:
                rows[:, column] = self.curves[name]
        return rows


@dataclass(frozen=True)
class _Segment:
    start_s: float
    end_s: float
    target: Float64[np.ndarray, " n_channels"]
    dominance: Float64[np.ndarray, " n_channels"]


def _segments(stretch: SpokenStretch) -> list[_Segment]:
    segments: list[_Segment] = []
    opening = 1.0 + 0.02 * stretch.loudness_db
    for interval in stretch.phones:
        parts = _DIPHTHONGS.get(interval.phone, (interval.phone,))
        duration_s = interval.end_s - interval.start_s
        border_s = interval.start_s + _FIRST_PART * duration_s if len(parts) > 1 else interval.end_s
        for index, part in enumerate(parts):
            start_s, end_s = (interval.start_s, border_s) if index == 0 else (border_s, interval.end_s)
            name = _SAME_AS.get(part, part)
            target = np.array(_TARGETS[name])
            if interval.phone in VOWELS:
                target[0] *= opening * np.clip((duration_s / _FULL_VOWEL_S) ** _UNDERSHOOT_POWER, *_UNDERSHOOT_RANGE)
            dominance = _PAUSE_DOMINANCE if name == SILENCE else _DOMINANCE.get(name, _FULL)
            segments.append(_Segment(start_s, end_s, target, np.array(dominance)))
    return segments


def blended(segments: Sequence[_Segment], times_s: Float64[np.ndarray, " n_frames"]) -> Float64[np.ndarray, "n_frames n_channels"]:
    """Dominance-weighted mean of the segments' targets."""
    weighted = np.zeros((len(times_s), _N))
    weights = np.full((len(times_s), _N), 1e-6)
    for segment in segments:
        centre_s = (segment.start_s + segment.end_s) / 2.0
        core_s = _CORE_SHARE * (segment.end_s - segment.start_s)
        reach = slice(*np.searchsorted(times_s, (segment.start_s - 0.5, segment.end_s + 0.5)))
        offset_s = times_s[reach] - centre_s
        outside_s = np.maximum(np.abs(offset_s) - core_s, 0.0)[:, None]
        width_s = np.where(offset_s[:, None] < 0.0, _REACH_BEFORE_S, _REACH_AFTER_S)
        dominance = segment.dominance * np.exp(-((outside_s / width_s) ** _FALL_OFF_POWER))
        weighted[reach] += dominance * segment.target
        weights[reach] += dominance
    return np.asarray(weighted / weights)


def _smooth(x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))


def _pulse(times_s: Float64[np.ndarray, " n_frames"], start_s: float, end_s: float, ramp_s: float) -> Float64[np.ndarray, " n_frames"]:
    """1 from start to end (at least _HOLD_S), with smooth flanks of ramp_s."""
    missing_s = max(0.0, _HOLD_S - (end_s - start_s))
    start_s, end_s = start_s - missing_s / 2.0, end_s + missing_s / 2.0
    rise = (times_s - (start_s - ramp_s)) / ramp_s
    fall = ((end_s + ramp_s) - times_s) / ramp_s
    return _smooth(np.minimum(rise, fall))


def _closure_window(interval: PhoneInterval, after_silence: bool) -> tuple[float, float]:
    """When the lips of m, b, p are closed. A p after silence is listed from its burst, so it closes before."""
    if interval.phone not in VOICELESS_CLOSURES:
        return interval.start_s + 0.005, interval.end_s - 0.015
    burst_s = interval.start_s if after_silence else interval.start_s + CLOSURE_S
    return burst_s - 1.4 * CLOSURE_S, burst_s


def mouth_curves(stretches: Sequence[SpokenStretch], n_frames: int) -> dict[str, Float64[np.ndarray, " n_frames"]]:
    """Speech parameters of the presenter for every picture."""
    times_s = np.arange(n_frames) / FPS
    phones = [interval for stretch in stretches for interval in stretch.phones]
    curves = blended([segment for stretch in stretches for segment in _segments(stretch)], times_s)
    press, contact = np.zeros(n_frames), np.zeros(n_frames)
    for index, interval in enumerate(phones):
        if interval.phone in ("M", "B", "P"):
            after_silence = index == 0 or phones[index - 1].phone == SILENCE
            press = np.maximum(press, _pulse(times_s, *_closure_window(interval, after_silence), _CLOSURE_RAMP_S))
        elif interval.phone in ("F", "V"):
            contact = np.maximum(contact, _pulse(times_s, interval.start_s + 0.005, interval.end_s - 0.010, _CONTACT_RAMP_S))
    gate = 1.0 - _pause_share(phones, times_s)
    result = {name: curves[:, column] * gate for column, name in enumerate(CHANNELS)}
    result["press"] = press
    result["fv"] = contact * (1.0 - press)
    return result


def _pause_share(phones: Sequence[PhoneInterval], times_s: Float64[np.ndarray, " n_frames"]) -> Float64[np.ndarray, " n_frames"]:
    """1 where the mouth rests closed: in silences longer than MIN_PAUSE_S, and before and after all speech."""
    speech = [interval for interval in phones if interval.phone != SILENCE]
    if not speech:
        return np.ones(len(times_s))
    edges = [(-1.0, speech[0].start_s)]
    edges += [(before.end_s, after.start_s) for before, after in pairwise(speech)]
    edges.append((speech[-1].end_s, float(times_s[-1]) + 1.0 if len(times_s) else 1.0))
    share = np.zeros(len(times_s))
    for start_s, end_s in edges:
        if end_s - start_s < MIN_PAUSE_S:
            continue
        closing = (times_s - (start_s + _PAUSE_CLOSE_S[0])) / (_PAUSE_CLOSE_S[1] - _PAUSE_CLOSE_S[0])
        opening = ((end_s + _PAUSE_OPEN_S[1]) - times_s) / (_PAUSE_OPEN_S[1] - _PAUSE_OPEN_S[0])
        share = np.maximum(share, _smooth(np.minimum(closing, opening)))
    return share


def _blinks(rng: np.random.Generator, times_s: Float64[np.ndarray, " n_frames"]) -> Float64[np.ndarray, " n_frames"]:
    """Lid closure 0 ... 1; every blink shows at least one picture with the eyes shut."""
    closed = np.zeros(len(times_s))
    at_s = rng.uniform(0.6, 2.5)
    while len(times_s) and at_s < times_s[-1]:
        length_s = rng.uniform(*_BLINK_S)
        flank_s = max(0.03, (length_s - _HOLD_S) / 2.0)
        closed = np.maximum(closed, _pulse(times_s, at_s, at_s + _HOLD_S, flank_s))
        at_s += rng.uniform(*_BLINK_GAP_S)
    return closed


def _wander(
    rng: np.random.Generator, times_s: Float64[np.ndarray, " n_frames"], band_hz: tuple[float, float] = _MOTION_BAND_HZ
) -> Float64[np.ndarray, " n_frames"]:
    """Smooth noise of unit variance in a frequency band, stronger at the low end."""
    frequencies = rng.uniform(*band_hz, _MOTION_WAVES)
    phases = rng.uniform(0.0, 2.0 * np.pi, _MOTION_WAVES)
    weights = rng.normal(size=_MOTION_WAVES) / np.sqrt(frequencies)
    waves = np.sin(2.0 * np.pi * frequencies * times_s[:, None] + phases)
    return np.asarray(waves @ weights / np.sqrt(0.5 * np.sum(weights**2)))


def _stressed(stretch: SpokenStretch) -> list[float]:
    """Moments of a sentence that carry weight: its longest vowels, in seconds."""
    vowels = [interval for interval in stretch.phones if interval.phone in VOWELS]
    vowels.sort(key=lambda interval: interval.start_s - interval.end_s)
    return sorted((v.start_s + v.end_s) / 2.0 for v in vowels[: 1 + len(vowels) // 6])


def head_curves(stretches: Sequence[SpokenStretch], n_frames: int, rng: np.random.Generator) -> dict[str, Float64[np.ndarray, " n_frames"]]:
    """Head pose: slow wandering, nods on stressed vowels, breathing (which lifts head and torso together)."""
    times_s = np.arange(n_frames) / FPS
    curves = {name: _SPREAD_DEG[name] * _wander(rng, times_s) for name in _LIMITS_DEG}
    for stretch in stretches:
        for at_s in _stressed(stretch):
            curves["pitch"] += rng.uniform(*_NOD_DEG) * np.exp(-0.5 * ((times_s - at_s) / _NOD_WIDTH_S) ** 2)
    for name, limit in _LIMITS_DEG.items():
        curves[name] = limit * np.tanh(curves[name] / limit)
    for name, spread in _SPREAD_UNITS.items():
        curves[name] = spread * np.clip(_wander(rng, times_s), -2.2, 2.2)
    breath = np.sin(2.0 * np.pi * _BREATH_HZ * times_s + rng.uniform(0.0, 6.0) + 0.4 * _wander(rng, times_s))
    curves["shift_y"] = curves["shift_y"] + _BREATH_UNITS * breath
    curves["pitch"] = curves["pitch"] - 0.3 * breath
    return curves


def _lively_curves(
    stretches: Sequence[SpokenStretch], n_frames: int, rng: np.random.Generator
) -> dict[str, Float64[np.ndarray, " n_frames"]]:
    """Gaze that jumps and settles, brows that stress, a smile that comes and goes."""
    times_s = np.arange(n_frames) / FPS
    curves = {"gaze_x": np.zeros(n_frames), "gaze_y": np.zeros(n_frames)}
    at_s = 0.0
    while at_s < n_frames / FPS:
        hold_s = rng.uniform(0.5, 2.5)
        away = rng.random() < 0.35
        here = (times_s >= at_s) & (times_s < at_s + hold_s)
        curves["gaze_x"][here] = rng.normal(0.0, 8.0 if away else 1.2)
        curves["gaze_y"][here] = rng.normal(0.0, 4.0 if away else 0.8)
        at_s += hold_s
    curves["gaze_x"] = np.clip(curves["gaze_x"], -20.0, 20.0)
    curves["gaze_y"] = np.clip(curves["gaze_y"], -12.0, 12.0)
    raised = 0.12 * _wander(rng, times_s)
    for stretch in stretches:
        for at_s in _stressed(stretch):
            raised += rng.uniform(0.0, 0.45) * np.exp(-0.5 * ((times_s - at_s) / 0.18) ** 2)
    curves["brow_in"] = np.clip(raised, -0.3, 0.8)
    curves["brow_out"] = np.clip(0.8 * raised, -0.3, 0.8)
    curves["smile_extra"] = 0.15 * _wander(rng, times_s, (0.03, 0.2))
    return curves


def perform(
    stretches: Sequence[SpokenStretch],
    n_frames: int,
    rng: np.random.Generator,
    expression: Expression,
    rest_smile: float,
) -> Performance:
    """All curves of a take."""
    times_s = np.arange(n_frames) / FPS
    curves = mouth_curves(stretches, n_frames)
    curves.update(head_curves(stretches, n_frames, rng))
    blink = _blinks(rng, times_s)
    curves["blink_l"] = curves["blink_r"] = blink
    curves["squint"] = _BLINK_SQUINT * blink
    curves["smile"] = np.full(n_frames, rest_smile)
    if expression.lively:
        lively = _lively_curves(stretches, n_frames, rng)
        curves["smile"] = curves["smile"] + lively.pop("smile_extra")
        curves.update(lively)
    emotions = expression.emotions(stretches, n_frames)
    for name, added in emotions.curves.items():
        curves[name] = curves.get(name, np.zeros(n_frames)) + added
    curves["smile"] = np.clip(curves["smile"], -1.0, 1.0)
    for name in ("jaw", "pucker", "press", "fv", "upper_raise", "lower_drop", "tongue", "tongue_out", "squint"):
        curves[name] = np.clip(curves[name], 0.0, 1.0)
    return Performance(curves, _visemes(stretches, times_s), emotions)


def _visemes(stretches: Sequence[SpokenStretch], times_s: Float64[np.ndarray, " n_frames"]) -> Int16[np.ndarray, " n_frames"]:
    visemes = np.zeros(len(times_s), np.int16)
    for stretch in stretches:
        for interval in stretch.phones:
            here = (times_s >= interval.start_s) & (times_s < interval.end_s)
            visemes[here] = VISEME_OF_PHONE_INDEX[PHONE_INDEX[interval.phone]]
    return visemes
