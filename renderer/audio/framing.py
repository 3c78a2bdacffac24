"""Which samples belong to which step: the time base of every encoder here.

Step i of the stream is centred on sample i * 320 + 200 (wav2vec 2.0: a receptive field of 400 samples, one every 320), so
there are 50 steps a second. A hop is `hop_steps` steps that are encoded together, once for each 40 ms of sound.
Samples before the stream's first one count as zeros.
"""

from __future__ import annotations

STEP_SAMPLES = 320
RECEPTIVE_SAMPLES = 400
CENTRE_SAMPLES = RECEPTIVE_SAMPLES // 2
HOP_STEPS = 2


def steps_in_window(window_samples: int) -> int:
    """Steps that a network gives for a window."""
    return (window_samples - RECEPTIVE_SAMPLES) // STEP_SAMPLES + 1


def window_of_steps(n_steps: int) -> int:
    """Samples of a window that gives `n_steps` steps."""
    return RECEPTIVE_SAMPLES + STEP_SAMPLES * (n_steps - 1)


def look_ahead_of_steps(future_steps: int) -> int:
    """Samples between a step's centre and the end of a window with `future_steps` steps after it."""
    return future_steps * STEP_SAMPLES + RECEPTIVE_SAMPLES - CENTRE_SAMPLES


def steps_in_sound(n_samples: int) -> int:
    """Steps whose centre lies within the first `n_samples` samples."""
    return max(0, -(-(n_samples - CENTRE_SAMPLES) // STEP_SAMPLES))
