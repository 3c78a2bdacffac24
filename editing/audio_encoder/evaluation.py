"""How good an encoder is, measured through the ONNX file and the streaming code that run live.

All figures are shares of 1 unless a name says otherwise. Encoders with classes other than `PHONES` cannot be measured.
"""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from editing.audio_encoder.corpus import HELD_OUT_ESPEAK, HELD_OUT_SYNTHESISER, load_source
from editing.audio_encoder.reference_alignment import aligned_phones, phone_of_steps, recognised_words, words_of
from editing.audio_encoder.voices import LABEL_SAMPLES, NO_LABEL
from editing.phones import PHONE_INDEX, PHONES, SILENCE, VISEME_OF_PHONE_INDEX, VISEMES
from renderer.audio.framing import CENTRE_SAMPLES, STEP_SAMPLES, look_ahead_of_steps, window_of_steps
from renderer.audio.sound_file import read_sound_file, read_wav_bytes
from renderer.audio.streaming import encode_all
from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float, Float32, Int64

    from renderer.audio.encoder import AudioEncoder

# Pronunciations of the digits; where there are two, the better one counts.
DIGITS: tuple[tuple[str, ...], ...] = (
    ("Z IH R OW", "Z IY R OW"),
    ("W AH N",),
    ("T UW",),
    ("TH R IY",),
    ("F AO R", "F AO"),
    ("F AY V",),
    ("S IH K S",),
    ("S EH V AH N", "S EH V N"),
    ("EY T", "EY"),
    ("N AY N",),
)
ENGLISH_SOURCES = ("espeak", "flite", "festival")
PRIOR_SCALE = 0.6
"""Share of the phones' log-prior that is taken off before Viterbi."""
DIGIT_MARGIN_S = 0.3
AUC_VISEMES = ("closed", "labiodental", "round", "open")
_TIMED_RUNS = 300


@dataclass(frozen=True)
class Accuracy:
    """Of the likeliest phone, over steps with a known one."""

    phone: float
    viseme: float
    steps: int


