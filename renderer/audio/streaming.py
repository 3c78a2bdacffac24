"""Encoding a stream of sound hop by hop, and whole recordings through the same windows.

Live and offline see the same windows, so their features agree, whatever the sizes of the chunks. The stream's first
sample is sample 0; before it, and in gaps between chunks, there are zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from renderer.audio.framing import steps_in_sound
from renderer.types import AudioChunk, AudioFeatures

if TYPE_CHECKING:
    from jaxtyping import Float, Float32

    from renderer.audio.encoder import AudioEncoder

GAP_HOPS = 32
"""Hops of silence that a gap is heard in at a time, which bounds the memory."""


class StreamingEncoder:
    """Turns chunks into features as soon as their look-ahead has been heard.

    Holds at most one window and one hop of sound beside the chunk that is being pushed. A chunk that begins later than
    the last one ended leaves a gap of zeros; one that begins earlier is an error of the caller.
    """

    def __init__(self, encoder: AudioEncoder) -> None:
        self._encoder = encoder
        spec = encoder.spec
        self._hop = 0
        # Always the sound from the next window's first sample to the last sample heard.
        self._first_sample = spec.window_end(0) - spec.window_samples
        self._sound = np.zeros(max(0, -self._first_sample), np.float32)

    @property
    def next_sample(self) -> int:
        """Index of the sample that follows the last one heard."""
        return self._first_sample + len(self._sound)

    @property
    def next_step(self) -> int:
        """Index of the step that comes out next."""
        return self._hop * self._encoder.spec.hop_steps

    def push(self, chunk: AudioChunk) -> AudioFeatures:
        """Hear a chunk; returns the features that are complete now, perhaps none."""
        return AudioFeatures(*self._push(chunk.samples, chunk.first_sample))

    def flush(self) -> AudioFeatures:
        """End the stream: the steps centred on sound that was heard, with zeros for the sound after it.

        The last hop may reach past the end by a step, which is given as well. Nothing can be pushed afterwards.
        """
        spec = self._encoder.spec
        heard = self.next_sample
        hops = -(-steps_in_sound(heard) // spec.hop_steps)
        if hops <= self._hop:
            return AudioFeatures(self._nothing(), self.next_step)
        missing = spec.window_end(hops - 1) - heard
        return AudioFeatures(*self._push(np.zeros(max(0, missing), np.float32), heard))

    def _nothing(self) -> Float32[np.ndarray, "0 feature_dim"]:
        return np.zeros((0, self._encoder.spec.feature_dim), np.float32)

    def _push(self, samples: Float[np.ndarray, " n_samples"], first_sample: int) -> tuple[Float32[np.ndarray, "n_steps feature_dim"], int]:
        spec = self._encoder.spec
        gap = first_sample - self.next_sample
        if gap < 0:
            raise ValueError(f"a chunk begins at sample {first_sample}; {self.next_sample} was expected")
        hop_samples = spec.hop_steps * spec.step_samples
        first_step = self.next_step
        pieces: list[Float32[np.ndarray, "n hop_steps feature_dim"]] = []
        # A long gap is heard in pieces, so that it cannot take more memory than a chunk does.
        while gap > 0:
            part = min(gap, GAP_HOPS * hop_samples)
            self._sound = np.concatenate([self._sound, np.zeros(part, np.float32)])
            pieces.append(self._encode_due(hop_samples))
            gap -= part
        self._sound = np.concatenate([self._sound, np.asarray(samples, np.float32)])
        pieces.append(self._encode_due(hop_samples))
        return np.concatenate(pieces).reshape(-1, spec.feature_dim), first_step

    def _encode_due(self, hop_samples: int) -> Float32[np.ndarray, "n hop_steps feature_dim"]:
        size = self._encoder.spec.window_samples
        due = max(0, (len(self._sound) - size) // hop_samples + 1)
        if not due:
            return np.zeros((0, self._encoder.spec.hop_steps, self._encoder.spec.feature_dim), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._sound, size)[::hop_samples][:due]
        features = self._encoder.encode_windows(windows)
        self._sound = self._sound[due * hop_samples :].copy()
        self._first_sample += due * hop_samples
        self._hop += due
        return features


def encode_all(encoder: AudioEncoder, samples: Float[np.ndarray, " n_samples"]) -> AudioFeatures:
    """Features of a whole recording: every step centred on its sound, in whole hops; zeros follow its end."""
    stream = StreamingEncoder(encoder)
    heard = stream.push(AudioChunk(samples, 0))
    rest = stream.flush()
    return AudioFeatures(np.concatenate([heard.steps, rest.steps]), 0)
