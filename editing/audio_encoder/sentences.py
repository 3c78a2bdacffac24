"""Random English text for the encoder's training corpus: everyday sentences, word salads and single words.

The ten digits (and "oh") never occur, so that real spoken digits can test what was learned without having been taught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

DIGIT_WORDS = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "oh"))

MIN_WORD_LETTERS, MAX_WORD_LETTERS = 3, 9
SHORT_WORD_LETTERS = 6

_SUBJECTS = (
    "I|you|we|they|my brother|the old woman|her father|a young boy|the pilot|our neighbour|the whole family|nobody|"
    "every student|the baker|that judge|his wife|the mayor of the village|a purple fish|the children|somebody|"
    "the brave fox|both of us|the shop owner|a big white bear|this computer|the manager|Mom and Bob|many people|"
    "my boss|the boy with the mop|Phoebe|a famous poet"
)
_VERBS = (
    "put|bought|found|wanted|moved|gave up|forgot|loved|painted|watched|carried|opened|pushed|pulled|measured|"
    "would prefer|should have saved|usually kept|could not believe|threw|chose|joined|enjoyed|brought back|walked past|"
    "heard about|washed|is going to fix|was waiting for|laughed at|will show|described|may improve|became part of|"
    "proved|fell off|jumped over|mapped"
)
_OBJECTS = (
    "a small wooden boat|the map of the town|fresh bread and butter|the beige garage|a pair of leather shoes|"
    "some warm milk|the heavy book|a cup of coffee|the loud music|my favourite movie|the yellow umbrella|"
    "a very thick rope|the boiled vegetables|an unusual vision|the broken mirror|a jar of honey|"
    "the voice on the phone|good weather|the road to the farm|a cheap watch|the bathroom window|more power|a huge job|"
    "the paper cup|that thing over there|the cool evening air|the oil in the soil|a wolf in the woods|"
    "the ship in the harbour|a bump on the lamp|the above problem|enough rough stuff|a map of Africa|the deep pool"
)
_ENDINGS = (
    "in the morning|before lunch|last week|behind the house|for no reason|with a smile|after the rain|near the river|"
    "on the beach|at the same time|without any help|under the bridge|because of the noise|every Thursday|as usual|"
    "through the fog|far away from home|when the moon was full|if possible|once again|by the way|about an hour ago|"
    "from above|from time to time|on the map"
)
_OPENINGS = (
    "Well,|Okay, so|Yes,|No,|Actually,|Please remember that|Thank you very much,|I think|Maybe|How about that,|"
    "My goodness,|Look,|You know,|Right,|Hello everybody,|What if|Hmm,|Um,|I believe|By the way,"
)
_WHOLE = (
    "The birch canoe slid on the smooth planks|We pushed the boy off the chair for a joke|"
    "Very fat frogs jumped over the wall|Peter Piper picked a peck of pickled peppers|"
    "The quick brown fox jumps over the lazy dog|How much wood would a woodchuck chuck|She sells sea shells by the shore|"
    "Pack my box with a dozen liquor jugs|The beige hue on the waters of the loch impressed all|"
    "May I have a moment of your time|Why would you move the blue moon to the zoo|Mama made more muffins on Monday|"
    "Bob bought a big brown bag of bananas|Do you know what time the show begins|"
    "That is a very good question, and I am happy to answer it|Thanks for calling, how can I help you today|"
    "Vivian gave Faith a fine velvet scarf|What a wonderful world we have here|Let me see if I can find that for you|"
    "I would like to book a table for tonight|Welcome back, everybody, to the program|"
    "You may hang up or press the pound key for more options|If you wish to try again, simply stay on the line|"
    "This is a test of your microphone and of your speakers|Please leave a message after the tone|"
    "Both mothers wrapped up the baby boy|Above all, a film must move people"
)
SUBJECTS, VERBS, OBJECTS, ENDINGS, OPENINGS, WHOLE = (
    tuple(block.split("|")) for block in (_SUBJECTS, _VERBS, _OBJECTS, _ENDINGS, _OPENINGS, _WHOLE)
)
_FUNCTION_WORDS = "the|and|of|a|with|in|is|or|but|was|from|be|by|my|have|that|it|this|what|up|if|we|me|he"
FUNCTION_WORDS = tuple(_FUNCTION_WORDS.split("|"))


def usable_words(dictionary: Path) -> tuple[str, ...]:
    """Words of a CMU-style dictionary ("word PH PH …" a line) that may be spoken in training: no digit words."""
    words = (line.split(maxsplit=1)[0] for line in dictionary.read_text(encoding="utf-8").splitlines() if line.strip())
    return tuple(
        word
        for word in words
        if word.isascii() and word.isalpha() and MIN_WORD_LETTERS <= len(word) <= MAX_WORD_LETTERS and word.lower() not in DIGIT_WORDS
    )


def random_sentence(random: random.Random, words: Sequence[str]) -> str:
    """One sentence: words at random (so that every phone pair occurs), a fixed one, or one put together from phrases."""
    kind = random.random()
    if kind < 0.45:
        salad: list[str] = []
        for _ in range(random.randint(3, 9)):
            if random.random() < 0.35:
                salad.append(random.choice(FUNCTION_WORDS))
            salad.append(random.choice(words) + ("," if random.random() < 0.1 else ""))
        return " ".join(salad) + "."
    if kind < 0.52:
        return random.choice(words) + "."
    if kind < 0.62:
        return random.choice(WHOLE) + random.choice(".?!")
    sentence = f"{random.choice(SUBJECTS)} {random.choice(VERBS)} {random.choice(OBJECTS)} {random.choice(ENDINGS)}"
    if random.random() < 0.3:
        sentence = f"{random.choice(OPENINGS)} {sentence}"
    if random.random() < 0.25:
        sentence += f", and {random.choice(SUBJECTS)} {random.choice(VERBS)} {random.choice(OBJECTS)}"
    return sentence + random.choice("..?")


def random_word_list(random: random.Random, words: Sequence[str]) -> str:
    """A few words without grammar: for voices of other languages, which read them by their own letter-to-sound rules."""
    return " ".join(random.choice(words) for _ in range(random.randint(3, 9))) + "."


def few_words(random: random.Random, words: Sequence[str]) -> str:
    """One word, seldom two, as people answer: said alone, a word is slower and fuller than in a sentence."""
    short = [word for word in random.choices(words, k=8) if len(word) <= SHORT_WORD_LETTERS]
    first = random.choice(short or FUNCTION_WORDS)
    return first + (f" {random.choice(words)}." if random.random() < 0.2 else ".")
