"""The styles that the model knows, and the sentences that name them.

A caption is a wording of a style, such as “bronze statue of a man”. Some captions name the person by a random word besides (“bronze statue
of a qhwzkbnrtd man”), so that a word that the model does not know means nothing to it until it is fine-tuned to (AvatarStudio, section
3.2.1); some tell where the face is turned or what the mouth does.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

IDENTIFIER_LETTERS = 10
"""As in AvatarStudio, section 3.2.1."""
IDENTIFIER_SHARE, POSE_SHARE = 0.25, 0.25
"""Of the captions."""
TURNED_DEG = 7.0
"""Yaw from where on a face counts as turned."""
PEOPLE = ("man", "woman", "person")


@dataclass(frozen=True)
class Style:
    """One look of the built-in image editor."""

    name: str
    instruction: str | None
    """For the built-in editor; None: the render as it is."""
    wordings: tuple[str, ...]
    """`{}` is the person, without an article: “man”, “qhwzkbnrtd man”."""

    @property
    def file_name(self) -> str:
        return self.name.lower().replace(" ", "_")


PHOTO = "photo"
STYLES = (
    Style(
        PHOTO,
        None,
        ("photo of a {}", "a photo of a {}", "photograph of a {}", "a photograph of a {}", "portrait photo of a {}", "a {}"),
    ),
    Style(
        "bronze statue",
        "make it look like a bronze statue",
        ("bronze statue of a {}", "a bronze statue of a {}", "photo of a bronze statue of a {}", "a {} as a bronze statue", "a bronze {}"),
    ),
    Style(
        "pencil sketch",
        "turn it into a pencil sketch",
        ("pencil sketch of a {}", "a pencil sketch of a {}", "pencil drawing of a {}", "a {} as a pencil sketch", "a {} drawn in pencil"),
    ),
    Style(
        "Van Gogh painting",
        "as a Van Gogh painting",
        ("van gogh painting of a {}", "a van gogh painting of a {}", "a {} as a van gogh painting", "a {} painted by van gogh"),
    ),
    Style(
        "zombie",
        "turn it into a zombie",
        ("zombie photo of a {}", "photo of a zombie {}", "a photo of a {} as a zombie", "a zombie {}", "a {} who looks like a zombie"),
    ),
    Style(
        "cartoon",
        "make it a cartoon",
        ("cartoon of a {}", "a cartoon of a {}", "a cartoon {}", "a {} as a cartoon character", "drawing of a cartoon {}"),
    ),
)
NAMES = tuple(style.name for style in STYLES)


def style_named(name: str) -> Style:
    """Raises BadInput for a name that is not known."""
    for style in STYLES:
        if style.name.lower() == name.lower():
            return style
    raise BadInput(f"style {name!r}: one of {', '.join(NAMES)} is possible")


def identifier(generator: np.random.Generator) -> str:
    """A word that means nothing: ten random letters."""
    return "".join(generator.choice(list(string.ascii_lowercase), IDENTIFIER_LETTERS))


def pose_words(yaw_deg: float, mouth_open: bool) -> tuple[str, ...]:
    """What can be said of a picture besides its style; yaw is positive where the face turns to the picture's right."""
    side = "left" if yaw_deg < 0 else "right"
    turned = f"turned to the {side}" if abs(yaw_deg) > TURNED_DEG else "seen from the front"
    return turned, "with open mouth" if mouth_open else "with closed mouth"


def draw_caption(style: Style, person: str, poses: Sequence[str], generator: np.random.Generator) -> str:
    """One of the sentences that tell what a picture shows."""
    who = f"{identifier(generator)} {person}" if generator.random() < IDENTIFIER_SHARE else person
    caption = style.wordings[generator.integers(len(style.wordings))].format(who)
    if generator.random() < POSE_SHARE:
        caption = f"{caption} {poses[int(generator.integers(len(poses)))]}"
    return caption


def vocabulary(person: str) -> tuple[str, ...]:
    """Every word of every caption, without the identifiers, in a fixed order."""
    sentences = [wording.format(person) for style in STYLES for wording in style.wordings]
    sentences += [words for yaw in (-90.0, 0.0, 90.0) for is_open in (False, True) for words in pose_words(yaw, is_open)]
    return tuple(sorted({word for sentence in sentences for word in sentence.split()} | set(PEOPLE)))
