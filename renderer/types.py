"""The types that flow between the audio side, the field and whoever shows the frames.

Conventions
-----------
time        the microphone is the clock; sample n is at n / 16000 s, frame k shows the audio from k / fps s on
camera      OpenCV: x right, y down, z forward; pixel centres at +0.5
head frame  x to the image right when the head faces the camera, y up, z out of the face; 1 unit is about half a head's height
pose        `camera_from_head`, 4x4: x_camera = pose @ x_head
colour      sRGB-encoded values, 0...1 as float or 0...255 as uint8
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, UInt8

SAMPLE_RATE_HZ = 16_000
FPS = 25
DEFAULT_REFINE_WEIGHT = 0.8
"""omega that Instruct-NeuralTalker optimises with (its supplement)."""


@dataclass(frozen=True)
class AudioChunk:
    """Mono PCM at 16 kHz."""

    samples: Float[np.ndarray, " n_samples"]
    """float32 in -1...1."""
    first_sample: int
    """Index of `samples[0]` since the stream began."""


@dataclass(frozen=True)
class AudioFeatures:
    """What an audio encoder says of a stretch of sound: log-probabilities of its classes (nats, clipped at -10)."""

    steps: Float[np.ndarray, "n_steps feature_dim"]
    """float32, at the encoder's own rate (50 Hz for wav2vec 2.0)."""
    first_step: int
    """Index of `steps[0]` since the stream began; step i is centred on sample i * 320 + 200."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in pixels of `width` x `height`."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def resized(self, width: int, height: int) -> Camera:
        """The same view on another raster."""
        sx, sy = width / self.width, height / self.height
        return Camera(self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy, width, height)

    def windowed(self, window: PictureWindow | None) -> Camera:
        """A window of the view, on the same raster."""
        if window is None:
            return self
        cx, cy = self.cx - window.left * self.width, self.cy - window.top * self.height
        return Camera(self.fx / window.width, self.fy / window.height, cx / window.width, cy / window.height, self.width, self.height)


@dataclass(frozen=True)
class PictureWindow:
    """A part of a picture, as shares of its width and height: 0...1 from its left and upper edge."""

    left: float
    top: float
    width: float
    height: float


WHOLE_PICTURE = PictureWindow(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class FrameCondition:
    """Everything that one frame's picture depends on, beside the avatar itself."""

    index: int
    """Frame index; presentation time = index / fps."""
    audio_window: Float[np.ndarray, "n_window_steps feature_dim"]
    """Encoder steps around the frame, oldest first; its length is `AudioWindow.n_steps` of the avatar."""
    camera_from_head: Float[np.ndarray, "4 4"]
    eye_ratio: float
    """0 closed ... 1 as open as the training clip's 98th percentile."""
    appearance: int | None = None
    """Index of a training frame whose appearance embedding is used; None: the mean embedding."""
    smoothing: float = 0.0
    """beta of RAD-NeRF's explicit smoothing (appendix A.2), 0 ... 0.7."""
    refine_weight: float = DEFAULT_REFINE_WEIGHT
    """omega of Instruct-NeuralTalker's equation 5, 0 (smooth) ... 1 (all detail); nothing where the avatar has no refiner."""
    background: UInt8[np.ndarray, "height width 3"] | None = None
    """A picture of any size to show behind the person; None: the avatar's own."""
    emotion: Float[np.ndarray, " 8"] | None = None
    """Code of `renderer.emotion`, also between two emotions; None: neutral. Nothing where the avatar has no emotion."""
    window: PictureWindow | None = None
    """What is shown of the avatar's own picture, at the full raster (zoom); None: all of it."""


@dataclass(frozen=True)
class Frame:
    """One rendered picture."""

    rgb: UInt8[np.ndarray, "height width 3"]
    index: int
