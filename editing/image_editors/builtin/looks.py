"""Everything the built-in editor can do: one entry a look, in the order in which looks are put on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from editing.image_editors.builtin.ageing import older, younger
from editing.image_editors.builtin.drawings import cartoon, neon, pencil_sketch
from editing.image_editors.builtin.hair_and_skin import HAIR_COLOURS, SKIN_TONES, hair_colour, skin_tone
from editing.image_editors.builtin.make_up import MAKE_UP_COLOURS, blush, eyeshadow, goth_make_up, lipstick, make_up
from editing.image_editors.builtin.paintings import fauvism, modigliani, munch, oil_painting, van_gogh
from editing.image_editors.builtin.photographs import black_and_white, old_photograph
from editing.image_editors.builtin.statues import bronze_statue, marble_statue
from editing.image_editors.builtin.watercolour import watercolour
from editing.image_editors.builtin.zombie import zombie

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Look:
    """One thing that can be asked for."""

    name: str
    apply: Callable[..., Any]
    """(picture, scene) to the picture with the look in full, float32 [h, w, 3] in 0…1; with `colour` where there are colours, with `depth`
    (1 as usual) where there is a depth"""
    group: str
    """of one group only one look can be asked for"""
    example: str
    """an instruction that asks for it"""
    changes: str
    """what it does, and where"""
    colours: tuple[str, ...] = field(default=(), kw_only=True)
    """that it can be had in"""
    default_colour: str = field(default="", kw_only=True)
    """where none is named; empty: one must be"""
    has_depth: bool = field(default=False, kw_only=True)
    """more than in full is possible"""


LOOKS: tuple[Look, ...] = (
    Look("skin tone", skin_tone, "skin", "give her tanned skin", "skin of face, ears and neck", colours=tuple(SKIN_TONES)),
    Look("zombie", zombie, "skin", "turn him into a zombie", "rotting skin, sunken milky eyes, veins, dull hair"),
    Look("older", older, "age", "make him look 80 years old", "wrinkles, bags, sallow skin, grey hair", has_depth=True),
    Look("younger", younger, "age", "make her look younger", "smooth rosy skin, bright eyes, hair with colour"),
    Look("hair colour", hair_colour, "hair", "what if he had blue hair", "hair, and brows a little", colours=tuple(HAIR_COLOURS)),
    Look("make-up", make_up, "make-up", "put some make-up on her", "plum eyeshadow, red lips, blush"),
    Look("goth make-up", goth_make_up, "make-up", "give him goth make-up", "black eyeshadow and lips"),
    Look("lipstick", lipstick, "lips", "give her red lips", "lips", colours=tuple(MAKE_UP_COLOURS), default_colour="red"),
    Look(
        "eyeshadow", eyeshadow, "eyes", "add green eyeshadow", "upper lids, with a liner",
        colours=tuple(MAKE_UP_COLOURS), default_colour="brown",
    ),
    Look("blush", blush, "cheeks", "with pink blush", "cheekbones", colours=tuple(MAKE_UP_COLOURS), default_colour="rose"),
    Look("bronze statue", bronze_statue, "material", "make him look like a bronze statue", "the whole person; the background stays"),
    Look("marble statue", marble_statue, "material", "turn her into a marble statue", "the whole person; the background stays"),
    Look("pencil sketch", pencil_sketch, "style", "turn it into a pencil sketch", "the whole picture: graphite on paper"),
    Look("cartoon", cartoon, "style", "make him look like a cartoon character", "the whole picture: flat colours, ink"),
    Look("neon", neon, "style", "make it neon", "the whole picture: a dark room, glowing contours"),
    Look("oil painting", oil_painting, "style", "as an oil painting", "the whole picture: thick strokes that follow the form"),
    Look("watercolour", watercolour, "style", "as a watercolour", "the whole picture: washes on white paper"),
    Look("Van Gogh", van_gogh, "style", "as a Van Gogh painting", "the whole picture: ochre before swirling blue"),
    Look("Munch", munch, "style", "make him look like an Edward Munch painting", "the whole picture: sallow face, red sky, long waves"),
    Look("Modigliani", modigliani, "style", "turn him into a Modigliani painting", "the whole picture: terracotta, contours, plain eyes"),
    Look("Fauvism", fauvism, "style", "make her a Fauvism painting", "the whole picture: pure colours by brightness"),
    Look("black and white", black_and_white, "photograph", "in black and white", "the whole picture"),
    Look("old photograph", old_photograph, "photograph", "as an old photograph", "the whole picture: sepia, grain, dark corners"),
)  # fmt: skip
LOOK_BY_NAME = {look.name: look for look in LOOKS}
