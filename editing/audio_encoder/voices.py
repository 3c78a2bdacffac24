"""The synthesisers behind the training corpus, and how their phone names become ours.

Every function returns a `LabelledSpeech`: float32 mono samples in -1...1 at 16 kHz and a phone index (see
`editing.phones`) for every 10 ms, or `NO_LABEL` where the sound has no counterpart among our phones.
espeak-ng runs in this process; flite and festival are run as commands.
"""

from __future__ import annotations

import re
import subprocess
import wave
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from editing.phones import ESPEAK_TO_PHONES, PHONE_INDEX, SILENCE, VOICELESS_CLOSURES
from editing.speech_synthesis import CLOSURE_S, MIN_PHONE_S, SpeechSynthesizer
from renderer.errors import BackendUnavailable
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float32, UInt8

LABEL_SAMPLES = 160  # 10 ms
NO_LABEL = 255

# Spoken with variants, accents, rates and pitches; variants of HELD_OUT_VARIANTS are never trained on.
ENGLISH_ACCENTS = (
    ("en-us",) * 6
    + ("en-gb",) * 3
    + (
        "en-gb-x-rp",
        "en-gb-scotland",
        "en-029",
        "en-gb-x-gbclan",
        "en-gb-x-gbcwmd",
        "en-us-nyc",
    )
)
HELD_OUT_VARIANTS = ("f2", "m5", "Annie", "quincy", "linda", "klatt3", "Gene", "rob", "steph2", "Andy")
# Whispering, robotic and comic variants, whose sounds are too far from a person's.
_UNNATURAL_VARIANTS = re.compile(r"whisper|croak|Robot|robosoft|Demonic|serious|fast|announcer", re.IGNORECASE)
_LANGUAGES = "de fr-fr es it nl pl pt pt-br sv da nb fi cs hu tr id ro es-419 sw eu ca sk hr et lt sq af is la eo"
OTHER_LANGUAGES = tuple(_LANGUAGES.split(" "))
FLITE_VOICES = ("awb", "rms", "slt", "awb", "rms", "slt", "awb", "rms", "slt", "kal16")
FESTIVAL_ENGLISH = {"cmu_us_slt_arctic_hts": 6, "kal_diphone": 2}
FESTIVAL_OTHER = {
    "lp_diphone": 2,
    "pc_diphone": 2,
    "czech_dita": 2,
    "czech_krb": 1,
    "czech_machac": 2,
    "czech_ph": 2,
    "suo_fi_lj_diphone": 2,
    "hy_fi_mv_diphone": 2,
    "upc_ca_ona_hts": 3,
    "msu_ru_nsh_clunits": 1,
}
HELD_OUT_FESTIVAL = "ked_diphone"

# Names of the other languages' voices where they differ in meaning from the English ones. Vowels go to the English one
# with the most similar lips; what has none is left out of the loss.
_FOREIGN: dict[str, str] = {
    "AA": "a aa a: A A: a1 V ay",
    "EH": "e E e1 E1 E: ee ae e2",
    "IY": "i i: i1 ii ï",
    "UW": "u u: u1 uu y y: yy u- u-: ur UR W W: Y Y: 2 2: 7 7: Yy Wy",
    "AO": "o o: O o1 O1 O: oo O1: VU",
    "AH": "@ ax @: 8 6",
    "EY": "eI ei e:",
    "OW": "oU ou",
    "AY": "aI ai",
    "AW": "aU au",
    "OY": "oI OI oi OY",
    "UW IY": "uI ui",
    "EH UW": "eU eu",
    "P": "p pp p:",
    "B": "b bb b:",
    "T": "t tt t: t; t~ t[",
    "D": "d dd d: d; d~ d[",
    "K": "k kk k: q c",
    "G": "g gg g:",
    "F": "f ff f:",
    "V": "v vv v: v#",
    "TH": "T T:",
    "DH": "D D:",
    "S": "s ss s: s; s^",
    "Z": "z zz z: z;",
    "SH": "S sh sch S; s~ sx S:",
    "ZH": "Z zh Z; z~ Z:",
    "CH": "tS ch c~ tS;",
    "JH": "dZ dz~ dZ;",
    "T S": "ts",
    "D Z": "dz",
    "HH": "h hh <h> x x2 X C",
    "M": "m mm m: m#",
    "N": "n nn n: n; nf",
    "N Y": "n~ n^ J",
    "NG": "N ng n* N:",
    "L": "l ll l: l; l# L: l/",
    "L Y": "l^ L",
    "R": "r rr r: r; r~ r~* r# r* R2",
    "W": "w w2",
    "Y": "j J^ j:",
    SILENCE: "# pau _ _: _| _! _;",
}
# Czech festival voices write "c" and "j" for other sounds than espeak-ng's names do.
_CZECH = {"c": "T S", "n~": "N Y", "ch": "HH"}


