"""An audio encoder in ONNX form: windows of sound in, log-probabilities of its classes out.

Arrays are float32. A window holds `window_samples` samples at 16 kHz and ends `look_ahead_ms` after the centre of the
last step of its hop; the network's own normalisation is part of the graph. Features are natural logarithms of
probabilities, clipped to -10...0. The encoder says everything about itself in the file's metadata.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.audio.framing import CENTRE_SAMPLES, HOP_STEPS, RECEPTIVE_SAMPLES, STEP_SAMPLES
from renderer.errors import BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Float32

BUNDLED = "bundled"
BUNDLED_PATH = Path(__file__).resolve().parent.parent / "assets" / "audio_encoder.onnx"

LOG_PROBABILITY_FLOOR = -10.0
METADATA_KEY = "visavis_encoder"
METADATA_VERSION = 1
INPUT_NAME, OUTPUT_NAME = "windows", "features"

_MS_PER_S = 1000


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder declares about itself."""

    id: str
    """"bundled", a hub name or a folder"""
    feature_dim: int
    """classes, each one a feature"""
    window_samples: int
    """sound that one run of the network sees"""
    look_ahead_ms: float
    """sound needed after the centre of a hop's last step"""
    sha256: str
    """of the ONNX file"""
    labels: tuple[str, ...] = ()
    """names of the classes, in order; empty where they are unknown"""
    step_samples: int = STEP_SAMPLES
    """between the centres of two steps"""
    hop_steps: int = HOP_STEPS
    """steps that are encoded together"""

    def __post_init__(self) -> None:
        if self.feature_dim < 1:
            raise BadInput(f"encoder {self.id!r}: feature_dim {self.feature_dim} must be at least 1")
        if self.labels and len(self.labels) != self.feature_dim:
            raise BadInput(f"encoder {self.id!r}: {len(self.labels)} labels for {self.feature_dim} features")
        if self.step_samples != STEP_SAMPLES:
            raise BadInput(f"encoder {self.id!r}: a step of {self.step_samples} samples; {STEP_SAMPLES} is supported")
        if self.hop_steps < 1:
            raise BadInput(f"encoder {self.id!r}: hop_steps {self.hop_steps} must be at least 1")
        if (self.look_ahead_samples + CENTRE_SAMPLES - RECEPTIVE_SAMPLES) % STEP_SAMPLES or self.look_ahead_ms < 0:
            raise BadInput(
                f"encoder {self.id!r}: look_ahead_ms {self.look_ahead_ms:g} does not end on a step; 12.5 and a multiple of 20 is possible"
            )
        least = RECEPTIVE_SAMPLES + self.look_ahead_samples - CENTRE_SAMPLES + (self.hop_steps - 1) * STEP_SAMPLES
        if self.window_samples < least or (self.window_samples - RECEPTIVE_SAMPLES) % STEP_SAMPLES:
            raise BadInput(
                f"encoder {self.id!r}: window_samples {self.window_samples} must be 400 and a multiple of 320, "
                f"at least {least} for its hop and look-ahead"
            )

    @property
    def look_ahead_samples(self) -> int:
        """`look_ahead_ms` in samples."""
        return round(self.look_ahead_ms * SAMPLE_RATE_HZ / _MS_PER_S)

    @property
    def future_steps(self) -> int:
        """Steps of a window after its hop."""
        return (self.look_ahead_samples + CENTRE_SAMPLES - RECEPTIVE_SAMPLES) // STEP_SAMPLES

    def window_end(self, hop: int) -> int:
        """Index of the first sample of the stream that hop `hop` does not need."""
        return ((hop + 1) * self.hop_steps - 1) * self.step_samples + CENTRE_SAMPLES + self.look_ahead_samples

    def metadata(self) -> str:
        """What is written into the ONNX file."""
        return json.dumps(
            {
                "version": METADATA_VERSION,
                "id": self.id,
                "feature_dim": self.feature_dim,
                "step_samples": self.step_samples,
                "hop_steps": self.hop_steps,
                "window_samples": self.window_samples,
                "look_ahead_ms": self.look_ahead_ms,
                "labels": list(self.labels),
            }
        )

    @staticmethod
    def from_metadata(text: str, sha256: str, path: Path) -> EncoderSpec:
        """Read what `metadata` wrote."""
        try:
            fields: dict[str, Any] = json.loads(text)
            version = fields.pop("version")
            if version != METADATA_VERSION:
                raise BadInput(f"{path}: encoder format {version}; this program reads {METADATA_VERSION}: export it again")
            labels = tuple(str(label) for label in fields.pop("labels"))
            return EncoderSpec(**fields, labels=labels, sha256=sha256)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(f"{path}: its encoder metadata cannot be read ({error}); export the encoder again") from error


class AudioEncoder:
    """A loaded encoder; stateless, so one may serve many streams. Runs on one thread."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadInput(f"audio encoder {path}: {error.strerror or error}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exception classes have no public base
            reason = str(error).strip().splitlines()[0][:120]
            raise BadInput(f"audio encoder {path}: not an ONNX file that can be run ({reason})") from error
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise BadInput(f"audio encoder {path}: an ONNX file without this program's metadata; export it with load_encoder")
        self.spec = EncoderSpec.from_metadata(text, hashlib.sha256(content).hexdigest(), path)
        self._check_shapes(path)

    def _check_shapes(self, path: Path) -> None:
        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        outputs = {value.name: value.shape for value in self._session.get_outputs()}
        expected = (
            ({INPUT_NAME: [self.spec.window_samples]}, inputs),
            ({OUTPUT_NAME: [self.spec.hop_steps, self.spec.feature_dim]}, outputs),
        )
        for wanted, found in expected:
            if {name: shape[1:] for name, shape in found.items()} != wanted:
                raise BadInput(f"audio encoder {path}: the graph has {found}, its metadata says {wanted} for each window")

    @classmethod
    def bundled(cls) -> AudioEncoder:
        """The encoder that ships with the program."""
        return cls(BUNDLED_PATH)

    @classmethod
    def from_onnx(cls, path: Path | str) -> AudioEncoder:
        """An exported encoder."""
        return cls(Path(path))

    def encode_windows(self, windows: Float32[np.ndarray, "n window_samples"]) -> Float32[np.ndarray, "n hop_steps feature_dim"]:
        """Features of one hop for each window. Each is run by itself, so they depend on nothing but their own window."""
        if windows.ndim != 2 or windows.shape[1] != self.spec.window_samples:
            raise ValueError(f"windows of shape {windows.shape}; [n, {self.spec.window_samples}] was expected")
        features = np.empty((len(windows), self.spec.hop_steps, self.spec.feature_dim), np.float32)
        for index, window in enumerate(windows):
            one = np.ascontiguousarray(window[None], dtype=np.float32)
            features[index] = self._session.run([OUTPUT_NAME], {INPUT_NAME: one})[0][0]
        return features

    def silence_features(self) -> Float32[np.ndarray, " feature_dim"]:
        """What the encoder says of digital silence."""
        silence = np.zeros((1, self.spec.window_samples), np.float32)
        return np.array(self.encode_windows(silence)[0, -1])
