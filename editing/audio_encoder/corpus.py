"""The training corpus: hours of synthetic speech with a phone label every 10 ms, made in minutes.

A corpus is a folder of shards `SOURCE_NN.npz` (samples int16 at 16 kHz, labels uint8, one label to `LABEL_SAMPLES`
samples). A shard is written when it is complete, so an interrupted run goes on with the missing ones. Sources whose
name begins with `held_` are never trained on: espeak-ng variants kept back, and a synthesiser kept back.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from editing.audio_encoder import voices
from editing.audio_encoder.sentences import few_words, random_sentence, random_word_list, usable_words
from editing.audio_encoder.voice_change import VoiceChange
from editing.audio_encoder.voices import LABEL_SAMPLES, EspeakVoices, LabelledSpeech
from renderer.errors import BackendUnavailable, BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jaxtyping import Int16, UInt8

HELD_OUT_ESPEAK = "held_espeak"
HELD_OUT_SYNTHESISER = "held_ked"
MIN_UTTERANCE_S = 0.4
SLOW_STRETCHES = (1.1, 2.0)
"""Range of how much longer than usual the phones of words said alone are."""


@dataclass(frozen=True)
class Source:
    """A kind of speech in the corpus."""

    name: str
    """part of the shards' file names"""
    shards: int
    """how many pieces are made, each by one process"""
    hours: float
    """sound in each shard"""
    share: float
    """how often training draws from this source, relative to the others; 0: held out"""
    changed: float
    """probability that an utterance's voice is changed (see `voice_change`)"""


