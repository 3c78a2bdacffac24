"""Text to speech with exact phone times, through libespeak-ng.

Time base: seconds from the first sample of the utterance. Audio is mono int16 at espeak-ng's own rate
(`Utterance.rate_hz`, 22050 Hz) or, from `Utterance.at_16_khz`, float32 in -1...1 at 16 kHz.
espeak-ng reports a voiceless stop at its burst; here the phone starts with its closure, CLOSURE_S earlier.
The library keeps one global state, so `SpeechSynthesizer` is one to a process, and not for several threads. Repeating a
sentence in one process gives slightly other samples; the same calls in a fresh process give the same bytes.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.phones import ESPEAK_TO_PHONES, SILENCE, VOICELESS_CLOSURES
from renderer.errors import BackendUnavailable, BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float32, Int16

SPEECH_RATE_HZ = 16000
CLOSURE_S = 0.035
MIN_PHONE_S = 0.020

# Constants of espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 0x0001
_INITIALIZE_DONT_EXIT = 0x8000
_EVENT_LIST_TERMINATED = 0
_EVENT_PHONEME = 7
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_PARAMETER_RANGE = 4

MIN_RATE_WPM, MAX_RATE_WPM = 80, 450
MAX_PITCH = 99


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class PhoneInterval:
    """One phone of an utterance."""

    start_s: float
    """first moment, in seconds from the utterance's start"""
    end_s: float
    """the next phone's start"""
    phone: str
    """a name in `editing.phones.PHONES`"""


