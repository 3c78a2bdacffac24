"""A sentence in plain English becomes the looks it asks for.

Every word must be understood: a look, a part of the face and its colour, an age, an amount, or one of the small words in between. A
sentence with anything else in it, or with a negation, is refused rather than half followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from editing.image_editors.builtin.looks import LOOK_BY_NAME, LOOKS
from editing.image_editors.builtin.vocabulary import (
    ALONE,
    AMOUNTS,
    COLOUR_WORDS,
    DECADES,
    FACE_WORDS,
    FILLERS,
    HE,
    INSTEAD,
    LAST_RESORT,
    MEN,
    NEGATIONS,
    PARTS,
    PHRASES,
    SHE,
    WEAK,
    WOMEN,
)
from renderer.errors import BadInput

LONGEST_PHRASE = 5
OLD_FROM, OLD_FULL, YOUNG_UNTIL, YOUNG_FULL = 30.0, 80.0, 40.0, 18.0
"""Years: at OLD_FULL and YOUNG_FULL an age is asked for in full."""
MIDDLE_AGE = 35.0
"""Ages above are wished older, others younger."""
YEARS_OLDER_FULL, YEARS_YOUNGER_FULL = 40.0, 20.0
MOST = 1.45
OLDEST = 120


@dataclass(frozen=True)
class Wish:
    """One look that a sentence asks for."""

    look: str
    """a name in `looks.LOOKS`"""
    amount: float = 1.0
    """1 as usual"""
    colour: str = ""
    """where the look has colours"""


@dataclass(frozen=True)
class _Item:
    kind: str
    """look, weak, last, part, face, alone, colour, amount, filler: how `vocabulary` lists it"""
    value: str
    text: str
    number: float = 1.0
    """amount of a look that an age names"""


def understand(sentence: str) -> tuple[Wish, ...]:
    """The looks that a sentence asks for, in the order in which they are put on; BadInput says what is not understood and what is."""
    words = _words(sentence)
    negation = next((word for word in words if word in NEGATIONS), None)
    if negation:
        raise BadInput(_refusal(sentence, f"does not understand “{negation}”: say what to put on, not what to take away"))
    items = _items(sentence, words)
    _check_man_or_woman(sentence, words)
    wishes = _wishes(sentence, items)
    if not wishes:
        raise BadInput(_refusal(sentence, "finds nothing to do in it"))
    _check_groups(sentence, wishes)
    order = {look.name: k for k, look in enumerate(LOOKS)}
    return tuple(sorted(wishes, key=lambda wish: order[wish.look]))


def what_is_known() -> str:
    """The looks in one line."""
    return ", ".join(f"{look.name} (“{look.example}”)" if look.colours else look.name for look in LOOKS)


def _refusal(sentence: str, complaint: str) -> str:
    short = sentence.strip() if len(sentence) <= 80 else sentence.strip()[:77] + "…"
    return (
        f"instruction “{' '.join(short.split())}”: the built-in editor {complaint}. It knows {what_is_known()}. "
        "For any other sentence use the editor ip2p (InstructPix2Pix; downloads timbrooks/instruct-pix2pix)"
    )


def _words(sentence: str) -> list[str]:
    plain = sentence.lower().replace("’", "'").replace("'s", " s").replace("'", "")
    plain = re.sub(r"(\d+)\s*-?\s*(years?|year)\s*-?\s*(old)", r"\1 \2 \3", plain)
    return [word for word in re.findall(r"[a-zà-ÿ&]+|\d+", plain) if word != "s"]


@lru_cache(maxsize=1)
def _lexicon() -> dict[tuple[str, ...], tuple[str, str]]:
    lexicon: dict[tuple[str, ...], tuple[str, str]] = {}

    def enter(phrase: str, kind: str, value: str) -> None:
        lexicon.setdefault(tuple(phrase.split()), (kind, value))

    for look, phrases in PHRASES.items():
        for phrase in phrases:
            enter(phrase, "look", look)
    for look, phrases in PARTS.items():
        for phrase in phrases:
            enter(phrase, "part", look)
    for word, look in WEAK.items():
        enter(word, "weak", look)
    for word, look in LAST_RESORT.items():
        enter(word, "last", look)
    for phrase in AMOUNTS:
        enter(phrase, "amount", phrase)
    for word in ALONE:
        enter(word, "alone", word)
    for look_entry in LOOKS:
        for colour in look_entry.colours:
            enter(colour, "colour", colour)
    for colour, others in COLOUR_WORDS.items():
        for phrase in (colour, *others):
            enter(phrase, "colour", colour)
    for word in FACE_WORDS:
        enter(word, "face", word)
    for word in FILLERS:
        enter(word, "filler", word)
    return lexicon


def _items(sentence: str, words: list[str]) -> list[_Item]:
    lexicon = _lexicon()
    items: list[_Item] = []
    k = 0
    while k < len(words):
        age = _age(words, k)
        if age:
            item, taken = age
            items.append(item)
            k += taken
            continue
        for length in range(min(LONGEST_PHRASE, len(words) - k), 0, -1):
            found = lexicon.get(tuple(words[k : k + length]))
            if found:
                items.append(_Item(found[0], found[1], " ".join(words[k : k + length])))
                k += length
                break
        else:
            raise BadInput(_refusal(sentence, f"does not know “{words[k]}”"))
    return items


def _age(words: list[str], k: int) -> tuple[_Item, int] | None:
    """`80 years old`, `aged 80`, `in his eighties`, `20 years younger`, at position k; how many words it takes."""
    lead = 0
    if words[k] == "aged" and k + 1 < len(words):
        lead = 1
    word = words[k + lead].removesuffix("s") if words[k + lead][:1].isdigit() else words[k + lead]
    number = float(word) if word.isdigit() else float(DECADES.get(word, 0))
    if not 0 < number <= OLDEST:
        return None
    taken = lead + 1
    rest = words[k + taken :]
    relative = ""
    if rest[:1] in (["s"], ["years"], ["year"]):
        taken, rest = taken + 1, rest[1:]
    if rest[:1] in (["old"], ["older"], ["younger"]):
        relative = rest[0]
        taken += 1
    if relative == "older":
        return _Item("look", "older", " ".join(words[k : k + taken]), min(MOST, number / YEARS_OLDER_FULL)), taken
    if relative == "younger":
        return _Item("look", "younger", " ".join(words[k : k + taken]), min(1.0, number / YEARS_YOUNGER_FULL)), taken
    if number > MIDDLE_AGE:
        return _Item("look", "older", " ".join(words[k : k + taken]), min(MOST, (number - OLD_FROM) / (OLD_FULL - OLD_FROM))), taken
    share = (YOUNG_UNTIL - number) / (YOUNG_UNTIL - YOUNG_FULL)
    return _Item("look", "younger", " ".join(words[k : k + taken]), min(1.0, share)), taken


def _check_man_or_woman(sentence: str, words: list[str]) -> None:
    said = set(words)
    if (said & HE and said & WOMEN) or (said & SHE and said & MEN):
        raise BadInput(_refusal(sentence, "cannot make a man a woman or a woman a man"))


def _wishes(sentence: str, items: list[_Item]) -> list[Wish]:
    wishes: list[Wish] = []
    amount, colour, waiting = 1.0, "", ""
    weak: list[tuple[str, float]] = []

    def take(look: str, in_colour: str = "", own: float = 1.0) -> None:
        nonlocal amount
        wishes.append(Wish(look, min(MOST, amount * own), in_colour))
        amount = 1.0

    for position, item in enumerate(items):
        kind, value = item.kind, item.value
        if kind == "face":
            kind, value = ("part", "skin tone") if colour or _colour_follows(items, position) else ("filler", value)
        elif kind == "alone" and (waiting or _part_follows(items, position)):
            kind, value = "colour", ALONE[value][1]
        if kind == "amount":
            amount = AMOUNTS[value]
        elif kind == "look":
            take(value, own=item.number)
        elif kind == "weak":
            weak.append((value, amount))
        elif kind == "alone":
            take(*ALONE[value])
        elif kind == "colour" and waiting and not (LOOK_BY_NAME[waiting].default_colour and _part_follows(items, position)):
            take(waiting, in_colour=_colour_on(sentence, waiting, value))
            waiting = ""
        elif kind == "colour":
            if colour:
                raise BadInput(_refusal(sentence, f"does not see what is to be {colour}"))
            colour = value
        elif kind == "part":
            if waiting:
                take(waiting, in_colour=_default_colour(sentence, waiting))
            waiting = value
            if colour:
                take(value, in_colour=_colour_on(sentence, value, colour))
                colour, waiting = "", ""
    if waiting:
        take(waiting, in_colour=_default_colour(sentence, waiting))
    if colour:
        raise BadInput(_refusal(sentence, f"does not see what is to be {colour}: hair, skin, lips, eyeshadow or blush"))
    if amount != 1.0 and wishes and not weak:  # “older, a lot”
        wishes[-1] = replace(wishes[-1], amount=min(MOST, wishes[-1].amount * amount))
    groups = {LOOK_BY_NAME[wish.look].group for wish in wishes}
    for look, own in weak:
        if LOOK_BY_NAME[look].group not in groups:
            wishes.append(Wish(look, own))
            groups.add(LOOK_BY_NAME[look].group)
    if not wishes:
        wishes = [Wish(item.value, min(MOST, amount)) for item in items if item.kind == "last"]
    return list(dict.fromkeys(wishes))


def _colour_follows(items: list[_Item], position: int) -> bool:
    """Whether the next word of weight is a colour that belongs to nothing else."""
    for k in range(position + 1, len(items)):
        if items[k].kind == "colour":
            return not _part_follows(items, k)
        if items[k].kind not in ("filler", "amount") or items[k].value in ("and", "with"):
            return False
    return False


def _part_follows(items: list[_Item], position: int) -> bool:
    """Whether a part follows, with nothing but small words and amounts in between."""
    for item in items[position + 1 :]:
        if item.kind == "part":
            return True
        if item.kind not in ("filler", "amount") or item.value in ("and", "with"):
            return False
    return False


def _colour_on(sentence: str, look: str, colour: str) -> str:
    possible = LOOK_BY_NAME[look].colours
    if colour in possible:
        return colour
    instead = INSTEAD[look].get(colour)
    if instead is None:
        raise BadInput(f"instruction “{sentence.strip()}”: {look} cannot be {colour}; possible: {', '.join(possible)}")
    return instead


def _default_colour(sentence: str, look: str) -> str:
    colour = LOOK_BY_NAME[look].default_colour
    if not colour:
        raise BadInput(f"instruction “{sentence.strip()}”: {look} needs a colour; possible: {', '.join(LOOK_BY_NAME[look].colours)}")
    return colour


def _check_groups(sentence: str, wishes: list[Wish]) -> None:
    first: dict[str, Wish] = {}
    for wish in wishes:
        group = LOOK_BY_NAME[wish.look].group
        other = first.setdefault(group, wish)
        if other is not wish:
            names = [f"{w.colour} {w.look}".strip() for w in (other, wish)]
            raise BadInput(f"instruction “{sentence.strip()}”: {names[0]} and {names[1]} do not go together; ask for one of them")
