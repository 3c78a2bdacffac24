"""A CLIP tokeniser with a vocabulary of our own: every word of the captions is one token, anything else is spelled in bytes.

Byte-pair encoding as CLIP has it: text in lower case, a word's last letter carries `</w>`, merges are applied from the first to the last.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MAX_TOKENS = 32
"""Of a prompt with its start and end. The rest of a longer one is cut off, as Stable Diffusion does after 77."""

Merge = tuple[str, str]


def byte_letters() -> list[str]:
    """The 256 bytes as the letters that byte-level encoding writes them with (GPT-2's table: printable Latin-1 stays what it is)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def merges_for(words: Iterable[str]) -> list[Merge]:
    """Merges by which each word becomes one token. ASCII words.

    A word gets merges for what those of the words before it leave of it. Merges that come later are only used where no earlier one fits, so
    they leave the earlier words as they are.
    """
    merges: list[Merge] = []
    for word in words:
        parts = merged(word, merges)
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = merged(word, merges)
    return merges


def merged(word: str, merges: Sequence[Merge]) -> list[str]:
    """The tokens of one word, without the byte table (ASCII words)."""
    rank = {merge: k for k, merge in enumerate(merges)}
    parts = [*word[:-1], word[-1] + WORD_END]
    while len(parts) > 1:
        best = min(itertools.pairwise(parts), key=lambda pair: rank.get(pair, len(rank)))
        if best not in rank:
            break
        result: list[str] = []
        for part in parts:
            if result and (result[-1], part) == best:
                result[-1] += part
            else:
                result.append(part)
        parts = result
    return parts


def build_tokenizer(words: Sequence[str]) -> Any:
    """A transformers CLIPTokenizer."""
    from transformers import CLIPTokenizer

    letters, merges = byte_letters(), merges_for(words)
    tokens = [*letters, *(letter + WORD_END for letter in letters), *(first + second for first, second in merges), START, END]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, rules = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        vocabulary.write_text(json.dumps({token: k for k, token in enumerate(dict.fromkeys(tokens))}), encoding="utf-8")
        rules.write_text("\n".join(["#version: 0.2", *(f"{first} {second}" for first, second in merges), ""]), encoding="utf-8")
        return CLIPTokenizer(str(vocabulary), str(rules), model_max_length=MAX_TOKENS)
