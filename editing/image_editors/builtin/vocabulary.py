"""Words that the built-in editor understands. Phrases are lower case without hyphens; the longest one wins."""

from __future__ import annotations

PHRASES: dict[str, tuple[str, ...]] = {
    "zombie": ("zombie", "zombies", "undead", "walking dead", "living dead"),
    "older": (
        "old", "older", "elderly", "aged", "senior", "ancient", "wrinkled", "wrinkles",
        "grandpa", "grandma", "grandfather", "grandmother",
    ),
    "younger": ("young", "younger", "youthful", "teenager", "teenage", "child", "kid"),
    "make-up": ("make up", "makeup", "evening make up", "glamour make up", "glam make up", "full make up"),
    "goth make-up": ("goth make up", "gothic make up", "goth makeup", "gothic makeup", "goth", "gothic"),
    "bronze statue": (
        "bronze", "bronze statue", "bronze sculpture", "bronze bust", "made of bronze", "statue of bronze", "bust of bronze",
        "metal statue", "copper statue",
    ),
    "marble statue": (
        "marble", "marble statue", "marble sculpture", "marble bust", "made of marble", "statue of marble", "bust of marble",
        "stone statue", "stone sculpture", "made of stone", "greek statue", "roman statue", "classical statue",
    ),
    "pencil sketch": (
        "pencil", "sketch", "drawing", "pencil sketch", "pencil drawing", "graphite drawing", "charcoal drawing", "charcoal sketch",
        "hand drawn", "drawn by hand",
    ),
    "cartoon": (
        "cartoon", "cartoon character", "comic", "comic book", "comic book character", "comic character", "toon",
        "anime", "anime character", "animated character", "ink drawing",
    ),
    "neon": ("neon", "neon lights", "neon light", "neon glow", "glowing neon", "neon sign", "cyberpunk"),
    "oil painting": ("oil painting", "oil paint", "oil paints", "oil", "oils", "oil portrait"),
    "watercolour": (
        "watercolour", "watercolor", "water colour", "water color", "watercolour painting", "watercolor painting", "aquarelle",
    ),
    "Van Gogh": ("van gogh", "vincent van gogh", "gogh", "starry night"),
    "Munch": ("munch", "edvard munch", "edward munch", "the scream", "scream"),
    "Modigliani": ("modigliani", "amedeo modigliani"),
    "Fauvism": ("fauvism", "fauvist", "fauve", "matisse", "henri matisse"),
    "black and white": ("black and white", "black & white", "b&w", "bw", "monochrome", "greyscale", "grayscale"),
    "old photograph": (
        "old photograph", "old photo", "old picture", "old fashioned photograph", "old fashioned photo", "victorian photograph",
        "vintage", "vintage photo", "vintage photograph", "antique photo", "antique photograph", "sepia", "daguerreotype",
    ),
}  # fmt: skip
"""Look: ways to say it."""

WEAK: dict[str, str] = {
    "painting": "oil painting", "statue": "marble statue", "sculpture": "marble statue",
    "bust": "marble statue",
}  # fmt: skip
"""Words that name a look only where the sentence names no other of that kind: a Van Gogh painting is no oil painting besides."""
LAST_RESORT: dict[str, str] = {"paint": "oil painting", "painted": "oil painting"}
"""Words that name a look only where the sentence names nothing else: “paint her lips red” is no oil painting."""

PARTS: dict[str, tuple[str, ...]] = {
    "hair colour": ("hair", "hairs", "haircolour", "haircolor", "hairdo"),
    "skin tone": ("skin", "complexion", "skin tone", "skintone"),
    "lipstick": ("lips", "lipstick", "lip colour", "lip color", "mouth"),
    "eyeshadow": ("eyeshadow", "eye shadow", "eyelids", "eye make up", "eye makeup"),
    "blush": ("blush", "blusher", "rouge", "cheeks"),
}
"""Look that has colours: what it is called."""

ALONE: dict[str, tuple[str, str]] = {
    "blonde": ("hair colour", "blonde"), "blond": ("hair colour", "blonde"), "brunette": ("hair colour", "dark brown"),
    "redhead": ("hair colour", "ginger"), "redheaded": ("hair colour", "ginger"), "redhaired": ("hair colour", "ginger"),
    "ginger": ("hair colour", "ginger"), "tanned": ("skin tone", "tanned"), "tan": ("skin tone", "tanned"), "pale": ("skin tone", "pale"),
    "suntanned": ("skin tone", "tanned"), "bronze tan": ("skin tone", "tanned"), "bronze skin": ("skin tone", "tanned"),
    "bronzed": ("skin tone", "tanned"),
}  # fmt: skip
"""Words that name a part and its colour at once, where no part follows that they could belong to."""

