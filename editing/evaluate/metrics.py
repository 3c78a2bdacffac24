"""Picture and lip metrics. Pictures are uint8 RGB; landmarks are pixels; curves are one value a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

MAX_LAG_FRAMES = 6
LIP_LANDMARKS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
"""MediaPipe's outer and inner lip contours."""
INNER_LIP_TOP, INNER_LIP_BOTTOM = 13, 14
EYE_CORNERS = (33, 263)
PAPERS_HEIGHT_PX = 512
"""The papers' pictures; distances in pixels are stated at this height too."""
SSIM_RADIUS_PX, SSIM_SIGMA_PX = 5, 1.5
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr_db(a: UInt8[np.ndarray, "h w 3"], b: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"] | None = None) -> float:
    """Peak signal-to-noise ratio, over the mask if one is given."""
    error = (a.astype(np.float64) - b) ** 2
    mean = error.mean() if mask is None else error[mask].mean()
    return float(10.0 * np.log10(255.0**2 / max(float(mean), 1e-6)))


def ssim(a: UInt8[np.ndarray, "h w 3"], b: UInt8[np.ndarray, "h w 3"]) -> float:
    """Structural similarity (Wang et al. 2004, equation 13): Gaussian windows of 11x11 that lie in the picture, mean over the channels."""
    from scipy import ndimage

    offsets = np.arange(-SSIM_RADIUS_PX, SSIM_RADIUS_PX + 1)
    window = np.exp(-(offsets**2) / (2.0 * SSIM_SIGMA_PX**2))
    window /= window.sum()
    inside = slice(SSIM_RADIUS_PX, -SSIM_RADIUS_PX)

    def local_mean(values: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "y x 3"]:
        return ndimage.correlate1d(ndimage.correlate1d(values, window, axis=0), window, axis=1)[inside, inside]

    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x, variance_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + SSIM_C1) * (2 * covariance + SSIM_C2)
    return float((alike / ((mean_x**2 + mean_y**2 + SSIM_C1) * (variance_x + variance_y + SSIM_C2))).mean())


@dataclass(frozen=True)
class LagCorrelation:
    correlation: float
    lag_frames: int
    """Positive: the second curve is behind the first."""


def best_correlation(reference: Float[np.ndarray, " n"], curve: Float[np.ndarray, " n"], max_lag: int = MAX_LAG_FRAMES) -> LagCorrelation:
    """The lag within ±max_lag frames at which `curve` correlates best with `reference`."""
    best = LagCorrelation(-1.0, 0)
    for lag in range(-max_lag, max_lag + 1):
        a = reference[: len(reference) - lag] if lag >= 0 else reference[-lag:]
        b = curve[lag:] if lag >= 0 else curve[: len(curve) + lag]
        if len(a) < 3 or a.std() < 1e-9 or b.std() < 1e-9:
            continue
        value = float(np.corrcoef(a, b)[0, 1])
        if value > best.correlation:
            best = LagCorrelation(value, lag)
    return best


def correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float | None:
    """Pearson's; None where a curve is flat."""
    return None if a.std() < 1e-9 or b.std() < 1e-9 else float(np.corrcoef(a, b)[0, 1])


def mouth_opening(landmarks: Float[np.ndarray, "n_landmarks 2"]) -> float:
    """Inner-lip gap in units of the distance between the outer eye corners."""
    gap = float(np.linalg.norm(landmarks[INNER_LIP_TOP] - landmarks[INNER_LIP_BOTTOM]))
    return gap / float(np.linalg.norm(landmarks[EYE_CORNERS[0]] - landmarks[EYE_CORNERS[1]]))


def lip_landmark_distance(a: Float[np.ndarray, "n_landmarks 2"], b: Float[np.ndarray, "n_landmarks 2"]) -> float:
    """Mean distance of the lip contours in pixels (LMD)."""
    lips = list(LIP_LANDMARKS)
    return float(np.linalg.norm(a[lips] - b[lips], axis=1).mean())
