"""Phones of real speech, by forced alignment with pocketsphinx' US English model: the reference that results are held to.

Time base: seconds from the first sample. The recogniser works on 10 ms frames; its phone borders are good to about 20 ms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.phones import PHONE_INDEX, SILENCE
from editing.speech_synthesis import PhoneInterval
from renderer.audio.framing import CENTRE_SAMPLES, STEP_SAMPLES, steps_in_sound
from renderer.errors import BackendUnavailable, BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64

_FRAME_S = 0.01
_WORD = re.compile(r"([a-z']+)(?:\{([a-z ]+)\})?")
# Wide, so that a forced alignment survives a poor recording.
_BEAM, _WORD_BEAM = 1e-80, 1e-60


@dataclass(frozen=True)
class TranscriptWord:
    """One spoken word."""

    spelling: str
    phones: str | None = None
    """Its pronunciation ("D IH JH IY AH M") where the dictionary has none."""


def words_of(transcript: str) -> list[TranscriptWord]:
    """Words without punctuation. Numbers must be written out; an unusual word's phones follow it in braces."""
    if re.search(r"\d", transcript):
        raise BadInput("the transcript holds digits; write numbers out as they are spoken")
    found = _WORD.findall(transcript.lower())
    return [TranscriptWord(spelling, phones.upper() or None) for spelling, phones in found]


def recognised_words(samples: Float[np.ndarray, " n_samples"]) -> list[TranscriptWord]:
    """What pocketsphinx hears: for recordings without a transcript."""
    decoder = _decoder(language_model="en-us.lm.bin")
    _hear(decoder, samples)
    hypothesis = decoder.hyp()
    return words_of(hypothesis.hypstr) if hypothesis else []


def aligned_phones(samples: Float[np.ndarray, " n_samples"], words: Sequence[TranscriptWord]) -> list[PhoneInterval]:
    """Phones of `words` where they were spoken, with the silences between them."""
    if not words:
        raise BadInput("there are no words to align; give a transcript")
    decoder = _decoder()
    for word in words:
        if word.phones:
            decoder.add_word(word.spelling, word.phones, True)
    unknown = sorted({word.spelling for word in words if decoder.lookup_word(word.spelling) is None})
    if unknown:
        raise BadInput(f"pocketsphinx does not know {', '.join(unknown)}; add the phones, for example digium{{D IH JH IY AH M}}")
    decoder.set_align_text(" ".join(word.spelling for word in words))
    try:
        _hear(decoder, samples)
        decoder.set_alignment()
        _hear(decoder, samples)
    except RuntimeError as error:
        raise BadInput("the transcript cannot be aligned with the sound; are they of the same recording?") from error
    phones: list[PhoneInterval] = []
    for aligned_word in decoder.get_alignment():
        for phone in aligned_word:
            name = phone.name if phone.name in PHONE_INDEX else SILENCE
            start_s = phone.start * _FRAME_S
            phones.append(PhoneInterval(start_s, start_s + phone.duration * _FRAME_S, name))
    return phones


def phone_of_steps(phones: Sequence[PhoneInterval], n_samples: int) -> Int64[np.ndarray, " n_steps"]:
    """Phone index at the centre of every encoder step; silence outside all intervals."""
    centres_s = (np.arange(steps_in_sound(n_samples)) * STEP_SAMPLES + CENTRE_SAMPLES) / SAMPLE_RATE_HZ
    indices = np.full(len(centres_s), PHONE_INDEX[SILENCE])
    for interval in phones:
        indices[(centres_s >= interval.start_s) & (centres_s < interval.end_s)] = PHONE_INDEX[interval.phone]
    return indices


def _decoder(language_model: str | None = None) -> Any:
    try:
        import pocketsphinx
    except ImportError as error:
        raise BackendUnavailable("alignment needs pocketsphinx: pip install visavis[editing]") from error
    path = str(Path(pocketsphinx.get_model_path("en-us")) / language_model) if language_model else None
    return pocketsphinx.Decoder(
        lm=path,
        loglevel="FATAL",
        beam=_BEAM,
        pbeam=_BEAM,
        wbeam=_WORD_BEAM,
        # The second pass must hear what the first heard, and asks for states that the first gave up.
        cmn="batch",
        compallsen=True,
        bestpath=False,
    )


def _hear(decoder: Any, samples: Float[np.ndarray, " n_samples"]) -> None:
    pcm = (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