def step_labels(labels: np.ndarray, n_steps: int) -> Int64[np.ndarray, " n_steps"]:
    """Labels of a corpus recording at the centres of encoder steps."""
    centres = np.arange(n_steps) * STEP_SAMPLES + CENTRE_SAMPLES
    return labels[np.minimum(centres // LABEL_SAMPLES, len(labels) - 1)].astype(np.int64)


def clean_accuracy(encoder: AudioEncoder, corpus: Path, source: str) -> Accuracy:
    """On a held-out source of the corpus, unchanged."""
    recording = load_source(corpus, source)
    features = encode_all(encoder, recording.samples.astype(np.float32) / 32768.0).steps
    truth = step_labels(recording.labels, len(features))
    known = truth != NO_LABEL
    likeliest = features.argmax(1)
    viseme = np.array(VISEME_OF_PHONE_INDEX)
    viseme_scores = viseme_probabilities(features)
    return Accuracy(
        phone=float((likeliest == truth)[known].mean()),
        viseme=float((viseme_scores.argmax(1)[known] == viseme[truth[known]]).mean()),
        steps=int(known.sum()),
    )


def viseme_probabilities(features: Float32[np.ndarray, "n_steps n_phones"]) -> Float32[np.ndarray, "n_steps n_visemes"]:
    """Probabilities of the viseme classes."""
    probabilities = np.exp(features)
    members = np.array(VISEME_OF_PHONE_INDEX)
    return np.stack([probabilities[:, members == index].sum(1) for index in range(len(VISEMES))], axis=1)


def log_prior(corpus: Path) -> Float[np.ndarray, " n_phones"]:
    """Logarithm of the phones' frequencies in the corpus' English."""
    counts = np.full(len(PHONES), 1.0)
    for source in ENGLISH_SOURCES:
        labels = load_source(corpus, source).labels
        counts += np.bincount(labels[labels != NO_LABEL], minlength=len(PHONES))
    return np.asarray(np.log(counts / counts.sum()))


def viterbi_score(scores: Float[np.ndarray, "n_steps n_phones"], phones: str) -> float:
    """Best path through silence (optional), the phones in order, and silence (optional)."""
    states = [PHONE_INDEX[SILENCE], *(PHONE_INDEX[phone] for phone in phones.split()), PHONE_INDEX[SILENCE]]
    best = np.full(len(states), -np.inf)
    best[:2] = scores[0, states[:2]]
    for step in scores[1:]:
        best = np.maximum(best, np.concatenate([[-np.inf], best[:-1]])) + step[states]
    return float(max(best[-1], best[-2]))


def _digit_files(source: Path) -> dict[str, bytes]:
    """Name -> content of `{digit}_{speaker}_{take}.wav` files, from a folder or a ZIP archive."""
    if source.is_dir():
        found = {path.name: path.read_bytes() for path in sorted(source.rglob("[0-9]_*.wav"))}
    else:
        try:
            with zipfile.ZipFile(BytesIO(source.read_bytes())) as archive:
                names = sorted(name for name in archive.namelist() if name.endswith(".wav"))
                found = {name.rsplit("/", 1)[-1]: archive.read(name) for name in names}
        except (OSError, zipfile.BadZipFile) as error:
            raise BadInput(f"digits {source}: a folder or ZIP archive of WAV files is needed ({error})") from error
    if not found:
        raise BadInput(f"digits {source}: no file called DIGIT_SPEAKER_TAKE.wav in it")
    return found


def digit_accuracy(encoder: AudioEncoder, source: Path, prior: Float[np.ndarray, " n_phones"], seed: int = 0) -> dict[str, float]:
    """Spoken digits, the best of ten by Viterbi: for each speaker, for each digit, and for all."""
    generator = np.random.default_rng(seed)
    right: dict[str, list[bool]] = {}
    margin = np.zeros(int(DIGIT_MARGIN_S * SAMPLE_RATE_HZ), np.float32)
    for name, content in _digit_files(source).items():
        digit, speaker = int(name[0]), name.split("_")[1]
        samples = np.concatenate([margin, read_wav_bytes(content, name), margin])
        # Recordings that are cut close have digital silence around them; a microphone never has.
        samples = samples + generator.normal(0.0, 1e-3 * np.abs(samples).max(), len(samples)).astype(np.float32)
        scores = encode_all(encoder, samples).steps - PRIOR_SCALE * prior
        best = int(np.argmax([max(viterbi_score(scores, phones) for phones in ways) for ways in DIGITS]))
        for key in ("all", speaker, str(digit)):
            right.setdefault(key, []).append(best == digit)
    return {key: float(np.mean(values)) for key, values in sorted(right.items())}


def area_under_curve(scores: Float[np.ndarray, " n"], positive: np.ndarray) -> float:
    """Probability that a positive scores higher than a negative (ties count half)."""
    from scipy.stats import rankdata

    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not (n_positive and n_negative):
        raise BadInput("an area under the curve needs steps both inside and outside the class")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def continuous_speech(encoder: AudioEncoder, wav: Path, transcript: str | None) -> dict[str, float]:
    """Real speech against a forced alignment (of what pocketsphinx hears, where there is no transcript)."""
    samples = read_sound_file(wav)
    words = words_of(transcript) if transcript is not None else recognised_words(samples)
    truth = phone_of_steps(aligned_phones(samples, words), len(samples))
    features = encode_all(encoder, samples).steps[: len(truth)]
    viseme = np.array(VISEME_OF_PHONE_INDEX)[truth]
    probabilities = viseme_probabilities(features)
    result = {
        "phone_accuracy": float((features.argmax(1) == truth).mean()),
        "viseme_accuracy": float((probabilities.argmax(1) == viseme).mean()),
    }
    for name in AUC_VISEMES:
        index = VISEMES.index(name)
        result[f"auc_{name}"] = area_under_curve(probabilities[:, index], viseme == index)
    return result


def cost_ms(encoder: AudioEncoder) -> dict[str, float]:
    """Wall time of one 40 ms step on one thread."""
    window = np.random.default_rng(0).normal(0.0, 0.1, (1, encoder.spec.window_samples)).astype(np.float32)
    times_ms = []
    for _ in range(_TIMED_RUNS):
        start_s = time.perf_counter()
        encoder.encode_windows(window)
        times_ms.append((time.perf_counter() - start_s) * 1e3)
    return {"median_ms": float(np.median(times_ms)), "p95_ms": float(np.percentile(times_ms, 95))}


def look_ahead_curve(checkpoint: Path, corpus: Path, n_windows: int = 600) -> list[dict[str, float]]:
    """Accuracy on the held-out sources against what a step hears after its centre, from a run's network."""
    import torch

    from editing.audio_encoder.export import ExportConfig
    from editing.audio_encoder.network import NetworkConfig, frame_logits, normalised
    from editing.audio_encoder.training import UNCHANGED, WindowDrawer, averaged_network

    geometry = ExportConfig()
    network = averaged_network([checkpoint], NetworkConfig())
    rows: dict[int, dict[str, float]] = {}
    for source in (HELD_OUT_ESPEAK, HELD_OUT_SYNTHESISER):
        drawer = WindowDrawer({source: load_source(corpus, source)}, {source: 1.0}, UNCHANGED)
        windows, phones, _ = drawer.draw(n_windows, window_of_steps(geometry.window_steps), np.random.default_rng(0))
        with torch.no_grad():
            likeliest = frame_logits(network, normalised(torch.from_numpy(windows))).argmax(-1).numpy()
        known = phones != NO_LABEL
        for future in range(11):
            column = geometry.window_steps - 1 - future
            row = rows.setdefault(future, {"look_ahead_ms": look_ahead_of_steps(future) * 1000 / SAMPLE_RATE_HZ})
            row[source] = float((likeliest == phones)[:, column][known[:, column]].mean())
    return list(rows.values())


def evaluate(
    encoder: AudioEncoder,
    corpus: Path | None,
    digits: Path | None,
    speech: Path | None,
    transcript: str | None,
) -> dict[str, object]:
    """Everything that can be measured with what is given; `None` where something is missing."""
    if encoder.spec.labels != PHONES:
        raise BadInput(f"encoder {encoder.spec.id!r} has other classes than the project's phones; it cannot be measured so")
    report: dict[str, object] = {
        "sha256": encoder.spec.sha256,
        "look_ahead_ms": encoder.spec.look_ahead_ms,
        "window_ms": encoder.spec.window_samples * 1000 / SAMPLE_RATE_HZ,
        "cost": cost_ms(encoder),
        "held_out_voices": None,
        "unseen_synthesiser": None,
        "digits": None,
        "continuous_speech": None,
    }
    if corpus is not None:
        for key, source in (("held_out_voices", HELD_OUT_ESPEAK), ("unseen_synthesiser", HELD_OUT_SYNTHESISER)):
            report[key] = vars(clean_accuracy(encoder, corpus, source))
        if digits is not None:
            report["digits"] = digit_accuracy(encoder, digits, log_prior(corpus))
    if speech is not None:
        report["continuous_speech"] = continuous_speech(encoder, speech, transcript)
    return report
