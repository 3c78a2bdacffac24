"""How far the sound alone says that a mouth is open: what a cross-driven mouth, which has no true pictures, can be held against.

The bundled audio encoder hears the phones; the probability of the viseme class "open" (AA, AE, AH, AW, AY), averaged over a frame and its
two neighbours because lips are slower than phones, is high where a mouth opens widely. It knows nothing of the speaker's habits, so a real
mouth's correlation with it stands beside where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.audio_encoder.evaluation import viseme_probabilities
from editing.dataset import SAMPLES_PER_FRAME
from editing.phones import PHONES, VISEMES
from renderer.audio.framing import CENTRE_SAMPLES, STEP_SAMPLES
from renderer.audio.streaming import encode_all
from renderer.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float

    from renderer.audio.encoder import AudioEncoder

SMOOTHED_FRAMES = 3


def open_probability(encoder: AudioEncoder, samples: Float[np.ndarray, " n_samples"], n_frames: int) -> Float[np.ndarray, " n_frames"]:
    """Probability of the viseme "open" around each frame of a sound; `encoder` must tell the project's phones."""
    from scipy import ndimage

    if encoder.spec.labels != PHONES:
        raise BadInput(f"encoder {encoder.spec.id!r} has other classes than the project's phones")
    features = encode_all(encoder, samples)
    probabilities = viseme_probabilities(features.steps)[:, VISEMES.index("open")]
    centres = (features.first_step + np.arange(len(probabilities))) * STEP_SAMPLES + CENTRE_SAMPLES
    frame = centres // SAMPLES_PER_FRAME
    inside = frame < n_frames
    totals = np.bincount(frame[inside], probabilities[inside], minlength=n_frames)
    means = totals / np.maximum(1, np.bincount(frame[inside], minlength=n_frames))
    return ndimage.uniform_filter1d(means, SMOOTHED_FRAMES, mode="nearest")
