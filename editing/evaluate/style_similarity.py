"""How much a picture looks like a style, by statistics of colour and of edges; no network, no weights to download.

Each picture is described by some sixty numbers: means, spreads and correlations of colour in the whole picture and around the face, a
histogram of lightness, strength of edges at three scales. Classes are Gaussian with one covariance (linear discriminant analysis), learned
from pictures in known styles, also blurred and noisy ones, so that sharpness alone decides nothing.

similarity   1 − |picture − style| / |plain − style|, distances between statistics, each in units of its spread over all styles: 0 as far
             from the style's mean as the mean unedited picture is, 1 at the style's mean, below 0 farther away than that. Pictures of the
             style itself are scattered around its mean: `own` tells what they reach
probability  of each style, softmax of the discriminants
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from editing.whole_files import write_whole
from renderer.errors import BadInput
from renderer.images import quantise, resize_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int, UInt8

SIZE_PX = 64
"""At which pictures are looked at."""
LIGHTNESS = np.array([0.299, 0.587, 0.114])
EDGE_SCALES_PX = (0.0, 1.0, 2.0)
"""σ of the blur before differences are taken."""
HISTOGRAM_BINS = 8
FACE = np.s_[12:52, 16:48]
"""Where a centred head's face is."""
SHRINKAGE = 0.05
"""Share of the covariance that is replaced by its own diagonal."""
MOST_BLUR_PX, MOST_NOISE = 1.2, 0.03
"""Every picture that is learned from is seen once as it is and once blurred and noisy, up to this σ and this share of white."""
_FORMAT = "visavis style judge 1"
_TENSORS = ("means", "precision", "spread", "own")