@dataclass(frozen=True)
class Utterance:
    """Synthesised speech and its phones; the phones cover the whole sound without gaps."""

    text: str
    """what was asked for"""
    voice: str
    """espeak-ng's name of the voice, e.g. en-us+f2"""
    rate_hz: int
    """sample rate of `samples`"""
    samples: Int16[np.ndarray, " n_samples"]
    """mono PCM"""
    phones: tuple[PhoneInterval, ...]
    """in order of time"""
    unknown_mnemonics: tuple[str, ...]
    """espeak-ng names missing from the table; taken for AH (vowels) or silence"""

    @property
    def duration_s(self) -> float:
        """Length of the sound in seconds."""
        return len(self.samples) / self.rate_hz

    def at_16_khz(self) -> Float32[np.ndarray, " n_samples_16k"]:
        """The sound as float32 in -1...1 at 16 kHz."""
        from scipy.signal import resample_poly

        divisor = gcd(SPEECH_RATE_HZ, self.rate_hz)
        samples = self.samples.astype(np.float32) / 32768.0
        resampled = resample_poly(samples, SPEECH_RATE_HZ // divisor, self.rate_hz // divisor)
        return np.asarray(np.clip(resampled, -1.0, 1.0), dtype=np.float32)


class SpeechSynthesizer:
    """libespeak-ng behind one method, `say`."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self._library: Any = ctypes.CDLL(name)
        except OSError as error:
            raise BackendUnavailable("libespeak-ng not found; install it with: apt-get install espeak-ng") from error
        options = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_DONT_EXIT
        self.rate_hz: int = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, None, options)
        if self.rate_hz <= 0:
            raise BackendUnavailable("libespeak-ng has no voice data; install it with: apt-get install espeak-ng-data")
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._chunks: list[Int16[np.ndarray, " n_chunk"]] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _Callback(self._collect)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, n_samples: int, events: Any) -> int:
        if samples and n_samples > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        index = 0
        while events[index].type != _EVENT_LIST_TERMINATED:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                # All eight bytes may be used, so the string need not end in a zero.
                mnemonic = ctypes.string_at(ctypes.addressof(event.id), 8).split(b"\0")[0]
                self._events.append((event.sample, mnemonic.decode("utf-8", "replace")))
            index += 1
        return 0

    def variants(self) -> tuple[str, ...]:
        """Names of the installed voice variants, e.g. f2, m3, klatt4: `voice` may be "en-us+NAME"."""
        return self._list_voices(_Voice(languages=b"variant"))

    def languages(self) -> tuple[str, ...]:
        """Language codes that can be spoken, e.g. en-us, en-gb-x-rp."""
        return self._list_voices(None)

    def check_voices(self, voices: Sequence[str]) -> None:
        """BadInput if one of the voices does not exist."""
        for voice in voices:
            self._set_voice(voice)

    def _list_voices(self, wanted: _Voice | None) -> tuple[str, ...]:
        voices = self._library.espeak_ListVoices(ctypes.byref(wanted) if wanted else None)
        names: list[str] = []
        index = 0
        while voices[index]:
            voice = voices[index].contents
            if wanted:
                names.append(voice.identifier.decode("utf-8").rsplit("/", 1)[-1])
            elif not voice.identifier.startswith(b"mb/"):  # mbrola voices need data of their own
                names.append(voice.languages[1:].decode("utf-8"))  # the first byte is a priority
            index += 1
        return tuple(sorted(set(names)))

    def say(self, text: str, voice: str = "en-us", rate_wpm: int = 170, pitch: int = 50, pitch_range: int = 50) -> Utterance:
        """Speak `text`; the rate is in words a minute, pitch and its range are espeak-ng's 0...99."""
        if not MIN_RATE_WPM <= rate_wpm <= MAX_RATE_WPM:
            raise BadInput(f"speech rate {rate_wpm} words/min is outside {MIN_RATE_WPM}...{MAX_RATE_WPM}")
        if not (0 <= pitch <= MAX_PITCH and 0 <= pitch_range <= MAX_PITCH):
            raise BadInput(f"pitch {pitch} and pitch range {pitch_range} must lie in 0...{MAX_PITCH}")
        if not text.strip():
            raise BadInput("there is no text to speak; give at least one word")
        self._set_voice(voice)
        self._library.espeak_SetParameter(_PARAMETER_RATE, rate_wpm, 0)
        self._library.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
        self._library.espeak_SetParameter(_PARAMETER_RANGE, pitch_range, 0)
        self._chunks.clear()
        self._events.clear()
        encoded = text.encode("utf-8")
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._chunks:
            raise BadInput(f"espeak-ng made no sound of {text!r}; give words it can pronounce")
        samples = np.concatenate(self._chunks)
        phones, unknown = intervals_from_events(self._events, self.rate_hz, len(samples))
        return Utterance(text, voice, self.rate_hz, samples, phones, unknown)

    def _set_voice(self, voice: str) -> None:
        language, _, variant = voice.partition("+")
        # espeak-ng ignores an unknown variant silently, so it is checked here.
        if variant and variant not in self.variants():
            raise BadInput(f"unknown voice variant {variant!r} in {voice!r}; known: {', '.join(self.variants())}")
        if language not in self.languages():
            raise BadInput(f"unknown voice {voice!r}; list the voices with: espeak-ng --voices=en")
        name = voice.encode("utf-8")
        if self._library.espeak_SetVoiceByName(name) == 0:
            return
        # Codes that are not also file names (en-gb) are found by their properties, as espeak-ng's own command does.
        if self._library.espeak_SetVoiceByProperties(ctypes.byref(_Voice(languages=name))) != 0:
            raise BadInput(f"espeak-ng cannot load voice {voice!r}; list the voices with: espeak-ng --voices=en")


def intervals_from_events(events: list[tuple[int, str]], rate_hz: int, n_samples: int) -> tuple[tuple[PhoneInterval, ...], tuple[str, ...]]:
    """Phone intervals (and the mnemonics not known) from espeak-ng's (sample, mnemonic) events."""
    starts: list[tuple[float, tuple[str, ...]]] = [(0.0, (SILENCE,))]
    unknown: list[str] = []
    for sample, mnemonic in events:
        if mnemonic in ("", ";"):  # terminators and palatalisation marks carry no time of their own
            continue
        phones = ESPEAK_TO_PHONES.get(mnemonic)
        if phones is None:
            unknown.append(mnemonic)
            phones = ("AH",) if mnemonic[0] in "@aeiouAEIOUV03" else (SILENCE,)
        start_s = sample / rate_hz
        previous_s, previous_phones = starts[-1]
        if phones[0] in VOICELESS_CLOSURES and previous_phones != (SILENCE,):
            start_s = start_s - CLOSURE_S
            if start_s < previous_s + MIN_PHONE_S:
                start_s = previous_s + min(MIN_PHONE_S, max(0.0, sample / rate_hz - previous_s))
        starts.append((max(start_s, previous_s), phones))
    duration_s = n_samples / rate_hz
    intervals: list[PhoneInterval] = []
    for index, (start_s, phones) in enumerate(starts):
        if phones == (SILENCE,) and intervals and intervals[-1].phone == SILENCE:
            start_s = intervals.pop().start_s
        end_s = min(starts[index + 1][0] if index + 1 < len(starts) else duration_s, duration_s)
        width_s = (end_s - start_s) / len(phones)
        if width_s <= 0.0:
            continue
        for part, phone in enumerate(phones):
            part_end_s = end_s if part + 1 == len(phones) else start_s + width_s * (part + 1)
            intervals.append(PhoneInterval(start_s + width_s * part, part_end_s, phone))
    return tuple(intervals), tuple(unknown)