def _table(groups: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(phones.split()) for phones, names in groups.items() for name in names.split()}


FOREIGN_TO_PHONES: dict[str, tuple[str, ...]] = _table(_FOREIGN)
CZECH_TO_PHONES = {**FOREIGN_TO_PHONES, **{name: tuple(phones.split()) for name, phones in _CZECH.items()}}
ENGLISH_TO_PHONES: dict[str, tuple[str, ...]] = {
    **{phone: (phone,) for phone in PHONE_INDEX},
    "AX": ("AH",),
    "AXR": ("ER",),
    "PAU": (SILENCE,),
    "H#": (SILENCE,),
    "BRTH": (SILENCE,),
}

Segment = tuple[float, tuple[str, ...]]
"""A start in seconds and the phones that follow until the next segment; no phones: unknown."""


@dataclass(frozen=True)
class LabelledSpeech:
    """One utterance of the corpus."""

    samples: Float32[np.ndarray, " n_samples"]
    """16 kHz, -1...1; a whole number of 10 ms."""
    labels: UInt8[np.ndarray, " n_labels"]
    """Phone index of every 10 ms, or NO_LABEL."""


def labels_of_segments(segments: Sequence[Segment], duration_s: float) -> UInt8[np.ndarray, " n_labels"]:
    """Phone index of every 10 ms; phones that share a segment divide it evenly."""
    per_second = SAMPLE_RATE_HZ // LABEL_SAMPLES
    labels = np.zeros(int(duration_s * per_second), np.uint8)
    for index, (start_s, phones) in enumerate(segments):
        end_s = segments[index + 1][0] if index + 1 < len(segments) else duration_s
        if not phones:
            labels[round(start_s * per_second) : round(end_s * per_second)] = NO_LABEL
        for part, phone in enumerate(phones):
            first = start_s + (end_s - start_s) * part / len(phones)
            last = start_s + (end_s - start_s) * (part + 1) / len(phones)
            labels[max(0, round(first * per_second)) : round(last * per_second)] = PHONE_INDEX[phone]
    return labels


def labelled(samples: np.ndarray, rate_hz: int, segments: Sequence[Segment]) -> LabelledSpeech:
    """Bring int16 samples of any rate and their segments to the corpus' form."""
    from scipy.signal import resample_poly

    speech = samples.astype(np.float32) / 32768.0
    labels = labels_of_segments(segments, len(samples) / rate_hz)
    if rate_hz != SAMPLE_RATE_HZ:
        divisor = gcd(SAMPLE_RATE_HZ, rate_hz)
        speech = resample_poly(speech, SAMPLE_RATE_HZ // divisor, rate_hz // divisor).astype(np.float32)
    n_labels = min(len(speech) // LABEL_SAMPLES, len(labels))
    return LabelledSpeech(np.clip(speech[: n_labels * LABEL_SAMPLES], -1.0, 1.0), labels[:n_labels])


class EspeakVoices(SpeechSynthesizer):
    """espeak-ng with English and foreign tables; one to a process."""

    def natural_variants(self) -> tuple[str, ...]:
        """Variants that may be trained on."""
        return tuple(
            name for name in self.variants() if not _UNNATURAL_VARIANTS.search(name) and name not in HELD_OUT_VARIANTS and " " not in name
        )

    def english(self, text: str, voice: str, rate_wpm: int, pitch: int, pitch_range: int) -> LabelledSpeech:
        """Speak `text` with an English voice."""
        utterance = self.say(text, voice, rate_wpm, pitch, pitch_range)
        segments = [(interval.start_s, (interval.phone,)) for interval in utterance.phones]
        return labelled(utterance.samples, utterance.rate_hz, segments)

    def foreign(self, text: str, voice: str, rate_wpm: int, pitch: int, pitch_range: int) -> LabelledSpeech:
        """Speak `text` with the letter-to-sound rules and phones of another language."""
        utterance = self.say(text, voice, rate_wpm, pitch, pitch_range)
        segments: list[Segment] = [(0.0, (SILENCE,))]
        for sample, name in self._events:
            if name in ("", ";") or name.startswith("("):  # marks without a duration of their own
                continue
            phones = FOREIGN_TO_PHONES.get(name) or ESPEAK_TO_PHONES.get(name) or ()
            start_s = sample / utterance.rate_hz
            previous_s, previous_phones = segments[-1]
            if phones and phones[0] in VOICELESS_CLOSURES and previous_phones != (SILENCE,):
                start_s = max(start_s - CLOSURE_S, min(previous_s + MIN_PHONE_S, start_s))
            segments.append((start_s, phones))
        return labelled(utterance.samples, utterance.rate_hz, segments)


def _read_wav(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), np.int16), sound.getframerate()


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, check=False).stdout.decode("utf-8", "replace")
    except FileNotFoundError as error:
        raise BackendUnavailable(f"{command[0]} not found; install it with: apt-get install {command[0]}") from error


