"""The training corpus: labels that fit the sound, text without digits, changed voices."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from editing.audio_encoder import corpus, voices
from editing.audio_encoder.sentences import (
    DIGIT_WORDS,
    ENDINGS,
    OBJECTS,
    OPENINGS,
    SUBJECTS,
    VERBS,
    WHOLE,
    few_words,
    random_sentence,
    usable_words,
)
from editing.audio_encoder.voice_change import VoiceChange
from editing.audio_encoder.voices import LABEL_SAMPLES, NO_LABEL, EspeakVoices, LabelledSpeech, labels_of_segments
from editing.phones import PHONE_INDEX, PHONES, SILENCE
from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
needs_festival = pytest.mark.skipif(shutil.which("festival") is None, reason="festival is not installed")


@pytest.fixture(scope="module")
def espeak() -> EspeakVoices:
    return EspeakVoices()


def level_by_label(speech: LabelledSpeech) -> np.ndarray:
    """RMS of every 10 ms."""
    return np.sqrt((speech.samples.reshape(-1, LABEL_SAMPLES) ** 2).mean(1))


def check(speech: LabelledSpeech) -> None:
    """What holds of every utterance: lengths, range, quiet silence, loud vowels, noisy S."""
    assert len(speech.samples) == len(speech.labels) * LABEL_SAMPLES
    assert speech.samples.dtype == np.float32 and np.abs(speech.samples).max() <= 1
    known = speech.labels[speech.labels != NO_LABEL]
    assert len(known) and known.max() < len(PHONES)
    level = level_by_label(speech)
    vowels = np.isin(speech.labels, [PHONE_INDEX[p] for p in ("AA", "AE", "AY", "IY", "EY", "OW", "EH")])
    silent = speech.labels == PHONE_INDEX[SILENCE]
    assert np.median(level[vowels]) > 5 * np.median(level[silent])


def test_labels_of_segments_divides_shared_segments() -> None:
    labels = labels_of_segments([(0.0, (SILENCE,)), (0.1, ("AA", "R")), (0.3, ()), (0.4, ("S",))], 0.5)
    expected = [0] * 10 + [PHONE_INDEX["AA"]] * 10 + [PHONE_INDEX["R"]] * 10 + [NO_LABEL] * 10 + [PHONE_INDEX["S"]] * 10
    assert labels.tolist() == expected


def test_espeak_labels_fit_the_sound(espeak: EspeakVoices) -> None:
    speech = espeak.english("She sees a sea lion, and a big map of Asia.", "en-us+m3", 160, 50, 50)
    check(speech)
    # A hiss crosses zero more often than a vowel does: times are right, not only names.
    pieces = speech.samples.reshape(-1, LABEL_SAMPLES)
    crossings = (np.diff(np.sign(pieces), axis=1) != 0).mean(1)
    hiss, vowel = speech.labels == PHONE_INDEX["S"], speech.labels == PHONE_INDEX["IY"]
    assert np.median(crossings[hiss]) > 2 * np.median(crossings[vowel])


def test_espeak_foreign_voices_use_our_phones(espeak: EspeakVoices) -> None:
    for language in voices.OTHER_LANGUAGES:
        speech = espeak.foreign("beautiful machine fever", f"{language}+f4", 170, 50, 50)
        assert len(speech.labels) > 50
        assert (speech.labels == NO_LABEL).mean() < 0.5, language
        assert (speech.labels == PHONE_INDEX["M"]).any(), language


def test_espeak_variants_for_training_exclude_held_out_ones(espeak: EspeakVoices) -> None:
    trained = espeak.natural_variants()
    assert len(trained) > 50
    assert not set(trained) & set(voices.HELD_OUT_VARIANTS)
    assert set(voices.HELD_OUT_VARIANTS) <= set(espeak.variants())


@needs_flite
def test_flite_labels_fit_the_sound(tmp_path: Path) -> None:
    speech = voices.flite("The old man saw a map.", "slt", 1.0, 170.0, 20.0, tmp_path / "s.wav")
    assert speech is not None
    check(speech)


@needs_festival
def test_festival_labels_fit_the_sound(tmp_path: Path) -> None:
    spoken = voices.festival(["The old man saw a map."] * 2, ["kal_diphone"] * 2, [1.0, 1.3], tmp_path)
    assert len(spoken) == 2
    for speech in spoken:
        check(speech)
    assert len(spoken[1].samples) > 1.15 * len(spoken[0].samples)


def test_sentences_never_hold_a_digit(tmp_path: Path) -> None:
    dictionary = tmp_path / "words.dict"
    dictionary.write_text("seven S EH V AH N\nboat B OW T\nzero Z IH R OW\nit's IH T S\na AH\nmap M AE P\n")
    words = usable_words(dictionary)
    assert words == ("boat", "map")
    rng = random.Random(0)
    for text in (random_sentence, few_words):
        spoken = {word.strip(".,?!").lower() for _ in range(3000) for word in text(rng, words).split()}
        assert not spoken & DIGIT_WORDS
    for phrase in (*SUBJECTS, *VERBS, *OBJECTS, *ENDINGS, *OPENINGS, *WHOLE):
        assert not {word.strip(".,?!").lower() for word in phrase.split()} & DIGIT_WORDS


def test_voice_change_moves_formants_and_keeps_time() -> None:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    pulses = (np.diff(np.floor(time_s * 110), prepend=0) > 0).astype(np.float32)
    formant = np.exp(-np.arange(400) / 60) * np.sin(2 * np.pi * 1000 * np.arange(400) / SAMPLE_RATE_HZ)
    voice = np.convolve(pulses, formant)[:SAMPLE_RATE_HZ].astype(np.float32)
    voice[: SAMPLE_RATE_HZ // 2] = 0
    generator = np.random.default_rng(0)

    def peak_hz(sound: np.ndarray) -> float:
        spectrum = np.abs(np.fft.rfft(sound[SAMPLE_RATE_HZ // 2 :])) ** 2
        hertz = np.fft.rfftfreq(SAMPLE_RATE_HZ // 2, 1 / SAMPLE_RATE_HZ)
        near = (hertz > 500) & (hertz < 2000)
        return float((spectrum[near] * hertz[near]).sum() / spectrum[near].sum())

    same = VoiceChange().applied(voice, generator)
    np.testing.assert_allclose(same, voice, atol=0.02)
    higher = VoiceChange(formant_scale=1.2).applied(voice, generator)
    assert 1.1 < peak_hz(higher) / peak_hz(voice) < 1.3
    whispered = VoiceChange(breath=1.0).applied(voice, generator)
    for changed in (higher, whispered):
        assert np.abs(changed[: SAMPLE_RATE_HZ // 2 - 600]).max() < 0.02 * np.abs(changed).max()


def test_voice_change_rejects_impossible_settings() -> None:
    for settings in ({"formant_scale": 3.0}, {"breath": 2.0}, {"bend": (0.1,)}):
        with pytest.raises(ValueError):
            VoiceChange(**settings)


@needs_flite
def test_words_said_alone_are_slow_and_between_pauses(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    lengths = {}
    for name in ("flite", "flite_words"):
        corpus.make_shard(corpus.Source(name, shards=1, hours=20 / 3600, share=1.0, changed=0.0), 0, 3, tmp_path)
        labels = corpus.load_source(tmp_path, name).labels
        borders = np.flatnonzero(np.diff(labels)) + 1
        runs = np.diff(np.concatenate([[0], borders, [len(labels)]]))
        silent = labels[np.concatenate([[0], borders])] == PHONE_INDEX[SILENCE]
        lengths[name] = np.median(runs[~silent]), labels[labels == PHONE_INDEX[SILENCE]].size / labels.size
    assert lengths["flite_words"][0] > 1.2 * lengths["flite"][0]
    assert lengths["flite_words"][1] > 1.5 * lengths["flite"][1]


def test_make_shard_is_repeatable_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    source = corpus.Source("espeak", shards=1, hours=8 / 3600, share=1.0, changed=0.5)
    path = corpus.make_shard(source, 0, 7, tmp_path)
    recording = corpus.load_source(tmp_path, "espeak")
    assert len(recording.samples) >= 8 * SAMPLE_RATE_HZ
    before = path.stat().st_mtime_ns
    corpus.make_shard(source, 0, 7, tmp_path)
    assert path.stat().st_mtime_ns == before
    assert not list(tmp_path.glob("*.tmp*"))


def test_load_source_rejects_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no shard of 'espeak'"):
        corpus.load_source(tmp_path, "espeak")
    with pytest.raises(BadInput, match="unknown corpus source"):
        corpus.make_shard(corpus.Source("parrot", 1, 1.0, 1.0, 0.0), 0, 0, tmp_path)


def test_held_phones_last_longer_and_keep_their_labels() -> None:
    from editing.audio_encoder.held_phones import FADE_SAMPLES, with_held_phone

    murmur = PHONE_INDEX["M"]
    labels = np.array([PHONE_INDEX["AA"]] * 20 + [murmur] * 10 + [0] * 20, np.uint8)
    time_s = np.arange(len(labels) * LABEL_SAMPLES) / SAMPLE_RATE_HZ
    sound = 0.2 * np.sin(2 * np.pi * 125 * time_s) * (np.repeat(labels, LABEL_SAMPLES) != 0)
    longer, longer_labels = with_held_phone(sound.astype(np.float32), labels, np.random.default_rng(3))
    assert len(longer) == len(longer_labels) * LABEL_SAMPLES
    held = int((longer_labels == murmur).sum())
    assert held > 10
    assert (longer_labels[:20] == PHONE_INDEX["AA"]).all() and (longer_labels[20 : 20 + held] == murmur).all()
    assert not longer_labels[20 + held :].any() and len(longer_labels) == 40 + held
    level = np.abs(longer).reshape(-1, LABEL_SAMPLES).max(1)
    assert level[20 : 20 + held].min() > 0.2 * 10 ** (-20 / 20)
    assert level[21 + held :].max() == 0
    # Repetitions join without a click: no step is larger than the sine's own.
    assert np.abs(np.diff(longer[: (20 + held) * LABEL_SAMPLES - FADE_SAMPLES])).max() < 0.2 * 2 * np.pi * 125 / SAMPLE_RATE_HZ * 2


def test_held_phones_leave_sound_without_any_alone() -> None:
    from editing.audio_encoder.held_phones import with_held_phone

    silent = np.zeros(50 * LABEL_SAMPLES, np.float32), np.zeros(50, np.uint8)
    sound, labels = with_held_phone(*silent, np.random.default_rng(0))
    assert len(sound) == 50 * LABEL_SAMPLES and len(labels) == 50
