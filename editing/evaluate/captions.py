"""Captions of the picture before and after an edit, which CLIP direction compares. The paper writes them by hand.

Derived ones follow the paper's example (“Make him look like a young man”: “A photograph of a man”, “A photograph of a young man”):

- Whom: man by he, him, his or man; woman by she, her or woman; else person. Before: “A photograph of a man”.
- make/turn him (look) (like/into/as/to) Y, in the style of Y, as Y: “A photograph of Y”; if Y names a kind of picture or a statue
  (“a Munch painting”), “Y of a man”.
- make him (look) Y without an article (“older”): “A photograph of a man who looks Y”.
- make/paint/dye his X Y (“make her hair blue”): “A photograph of a woman with Y X”.
- black and white: “A black and white photograph of a man”.
- give him Y, add Y, put Y on him, what if he had Y, with Y: “A photograph of a man with Y”.

Other sentences have none: the captions must then be given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WHOM = (
    ("man", ("he", "him", "his", "man", "man's", "boy", "guy")),
    ("woman", ("she", "her", "hers", "woman", "woman's", "girl", "lady")),
)
KINDS_OF_PICTURE = (
    *("painting", "sketch", "drawing", "watercolour", "watercolor", "cartoon", "photograph", "photo", "portrait", "picture"),
    *("statue", "sculpture", "bust", "engraving", "etching", "fresco", "mosaic", "caricature", "comic", "anime"),
)
ARTICLE = re.compile(r"(?:a|an|the)\b", re.IGNORECASE)
SUBJECT = r"(?:him|her|them|it|me|this|the (?:man|woman|person|face|picture|image)|this (?:man|woman|person))"
OWNER = r"(?:his|her|their|my|the (?:man|woman|person)'s)"
PART = r"(?:face|skin|hair|beard|lips?|mouth|eyes?|lids|eyelids|brows|eyebrows|nose|ears|cheeks|teeth|neck|head|clothes|jacket|shirt|dress)"
TURN = r"(?:make|turn|change|transform|paint|draw|render|show)"
FORMS = (
    ("grey", r"(?:.* )?(?:in )?black[ -]and[ -]white"),
    ("with", rf"(?:give) {SUBJECT} (?P<what>.+)"),
    ("with", rf"(?:add|put|draw) (?P<what>.+?)(?: (?:to|on|onto) {SUBJECT})?"),
    ("with", r"what if (?:he|she|they|it) had (?P<what>.+)"),
    ("with", r"with (?P<what>.+)"),
    ("as", r"what if (?:he|she|they|it) (?:was|were|looked like) (?P<what>.+)"),
    ("as", rf"{TURN}(?: {SUBJECT})? (?:look like|look as|into|in|as|to|like|to be) (?P<what>.+)"),
    ("as", r"(?:in the style of|as) (?P<what>.+)"),
    ("part", rf"(?:make|paint|dye|colour|color|turn) {OWNER} (?P<part>{PART}) (?:look )?(?P<what>[a-z ]+)"),
    ("looks", rf"(?:make|turn) {SUBJECT} (?:look )?(?P<what>.+)"),
)


@dataclass(frozen=True)
class Captions:
    """What the picture shows."""

    before: str
    after: str


def derived_captions(instruction: str) -> Captions | None:
    """By the rules above; None where none of them fits."""
    sentence = " ".join(instruction.split()).rstrip(".!?").strip()
    words = set(re.findall(r"[a-z']+", sentence.lower()))
    whom = next((noun for noun, names in WHOM if words & set(names)), "person")
    before = f"A photograph of a {whom}"
    for kind, form in FORMS:
        found = re.fullmatch(form, sentence, re.IGNORECASE)
        if found is None:
            continue
        if kind == "grey":
            return Captions(before, f"A black and white photograph of a {whom}")
        what = found["what"].strip()
        if kind == "with":
            return Captions(before, f"{before} with {what}")
        if kind == "part":
            return Captions(before, f"{before} with {what} {found['part']}")
        if kind == "looks" and not ARTICLE.match(what):
            return Captions(before, f"{before} who looks {what}")
        if set(re.findall(r"[a-z]+", what.lower())) & set(KINDS_OF_PICTURE) and not re.search(r"\bof\b", what):
            if not what.lower().endswith(KINDS_OF_PICTURE):
                return Captions(before, f"A photograph of {what}")
            article = "" if ARTICLE.match(what) else "A "
            after = f"{article}{what} of a {whom}"
            return Captions(before, after[0].upper() + after[1:])
        return Captions(before, f"A photograph of {what}")
    return None