def statistics(pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
    """What is looked at."""
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise BadInput(f"pictures are {pictures.dtype} {pictures.shape}, wanted uint8 [n, height, width, 3]")
    return np.stack([_statistics_of(_small(picture)) for picture in pictures])


@dataclass(frozen=True)
class StyleJudge:
    """Learned from pictures in known styles."""

    names: tuple[str, ...]
    plain: str
    """The style of unedited pictures, from which similarity is counted."""
    means: Float[np.ndarray, "n_styles d"]
    precision: Float[np.ndarray, "d d"]
    """Inverse of the common covariance."""
    spread: Float[np.ndarray, " d"]
    """Of each statistic, over the pictures of all styles."""
    own: Float[np.ndarray, " n_styles"]
    """Mean similarity of each style's own pictures, as they were learned; of no meaning for the plain style, where it is 0."""

    @staticmethod
    def learned(
        pictures: UInt8[np.ndarray, "n h w 3"], labels: Int[np.ndarray, " n"], names: Sequence[str], plain: str, seed: int = 0
    ) -> StyleJudge:
        """From pictures and the index of each one's style in `names`. BadInput where a style has fewer than two pictures."""
        if plain not in names:
            raise BadInput(f"plain style {plain!r}: one of {', '.join(names)} is possible")
        generator = np.random.default_rng(seed)
        rows, classes = [], []
        for picture, label in zip(pictures, labels, strict=True):
            small, blur, noise = _small(picture), generator.uniform(0.0, MOST_BLUR_PX), generator.uniform(0.0, MOST_NOISE)
            worse = gaussian_filter(small, (blur, blur, 0.0)) + generator.normal(0.0, noise, small.shape)
            rows += [_statistics_of(small), _statistics_of(np.clip(worse, 0.0, 1.0))]
            classes += [int(label)] * 2
        values, found = np.stack(rows), np.array(classes)
        for k, name in enumerate(names):
            if (labels == k).sum() < 2:
                raise BadInput(f"style {name!r} has {(labels == k).sum()} pictures to learn from; at least 2 are wanted")
        means = np.stack([values[found == k].mean(0) for k in range(len(names))])
        within = values - means[found]
        covariance = within.T @ within / len(within)
        diagonal = np.diag(np.diag(covariance) + 1e-8)
        precision = np.linalg.inv((1.0 - SHRINKAGE) * covariance + SHRINKAGE * diagonal)
        judge = StyleJudge(tuple(names), plain, means, precision, values.std(0) + 1e-6, np.zeros(len(names)))
        own = [0.0 if name == plain else float(judge._similarity(values[found == k][::2], name).mean()) for k, name in enumerate(names)]
        return dataclasses.replace(judge, own=np.array(own))

    def probabilities(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n n_styles"]:
        """Of each style; a row's sum is 1."""
        weights = self.means @ self.precision
        scores = statistics(pictures) @ weights.T - 0.5 * (weights * self.means).sum(1)
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return np.asarray(scores / scores.sum(1, keepdims=True))

    def nearest(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Int[np.ndarray, " n"]:
        """Index of the likeliest style."""
        return np.asarray(self.probabilities(pictures).argmax(1))

    def similarity(self, pictures: UInt8[np.ndarray, "n h w 3"], style: str) -> Float[np.ndarray, " n"]:
        """To a style, see the module. BadInput for a style that is not known."""
        if style not in self.names or style == self.plain:
            known = ", ".join(name for name in self.names if name != self.plain)
            raise BadInput(f"style {style!r}: similarity is known to {known}")
        return self._similarity(statistics(pictures), style)

    def _similarity(self, values: Float[np.ndarray, "n d"], style: str) -> Float[np.ndarray, " n"]:
        plain, goal = (self.means[self.names.index(name)] for name in (self.plain, style))
        whole = np.linalg.norm((plain - goal) / self.spread)
        return np.asarray(1.0 - np.linalg.norm((values - goal) / self.spread, axis=1) / whole)

    def save(self, path: Path) -> None:
        """As safetensors."""
        from safetensors.numpy import save_file

        tensors = {name: np.ascontiguousarray(getattr(self, name), np.float64) for name in _TENSORS}
        # One entry: safetensors writes several in any order, and the file would differ from run to run.
        metadata = {_FORMAT: json.dumps({"names": self.names, "plain": self.plain})}
        write_whole(path, lambda temporary: save_file(tensors, temporary, metadata))

    @staticmethod
    def load(path: Path) -> StyleJudge:
        """Raises BadInput for a file that is not there, or is none."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                if _FORMAT not in metadata:
                    raise BadInput(f"{path} is no style judge; python -m editing style-diffusion writes one beside the model")
                header = json.loads(metadata[_FORMAT])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
        except (OSError, SafetensorError) as error:
            raise BadInput(f"{path} cannot be read as a style judge: {error}") from error
        return StyleJudge(tuple(header["names"]), header["plain"], **tensors)


def _small(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    return np.asarray(quantise(resize_picture(picture, SIZE_PX, SIZE_PX)) / 255.0)


def _statistics_of(picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, " d"]:
    light = picture @ LIGHTNESS
    opponents = np.stack([picture[..., 0] - light, picture[..., 2] - light], -1)
    parts = [_colours(picture, light, opponents), _colours(picture[FACE], light[FACE], opponents[FACE])]
    for region in (light, light[FACE]):
        counts, _ = np.histogram(region, HISTOGRAM_BINS, (0.0, 1.0))
        parts.append(np.sqrt(counts / region.size)[1:])
    for scale in EDGE_SCALES_PX:
        for values in (light, opponents[..., 0], opponents[..., 1]):
            smooth = gaussian_filter(values, scale) if scale else values
            strength = np.hypot(smooth[1:, :-1] - smooth[:-1, :-1], smooth[:-1, 1:] - smooth[:-1, :-1])
            parts.append(np.array([np.log(strength.mean() + 1e-3), np.log(strength[FACE].mean() + 1e-3)]))
    return np.concatenate(parts)


def _colours(
    picture: Float[np.ndarray, "h w 3"], light: Float[np.ndarray, "h w"], opponents: Float[np.ndarray, "h w 2"]
) -> Float[np.ndarray, " 10"]:
    chroma = np.hypot(opponents[..., 0], opponents[..., 1])
    spread = [light.std(), opponents[..., 0].std(), opponents[..., 1].std(), chroma.mean(), chroma.std()]
    covariance = ((light - light.mean())[..., None] * (opponents - opponents.mean((0, 1)))).mean((0, 1))
    return np.array([*picture.mean((0, 1)), *spread, *(covariance * 10.0)])
