"""The stream against the whole recording, and what a step may depend on."""

from __future__ import annotations

import numpy as np
import pytest

from renderer.audio.encoder import AudioEncoder
from renderer.audio.framing import CENTRE_SAMPLES, STEP_SAMPLES
from renderer.audio.streaming import StreamingEncoder, encode_all
from renderer.types import SAMPLE_RATE_HZ, AudioChunk


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    return AudioEncoder.bundled()


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    """Bursts of a buzzing voice with moving formants, and pauses."""
    generator = np.random.default_rng(seed)
    n = int(seconds * SAMPLE_RATE_HZ)
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    voice = np.sign(np.sin(2 * np.pi * 120 * time_s)) * (1 + np.sin(2 * np.pi * 900 * time_s * (1 + 0.2 * np.sin(5 * time_s))))
    envelope = np.clip(np.sin(2 * np.pi * 3 * time_s) + 0.3, 0, 1)
    return (0.1 * voice * envelope + generator.normal(0, 0.003, n)).astype(np.float32)


def stream(encoder: AudioEncoder, samples: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Push `samples` in chunks of the given sizes, over and over, checking that steps follow on."""
    streaming = StreamingEncoder(encoder)
    position, pieces, turn = 0, [], 0
    while position < len(samples):
        size = sizes[turn % len(sizes)]
        features = streaming.push(AudioChunk(samples[position : position + size], position))
        assert features.first_step == sum(len(piece) for piece in pieces)
        pieces.append(features.steps)
        position += size
        turn += 1
    rest = streaming.flush()
    assert rest.first_step == sum(len(piece) for piece in pieces)
    return np.concatenate([*pieces, rest.steps])


@pytest.mark.parametrize("sizes", [[320], [640], [1], [7, 1600, 0, 333, 5000], [48_000]])
def test_streaming_matches_whole_recording(encoder: AudioEncoder, sizes: list[int]) -> None:
    samples = speech_like(0.4 if sizes == [1] else 2.0)
    whole = encode_all(encoder, samples)
    assert whole.first_step == 0
    np.testing.assert_allclose(stream(encoder, samples, sizes), whole.steps, atol=1e-3)


def test_streaming_matches_whole_recording_at_every_moment(encoder: AudioEncoder) -> None:
    """What a stream has said after each push is a beginning of what the whole recording gives."""
    samples = speech_like(1.5)
    whole = encode_all(encoder, samples).steps
    streaming = StreamingEncoder(encoder)
    for first in range(0, len(samples), 640):
        features = streaming.push(AudioChunk(samples[first : first + 640], first))
        heard = min(first + 640, len(samples))
        np.testing.assert_allclose(features.steps, whole[features.first_step :][: len(features.steps)], atol=1e-3)
        last_centre = (streaming.next_step - 1) * STEP_SAMPLES + CENTRE_SAMPLES
        spec = encoder.spec
        # Everything whose look-ahead was heard is out: no more than a hop is held back.
        assert heard - last_centre < spec.look_ahead_samples + spec.hop_steps * STEP_SAMPLES
        if streaming.next_step:
            assert heard - last_centre >= spec.look_ahead_samples


def test_encode_all_covers_the_sound_with_whole_hops(encoder: AudioEncoder) -> None:
    for n_samples in (0, 1, 201, 640, 16_000):
        steps = encode_all(encoder, np.zeros(n_samples, np.float32)).steps
        needed = max(0, -(-(n_samples - CENTRE_SAMPLES) // STEP_SAMPLES))
        assert len(steps) % encoder.spec.hop_steps == 0
        assert needed <= len(steps) < needed + encoder.spec.hop_steps


def test_steps_do_not_depend_on_sound_after_their_look_ahead(encoder: AudioEncoder) -> None:
    samples = speech_like(2.0)
    changed = samples.copy()
    cut = 17_000
    changed[cut:] = np.random.default_rng(1).normal(0, 0.3, len(samples) - cut)
    before, after = encode_all(encoder, samples).steps, encode_all(encoder, changed).steps
    spec = encoder.spec
    hops_done = sum(spec.window_end(hop) <= cut for hop in range(len(before) // spec.hop_steps))
    same = hops_done * spec.hop_steps
    np.testing.assert_array_equal(before[:same], after[:same])
    assert np.abs(before[same:] - after[same:]).max() > 0.1
    # The first step that the change may reach is within the look-ahead (and the hop's other step) of it.
    last_centre = (same - 1) * STEP_SAMPLES + CENTRE_SAMPLES
    assert cut - last_centre < spec.look_ahead_samples + spec.hop_steps * STEP_SAMPLES


def test_streaming_encoder_fills_gaps_with_zeros(encoder: AudioEncoder) -> None:
    samples = speech_like(1.0)
    gap = 5 * SAMPLE_RATE_HZ
    streaming = StreamingEncoder(encoder)
    pieces = [streaming.push(AudioChunk(samples, 0)).steps]
    pieces.append(streaming.push(AudioChunk(samples, len(samples) + gap)).steps)
    pieces.append(streaming.flush().steps)
    filled = np.concatenate([samples, np.zeros(gap, np.float32), samples])
    np.testing.assert_allclose(np.concatenate(pieces), encode_all(encoder, filled).steps, atol=1e-3)


def test_streaming_encoder_rejects_sound_heard_before(encoder: AudioEncoder) -> None:
    streaming = StreamingEncoder(encoder)
    streaming.push(AudioChunk(np.zeros(640, np.float32), 0))
    with pytest.raises(ValueError, match="640 was expected"):
        streaming.push(AudioChunk(np.zeros(640, np.float32), 320))


def test_streaming_encoder_memory_is_bounded(encoder: AudioEncoder) -> None:
    streaming = StreamingEncoder(encoder)
    held = []
    for index in range(300):
        streaming.push(AudioChunk(np.zeros(320, np.float32), index * 320))
        held.append(len(streaming._sound))
    assert max(held) <= encoder.spec.window_samples + encoder.spec.hop_steps * STEP_SAMPLES
