"""The phone inventory of the project: 39 ARPABET phones and silence, espeak-ng's names for them, and viseme classes.

`PHONES[0]` is silence; the others are in alphabetical order. An index into `PHONES` is what datasets, labels and the
bundled audio encoder's classes mean by "phone"; the order is part of file formats and must not change.
A viseme class gathers phones that look alike on the lips; `VISEMES[0]` is silence.
"""

from __future__ import annotations

SILENCE = "SIL"

PHONES: tuple[str, ...] = (
    SILENCE,
    *("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K"),
    *("L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)

PHONE_INDEX: dict[str, int] = {phone: index for index, phone in enumerate(PHONES)}

VOWELS = frozenset(("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"))

# Stop consonants whose closure is silent: espeak-ng places the phone's start at the burst, so the closure is missing.
VOICELESS_CLOSURES = frozenset(("P", "T", "K", "CH"))

VISEMES: tuple[str, ...] = (
    "silence",
    "closed",
    "labiodental",
    "dental",
    "alveolar",
    "postalveolar",
    "velar",
    "round",
    "spread",
    "open",
)

PHONES_OF_VISEME: dict[str, tuple[str, ...]] = {
    "silence": (SILENCE,),
    "closed": ("B", "M", "P"),
    "labiodental": ("F", "V"),
    "dental": ("DH", "TH"),
    "alveolar": ("D", "L", "N", "S", "T", "Z"),
    "postalveolar": ("CH", "ER", "JH", "R", "SH", "ZH"),
    "velar": ("G", "HH", "K", "NG"),
    "round": ("AO", "OW", "OY", "UH", "UW", "W"),
    "spread": ("EH", "EY", "IH", "IY", "Y"),
    "open": ("AA", "AE", "AH", "AW", "AY"),
}

VISEME_OF_PHONE: dict[str, str] = {phone: viseme for viseme, phones in PHONES_OF_VISEME.items() for phone in phones}

# Viseme index of every phone index.
VISEME_OF_PHONE_INDEX: tuple[int, ...] = tuple(VISEMES.index(VISEME_OF_PHONE[phone]) for phone in PHONES)

# espeak-ng phoneme mnemonics (its English voices, all accents) -> our phones; some of its vowels are two of ours.
_ESPEAK_GROUPS: dict[str, str] = {
    "SIL": "_ _: _| _! _; _^_",
    "IY": "i: i i; i:; i2",
    "IH": "I I2 I# I2#",
    "EH": "E E# E2",
    "AE": "a aa a2 & {",
    "AA": "A: A A# A~ 0 02 0#",
    "AO": "O: O O2 O#",
    "AO R": "O@ o@ O:r O@r",
    "AA R": "A@ A@r A:r",
    "OW": "o: oU oU# o @U",
    "AH": "V V2 @ @2 @5 @# @- a# V#",
    "AH L": "@L",
    "UH": "U U2 U#",
    "UW": "u: u u:; u2",
    "ER": "3: 3 3:r @r 3r V3 @3",
    "EY": "eI e: e",
    "AY": "aI aI2 aI# VI",
    "OY": "OI",
    "AW": "aU aU2",
    "IY AH": "i@ i@2",
    "IH R": "i@3 IR i@3r i@r",
    "EH R": "e@ e@r",
    "UH R": "U@ U@r",
    "AY ER": "aI@ aI3 aI@r aI3r",
    "AW ER": "aU@ aU3 aU@r aU3r",
    "AH R": "VR",
    "P": "p p#",
    "B": "b b#",
    "T": "t t# t2 t[ ?",
    "D": "d d# d[ * d2",
    "K": "k k# x",
    "G": "g g#",
    "CH": "tS",
    "JH": "dZ",
    "F": "f f#",
    "V": "v v#",
    "TH": "T",
    "DH": "D",
    "S": "s s#",
    "Z": "z z#",
    "SH": "S",
    "ZH": "Z",
    "HH": "h C h#",
    "M": "m m-",
    "N": "n n-",
    "NG": "N",
    "L": "l l# L l-",
    "R": "r r- r2 R",
    "Y": "j",
    "W": "w w#",
}

ESPEAK_TO_PHONES: dict[str, tuple[str, ...]] = {
    mnemonic: tuple(phones.split()) for phones, mnemonics in _ESPEAK_GROUPS.items() for mnemonic in mnemonics.split()
}