def flite(text: str, voice: str, stretch: float, pitch_hz: float, pitch_deviation_hz: float, wav: Path) -> LabelledSpeech | None:
    """Speak `text` with flite (`wav` is a scratch file); None where it made no sound."""
    options = {
        "duration_stretch": stretch,
        "int_f0_target_mean": pitch_hz,
        "int_f0_target_stddev": pitch_deviation_hz,
    }
    settings = [part for name, value in options.items() for part in ("--setf", f"{name}={value:.2f}")]
    printed = _run(["flite", "-voice", voice, *settings, "-psdur", "-t", text, "-o", str(wav)])
    segments: list[Segment] = []
    start_s = 0.0
    for token in printed.split():
        name, colon, end = token.rpartition(":")
        if colon:
            segments.append((start_s, ENGLISH_TO_PHONES.get(name.upper(), ())))
            start_s = float(end)
    if not segments or not wav.exists():
        return None
    return labelled(*_read_wav(wav), segments)


def festival(texts: Sequence[str], voices: Sequence[str], stretches: Sequence[float], folder: Path) -> list[LabelledSpeech]:
    """Speak each text with its voice in one festival process, with scratch files in `folder`."""
    script = folder / "speak.scm"
    lines: list[str] = []
    for index, (text, voice, stretch) in enumerate(zip(texts, voices, stretches, strict=True)):
        if index == 0 or voice != voices[index - 1]:
            lines.append(f"(voice_{voice})")
        lines += [
            f"(Parameter.set 'Duration_Stretch {stretch:.2f})",
            f'(set! utt (utt.synth (Utterance Text "{text}")))',
            f'(utt.save.wave utt "{folder / str(index)}.wav")',
            f'(utt.save.segs utt "{folder / str(index)}.lab")',
        ]
    script.write_text("\n".join(lines), encoding="utf-8")
    _run(["festival", "-b", str(script)])
    spoken: list[LabelledSpeech] = []
    for index, voice in enumerate(voices):
        wav, lab = folder / f"{index}.wav", folder / f"{index}.lab"
        if not (wav.exists() and lab.exists()):
            continue
        english = voice in FESTIVAL_ENGLISH or voice == HELD_OUT_FESTIVAL
        segments: list[Segment] = []
        start_s = 0.0
        for line in lab.read_text(encoding="utf-8").splitlines():
            columns = line.split()
            if len(columns) == 3:
                end, _, name = columns
                if english:
                    phones = ENGLISH_TO_PHONES.get(name.upper(), ())
                else:
                    phones = (CZECH_TO_PHONES if voice.startswith("czech") else FOREIGN_TO_PHONES).get(name, ())
                segments.append((start_s, phones))
                start_s = float(end)
        samples, rate_hz = _read_wav(wav)
        if len(samples) and segments:
            spoken.append(labelled(samples, rate_hz, segments))
        wav.unlink()
        lab.unlink()
    return spoken
