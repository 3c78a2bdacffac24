from __future__ import annotations

import numpy as np
import pytest

from editing.style_diffusion.styles import (
    NAMES,
    PHOTO,
    STYLES,
    draw_caption,
    identifier,
    pose_words,
    style_named,
    vocabulary,
)
from renderer.errors import BadInput


def test_every_style_is_one_that_the_editor_understands() -> None:
    from editing.image_editors.builtin.builtin_editor import BuiltinEditor

    for style in STYLES:
        assert (style.instruction is None) == (style.name == PHOTO)
        if style.instruction is not None:
            BuiltinEditor().check(style.instruction)


def test_captions_name_the_style_and_sometimes_a_random_word_or_the_pose() -> None:
    generator = np.random.default_rng(0)
    style = style_named("bronze statue")
    captions = [draw_caption(style, "man", ("turned to the left",), generator) for _ in range(400)]
    assert all("bronze" in caption and "man" in caption for caption in captions)
    posed = np.mean([caption.endswith("turned to the left") for caption in captions])
    known = set(vocabulary("man"))
    named = np.mean([any(word not in known for word in caption.split()) for caption in captions])
    assert 0.18 < posed < 0.32 and 0.18 < named < 0.32


def test_identifiers_are_ten_letters_and_differ() -> None:
    generator = np.random.default_rng(0)
    words = {identifier(generator) for _ in range(100)}
    assert len(words) == 100 and all(len(word) == 10 and word.isalpha() and word.islower() for word in words)


def test_pose_words_tell_side_and_mouth() -> None:
    assert pose_words(-12.0, True) == ("turned to the left", "with open mouth")
    assert pose_words(12.0, False) == ("turned to the right", "with closed mouth")
    assert pose_words(2.0, False)[0] == "seen from the front"


def test_unknown_style_is_answered_with_those_that_are_known() -> None:
    assert style_named("van gogh painting").name in NAMES
    with pytest.raises(BadInput, match="'fresco': one of photo, bronze statue"):
        style_named("fresco")