FACE_WORDS = ("face", "faces")
"""The skin where a colour stands by it, a small word elsewhere."""

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "grey": ("gray",), "blonde": ("blond", "golden blonde"), "ginger": ("copper",), "platinum": ("platinum blonde", "platinum blond"),
    "turquoise": ("teal", "cyan", "aqua"), "tanned": ("tan", "suntanned"), "dark": (), "fair": ("light",), "golden": ("gold",),
    "violet": ("lilac", "lavender"), "dark red": ("burgundy", "crimson", "wine red", "deep red"), "red": ("bright red", "scarlet"),
    "pink": ("hot pink", "bright pink"), "dark blue": ("navy", "navy blue"), "light blue": ("sky blue", "pale blue"),
    "green": ("emerald", "bright green"), "auburn": ("chestnut",), "white": ("snow white",), "black": ("jet black",),
}  # fmt: skip
"""Colour: other words for it."""

INSTEAD: dict[str, dict[str, str]] = {
    "hair colour": {"dark": "dark brown", "fair": "blonde", "golden": "blonde", "gold": "blonde", "dark red": "auburn", "rose": "pink"},
    "skin tone": {
        "white": "pale", "black": "dark", "light brown": "olive", "dark brown": "dark", "gold": "golden", "silver": "grey",
        "violet": "purple",
    },
    "lipstick": {"dark": "plum", "golden": "gold", "pale": "nude", "fair": "nude", "dark blue": "blue", "tanned": "brown"},
    "eyeshadow": {"dark": "black", "golden": "gold", "dark blue": "blue", "dark brown": "brown", "yellow": "gold"},
    "blush": {"dark": "dark red", "fair": "rose", "golden": "gold"},
}  # fmt: skip
"""What a colour means on a part that does not have it."""

AMOUNTS: dict[str, float] = {
    "slightly": 0.5, "a bit": 0.5, "a little": 0.5, "a little bit": 0.5, "a touch of": 0.5, "subtle": 0.5, "subtly": 0.5, "mildly": 0.5,
    "somewhat": 0.6, "really": 1.2, "very": 1.25, "much": 1.25, "strongly": 1.3, "a lot": 1.3, "lots of": 1.3, "extremely": 1.45,
}  # fmt: skip
"""Factors of the strength."""

NEGATIONS = frozenset({
    "not", "no", "never", "without", "dont", "doesnt", "didnt", "isnt", "arent", "cannot", "cant", "except", "but", "unless", "nor",
    "neither", "less", "remove", "removed", "erase", "delete",
})  # fmt: skip
MEN, WOMEN = frozenset({"man", "men", "boy", "gentleman", "guy"}), frozenset({"woman", "women", "girl", "lady"})
HE, SHE = frozenset({"he", "him", "his", "himself"}), frozenset({"she", "her", "hers", "herself"})
SMALL_WORDS = frozenset({
    "make", "makes", "turn", "turns", "change", "changes", "render", "renders", "draw", "draws", "give", "gives", "put", "puts", "let",
    "lets", "convert", "transform", "create", "show", "add", "adds", "apply", "dye", "dyed", "dyes", "tint", "tinted", "use", "using",
    "colour", "color", "coloured", "colored", "wear", "wears", "wearing", "look", "looks", "looking", "become", "becomes",
    "be", "is", "are", "was", "were", "been", "being", "had", "has", "have", "having", "would", "could", "should", "can", "will",
    "a", "an", "the", "this", "that", "these", "there", "some", "it", "its", "them", "they", "their", "me", "my", "i", "you", "your",
    "like", "as", "into", "to", "in", "of", "on", "with", "and", "or", "at", "from", "by", "for", "out", "up", "over", "all", "so", "more",
    "what", "if", "please", "one", "person", "someone", "somebody", "people", "head", "portrait", "image", "video", "clip", "avatar",
    "picture", "photo", "photograph", "style", "styled", "styles", "palette", "strokes", "manner",
})  # fmt: skip
FILLERS = SMALL_WORDS | MEN | WOMEN | HE | SHE
"""Words that carry no meaning of their own here."""
DECADES = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
    "twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70, "eighties": 80, "nineties": 90,
}  # fmt: skip
