"""Sentences become looks, or are refused with what is known."""

from __future__ import annotations

import pytest

from editing.image_editors import known_instructions
from editing.image_editors.builtin.grammar import Wish, understand
from editing.image_editors.builtin.looks import LOOK_BY_NAME
from renderer.errors import BadInput

ONE_LOOK = {
    "Make him look like a bronze statue": "bronze statue",
    "a bust of bronze": "bronze statue",
    "Turn him as a statue": "marble statue",
    "what if she was a marble sculpture?": "marble statue",
    "Turn her into a zombie": "zombie",
    "as a Van Gogh painting": "Van Gogh",
    "Make him look like Van Gogh": "Van Gogh",
    "in the style of Vincent van Gogh": "Van Gogh",
    "Turn him into Edward Munch painting": "Munch",
    "Munch's Scream": "Munch",
    "Turn him into a Modigliani painting": "Modigliani",
    "Make her a Fauvism painting": "Fauvism",
    "make it a painting": "oil painting",
    "paint him in oil": "oil painting",
    "as a watercolor": "watercolour",
    "a pencil drawing of her": "pencil sketch",
    "Make her look like a cartoon character": "cartoon",
    "NEON lights!": "neon",
    "in black & white, please": "black and white",
    "an old-fashioned photo": "old photograph",
    "Make him look like an old man": "older",
    "make his face look old": "older",
    "Turn her into a young girl": "younger",
    "put some make-up on her": "make-up",
    "gothic makeup": "goth make-up",
}
IN_COLOUR = {
    "what if he had blue hair": ("hair colour", "blue"),
    "dye her hair light blue": ("hair colour", "light blue"),
    "make his hair gray": ("hair colour", "grey"),
    "Turn her into a blonde": ("hair colour", "blonde"),
    "dark hair": ("hair colour", "dark brown"),
    "give her red lips": ("lipstick", "red"),
    "lipstick in navy": ("lipstick", "blue"),
    "with lipstick": ("lipstick", "red"),
    "add green eye shadow": ("eyeshadow", "green"),
    "rosy": None,
    "with rouge": ("blush", "rose"),
    "give him a tan": ("skin tone", "tanned"),
    "dark-skinned": None,
    "a woman with dark skin": ("skin tone", "dark"),
    "paint his face green": ("skin tone", "green"),
    "bronze skin": ("skin tone", "tanned"),
}
AGES = {
    "make him look 80 years old": ("older", 1.0),
    "an 80-year-old woman": ("older", 1.0),
    "he is in his eighties": ("older", 1.0),
    "aged 55": ("older", 0.5),
    "make him 20 years older": ("older", 0.5),
    "make her 18": ("younger", 1.0),
    "10 years younger": ("younger", 0.5),
    "slightly older": ("older", 0.5),
    "a very old lady": ("older", 1.25),
    "older, a lot": ("older", 1.3),
}


@pytest.mark.parametrize("sentence", ONE_LOOK)
def test_understand_finds_the_look(sentence: str) -> None:
    assert understand(sentence) == (Wish(ONE_LOOK[sentence]),)


@pytest.mark.parametrize("sentence", IN_COLOUR)
def test_understand_binds_colours_to_parts(sentence: str) -> None:
    wanted = IN_COLOUR[sentence]
    if wanted is None:
        with pytest.raises(BadInput, match="does not know"):
            understand(sentence)
    else:
        assert understand(sentence) == (Wish(wanted[0], 1.0, wanted[1]),)


@pytest.mark.parametrize("sentence", AGES)
def test_understand_turns_ages_and_adverbs_into_amounts(sentence: str) -> None:
    look, amount = AGES[sentence]
    (wish,) = understand(sentence)
    assert (wish.look, wish.amount) == (look, pytest.approx(amount))


def test_understand_combines_looks_in_the_order_they_are_put_on() -> None:
    assert understand("a pencil sketch of an old man with white hair and red lips") == (
        Wish("older"),
        Wish("hair colour", 1.0, "white"),
        Wish("lipstick", 1.0, "red"),
        Wish("pencil sketch"),
    )
    assert understand("hair blue and green eyeshadow") == (Wish("hair colour", 1.0, "blue"), Wish("eyeshadow", 1.0, "green"))
    assert understand("Give her blush, red lips and gold eyeshadow") == (
        Wish("lipstick", 1.0, "red"),
        Wish("eyeshadow", 1.0, "gold"),
        Wish("blush", 1.0, "rose"),
    )


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("Turn him into Albert Einstein", "albert"),
        ("Put an earring on him", "earring"),
        ("a photograph of 1920", "1920"),
        ("Remove his glasses", "remove"),
        ("don't make him old", "dont"),
        ("an old man without hair", "without"),
        ("Turn him into a woman", "woman"),
        ("a photo", "nothing to do"),
        ("blue", "what is to be blue"),
        ("blue green hair", "what is to be blue"),
    ],
)
def test_understand_refuses_and_says_what_it_knows(sentence: str, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        understand(sentence)
    message = str(refused.value)
    assert named in message
    assert "\n" not in message
    assert all(look in message for look in LOOK_BY_NAME)
    assert "ip2p" in message


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("old and young", "older and younger"),
        ("a pencil drawing and a watercolour", "pencil sketch and watercolour"),
        ("make the hair olive", "possible: black"),
        ("dye her hair", "needs a colour"),
    ],
)
def test_understand_refuses_what_cannot_be(sentence: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        understand(sentence)


def test_understand_follows_every_example_and_every_colour() -> None:
    for known in known_instructions():
        assert understand(known.example)[0].look == known.name
        part = {"hair colour": "hair", "skin tone": "skin"}.get(known.name, known.name)
        for colour in known.colours:
            assert understand(f"{colour} {part}") == (Wish(known.name, 1.0, colour),)
