from __future__ import annotations

import pytest

from editing.evaluate.captions import derived_captions
from editing.image_editors import known_instructions

MAN, WOMAN, PERSON = "A photograph of a man", "A photograph of a woman", "A photograph of a person"


@pytest.mark.parametrize(
    ("instruction", "before", "after"),
    [
        ("Make him look like a young man", MAN, "A photograph of a young man"),
        ("Turn her into a zombie.", WOMAN, "A photograph of a zombie"),
        ("make her a bronze statue", WOMAN, "A bronze statue of a woman"),
        ("Make him look like an Edward Munch painting", MAN, "An Edward Munch painting of a man"),
        ("Turn him into a Modigliani painting", MAN, "A Modigliani painting of a man"),
        ("Make her look like a cartoon character", WOMAN, "A photograph of a cartoon character"),
        ("as a Van Gogh painting", PERSON, "A Van Gogh painting of a person"),
        ("a pencil sketch of an old man", MAN, None),
        ("turn it into a pencil sketch", PERSON, "A pencil sketch of a person"),
        ("Make him look older", MAN, "A photograph of a man who looks older"),
        ("make his face green", MAN, "A photograph of a man with green face"),
        ("make her look very old", WOMAN, "A photograph of a woman who looks very old"),
        ("make her a blonde", WOMAN, "A photograph of a blonde"),
        ("make her hair blue", WOMAN, "A photograph of a woman with blue hair"),
        ("give her red lips", WOMAN, "A photograph of a woman with red lips"),
        ("add green eyeshadow", PERSON, "A photograph of a person with green eyeshadow"),
        ("what if he had blue hair", MAN, "A photograph of a man with blue hair"),
        ("Put an earring on him", MAN, "A photograph of a man with an earring"),
    ],
)
def test_captions_follow_the_rules(instruction: str, before: str, after: str | None) -> None:
    found = derived_captions(instruction)
    if after is None:
        assert found is None
    else:
        assert found is not None and (found.before, found.after) == (before, after)


@pytest.mark.parametrize("instruction", ["", "remove his glasses", "hello", "brighter"])
def test_captions_are_not_guessed(instruction: str) -> None:
    assert derived_captions(instruction) is None


def test_the_built_in_editors_own_examples_have_captions() -> None:
    for known in known_instructions():
        found = derived_captions(known.example)
        assert found is not None and found.before != found.after, known.example