DEFAULT_SOURCES = (
    Source(HELD_OUT_ESPEAK, shards=1, hours=0.12, share=0.0, changed=0.0),
    Source(HELD_OUT_SYNTHESISER, shards=1, hours=0.08, share=0.0, changed=0.0),
    Source("espeak", shards=12, hours=0.5, share=0.34, changed=0.3),
    Source("flite", shards=12, hours=0.3, share=0.32, changed=0.75),
    Source("festival", shards=6, hours=0.25, share=0.14, changed=0.6),
    Source("foreign_festival", shards=6, hours=0.25, share=0.11, changed=0.5),
    Source("foreign_espeak", shards=4, hours=0.4, share=0.09, changed=0.3),
    Source("espeak_words", shards=2, hours=0.35, share=0.06, changed=0.6),
    Source("flite_words", shards=2, hours=0.35, share=0.08, changed=0.75),
    Source("festival_words", shards=2, hours=0.3, share=0.05, changed=0.6),
)


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    try:
        import pocketsphinx
    except ImportError as error:
        raise BackendUnavailable("the word list comes with pocketsphinx: pip install visavis[editing]") from error
    return usable_words(Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")))


@lru_cache(maxsize=1)
def _espeak() -> EspeakVoices:
    return EspeakVoices()


def _drawn_espeak(rng: random.Random) -> tuple[int, int, int]:
    return rng.randint(115, 265), rng.randint(10, 95), rng.randint(15, 95)


def _espeak_english(rng: random.Random, variants: tuple[str, ...]) -> Iterator[LabelledSpeech]:
    while True:
        text = " ".join(random_sentence(rng, _words()) for _ in range(rng.randint(1, 2)))
        voice = f"{rng.choice(voices.ENGLISH_ACCENTS)}+{rng.choice(variants)}"
        yield _espeak().english(text, voice, *_drawn_espeak(rng))


def _espeak_words(rng: random.Random) -> Iterator[LabelledSpeech]:
    variants = _espeak().natural_variants()
    while True:
        voice = f"{rng.choice(voices.ENGLISH_ACCENTS)}+{rng.choice(variants)}"
        yield _espeak().english(few_words(rng, _words()), voice, rng.randint(80, 150), rng.randint(10, 95), rng.randint(15, 95))


def _espeak_foreign(rng: random.Random) -> Iterator[LabelledSpeech]:
    variants = _espeak().natural_variants()
    while True:
        voice = f"{rng.choice(voices.OTHER_LANGUAGES)}+{rng.choice(variants)}"
        yield _espeak().foreign(random_word_list(rng, _words()), voice, *_drawn_espeak(rng))


def _flite(
    rng: random.Random, text: Callable[[random.Random, Sequence[str]], str], fastest: float, slowest: float
) -> Iterator[LabelledSpeech]:
    with tempfile.TemporaryDirectory() as scratch:
        while True:
            spoken = voices.flite(
                text(rng, _words()),
                rng.choice(voices.FLITE_VOICES),
                rng.uniform(fastest, slowest),
                rng.uniform(75, 240),
                rng.uniform(8, 35),
                Path(scratch) / "speech.wav",
            )
            if spoken is not None:
                yield spoken


def _festival(
    rng: random.Random,
    names: list[str],
    text: Callable[[random.Random, Sequence[str]], str],
    fastest: float = 0.7,
    slowest: float = 1.35,
) -> Iterator[LabelledSpeech]:
    batch = 40  # utterances to a process: loading a voice takes half a second
    while True:
        voice = rng.choice(names)
        texts = [text(rng, _words()) for _ in range(batch)]
        with tempfile.TemporaryDirectory() as scratch:
            stretches = [rng.uniform(fastest, slowest) for _ in texts]
            yield from voices.festival(texts, [voice] * batch, stretches, Path(scratch))


def _weighted(names: dict[str, int]) -> list[str]:
    return [name for name, weight in names.items() for _ in range(weight)]


def _maker(source: str) -> Callable[[random.Random], Iterator[LabelledSpeech]]:
    makers: dict[str, Callable[[random.Random], Iterator[LabelledSpeech]]] = {
        "espeak": lambda rng: _espeak_english(rng, _espeak().natural_variants()),
        HELD_OUT_ESPEAK: lambda rng: _espeak_english(rng, voices.HELD_OUT_VARIANTS),
        "foreign_espeak": _espeak_foreign,
        "espeak_words": _espeak_words,
        "flite": lambda rng: _flite(rng, random_sentence, 0.75, 1.35),
        "flite_words": lambda rng: _flite(rng, few_words, *SLOW_STRETCHES),
        "festival": lambda rng: _festival(rng, _weighted(voices.FESTIVAL_ENGLISH), random_sentence),
        "festival_words": lambda rng: _festival(rng, _weighted(voices.FESTIVAL_ENGLISH), few_words, *SLOW_STRETCHES),
        "foreign_festival": lambda rng: _festival(rng, _weighted(voices.FESTIVAL_OTHER), random_word_list),
        HELD_OUT_SYNTHESISER: lambda rng: _festival(rng, [voices.HELD_OUT_FESTIVAL], random_sentence),
    }
    if source not in makers:
        raise BadInput(f"unknown corpus source {source!r}; known: {', '.join(sorted(makers))}")
    return makers[source]


def make_shard(source: Source, index: int, seed: int, folder: Path) -> Path:
    """Make one shard, unless it is there already."""
    path = folder / f"{source.name}_{index:02d}.npz"
    if path.exists():
        return path
    rng = random.Random(f"{seed} {source.name} {index}")
    generator = np.random.default_rng(rng.getrandbits(63))
    samples: list[Int16[np.ndarray, " n"]] = []
    labels: list[UInt8[np.ndarray, " n"]] = []
    wanted = source.hours * 3600 * SAMPLE_RATE_HZ
    made = 0
    for speech in _maker(source.name)(rng):
        if len(speech.samples) < MIN_UTTERANCE_S * SAMPLE_RATE_HZ:
            continue
        sound = speech.samples
        if generator.random() < source.changed:
            sound = VoiceChange.drawn(generator).applied(sound, generator)
        samples.append(np.clip(sound * 32767.0, -32768, 32767).astype(np.int16))
        labels.append(speech.labels)
        made += len(sound)
        if made >= wanted:
            break
    unfinished = path.with_suffix(".tmp.npz")
    np.savez(unfinished, samples=np.concatenate(samples), labels=np.concatenate(labels))
    unfinished.rename(path)
    return path


def _make(job: tuple[Source, int, int, Path]) -> Path:
    return make_shard(*job)


def make_corpus(folder: Path, sources: tuple[Source, ...] = DEFAULT_SOURCES, processes: int = 2, seed: int = 0) -> list[Path]:
    """Make every missing shard; returns all of them."""
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    _words()  # a missing word list is said here, once
    jobs = [(source, index, seed, folder) for source in sources for index in range(source.shards)]
    with get_context("spawn").Pool(processes) as pool:
        return list(tqdm(pool.imap_unordered(_make, jobs), total=len(jobs), unit="shard", desc="corpus"))


@dataclass(frozen=True)
class Recording:
    """All sound of one source, end to end."""

    samples: Int16[np.ndarray, " n_samples"]
    labels: UInt8[np.ndarray, " n_labels"]

    @property
    def hours(self) -> float:
        """Length of the sound."""
        return len(self.samples) / SAMPLE_RATE_HZ / 3600


def load_source(folder: Path, source: str) -> Recording:
    """Read all shards of a source."""
    paths = sorted(folder.glob(f"{source}_[0-9][0-9].npz"))
    if not paths:
        raise BadInput(f"no shard of {source!r} in {folder}; make it with: python -m editing audio-encoder corpus")
    parts = [np.load(path) for path in paths]
    recording = Recording(np.concatenate([part["samples"] for part in parts]), np.concatenate([part["labels"] for part in parts]))
    if len(recording.samples) != len(recording.labels) * LABEL_SAMPLES:
        raise BadInput(f"{folder}: samples and labels of {source!r} do not match; delete its shards and make them again")
    return recording
