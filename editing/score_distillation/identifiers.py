"""Names for keyframes that mean nothing yet: unique words of ten letters ("a one-of-a-kind code of 10 characters", section 3.2.1)."""

from __future__ import annotations

import numpy as np

LETTERS = 10
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxz", "aeiouy"


def random_identifiers(n: int, seed: int) -> list[str]:
    """`n` different words, consonants and vowels in turn so that a tokenizer of any language can cut them; the same for the same seed."""
    rng, words = np.random.default_rng(seed), dict[str, None]()
    while len(words) < n:
        letters = [str(rng.choice(list(CONSONANTS if k % 2 == 0 else VOWELS))) for k in range(LETTERS)]
        words["".join(letters)] = None
    return list(words)


def label(identifier: str, class_noun: str) -> str:
    """P_i: what the diffusion model is told of a keyframe."""
    return f"photo of a {identifier} {class_noun}"


def class_label(class_noun: str) -> str:
    """What it is told of any other picture of the class, for prior preservation."""
    return f"photo of a {class_noun}"
