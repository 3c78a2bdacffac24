from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from editing.evaluate.style_similarity import StyleJudge, statistics
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("photo", "warm", "grainy")


def pictures_of(style: str, n: int, seed: int, amount: float = 1.0) -> np.ndarray:
    """Smooth random scenes; warm ones are reddened, grainy ones noisy; `amount` puts a style on in part."""
    generator = np.random.default_rng((seed, 1))
    scenes = gaussian_filter(generator.normal(0.0, 1.0, (n, 64, 64, 3)), (0, 6, 6, 0)) * 2.0 + 0.5
    if style == "warm":
        scenes = scenes + amount * np.array([0.2, 0.0, -0.2])
    if style == "grainy":
        scenes = scenes + amount * generator.normal(0.0, 0.15, (n, 64, 64, 1))
    return (scenes.clip(0.0, 1.0) * 255.0).astype(np.uint8)


@pytest.fixture(scope="module")
def judge() -> StyleJudge:
    pictures = np.concatenate([pictures_of(name, 20, k) for k, name in enumerate(NAMES)])
    return StyleJudge.learned(pictures, np.repeat(np.arange(len(NAMES)), 20), NAMES, "photo")


def test_styles_of_unseen_pictures_are_told(judge: StyleJudge) -> None:
    for k, name in enumerate(NAMES):
        shown = pictures_of(name, 10, 100 + k)
        assert (judge.nearest(shown) == k).mean() >= 0.9
        np.testing.assert_allclose(judge.probabilities(shown).sum(1), 1.0)


def test_similarity_is_0_unedited_1_in_the_style_and_between_on_the_way(judge: StyleJudge) -> None:
    means = [judge.similarity(pictures_of("warm", 20, 7, amount), "warm").mean() for amount in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert means == sorted(means)
    assert means[0] < 0.1 and abs(means[-1] - judge.own[NAMES.index("warm")]) < 0.15
    assert judge.similarity(pictures_of("grainy", 20, 8), "warm").mean() < means[1]


def test_similarity_at_the_mean_statistics(judge: StyleJudge) -> None:
    plain, goal = judge.means[0], judge.means[1]
    np.testing.assert_allclose(judge._similarity(np.stack([plain, goal, goal + 2.0 * (plain - goal)]), "warm"), [0.0, 1.0, -1.0], atol=1e-9)


def test_size_hardly_matters(judge: StyleJudge) -> None:
    small = pictures_of("warm", 4, 9)
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_allclose(judge.similarity(large, "warm"), judge.similarity(small, "warm"), atol=0.02)


def test_a_saved_judge_says_the_same(judge: StyleJudge, tmp_path: Path) -> None:
    judge.save(tmp_path / "judge.safetensors")
    again = StyleJudge.load(tmp_path / "judge.safetensors")
    shown = pictures_of("warm", 3, 10)
    np.testing.assert_array_equal(again.probabilities(shown), judge.probabilities(shown))
    assert again.names == NAMES and again.plain == "photo"


def test_what_is_no_judge_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    with pytest.raises(BadInput, match="cannot be read as a style judge"):
        StyleJudge.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(BadInput, match="cannot be read as a style judge"):
        StyleJudge.load(tmp_path / "text.safetensors")
    save_file({"means": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="is no style judge"):
        StyleJudge.load(tmp_path / "other.safetensors")


def test_bad_input_is_named(judge: StyleJudge) -> None:
    with pytest.raises(BadInput, match="'cubist': similarity is known to warm, grainy"):
        judge.similarity(pictures_of("warm", 1, 0), "cubist")
    with pytest.raises(BadInput, match="'photo'"):
        judge.similarity(pictures_of("warm", 1, 0), "photo")
    with pytest.raises(BadInput, match="wanted uint8"):
        statistics(np.zeros((1, 8, 8, 3)))
    with pytest.raises(BadInput, match="'grainy' has 1 pictures"):
        StyleJudge.learned(pictures_of("warm", 5, 0), np.array([0, 0, 1, 1, 2]), NAMES, "photo")
    with pytest.raises(BadInput, match="plain style 'none'"):
        StyleJudge.learned(pictures_of("warm", 2, 0), np.array([0, 1]), NAMES[:2], "none")
