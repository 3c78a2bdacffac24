from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from editing.style_diffusion.styles import identifier, vocabulary
from editing.style_diffusion.words import MAX_TOKENS, build_tokenizer, byte_letters, merged, merges_for

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("transformers")


def test_every_word_of_the_captions_is_one_token() -> None:
    tokenizer = build_tokenizer(vocabulary("man"))
    for word in vocabulary("man"):
        assert len(tokenizer(word).input_ids) == 3, word


def test_merges_for_later_words_leave_earlier_ones_whole() -> None:
    words = ("man", "woman", "human", "mango", "an")
    merges = merges_for(words)
    assert [merged(word, merges) for word in words] == [[f"{word}</w>"] for word in words]
    assert merged("manx", merges) != ["manx</w>"]


def test_identifiers_become_distinct_sequences_and_are_not_cut() -> None:
    tokenizer, generator = build_tokenizer(vocabulary("man")), np.random.default_rng(1)
    prompts = [f"a photo of a bronze statue of a {identifier(generator)} man turned to the right" for _ in range(200)]
    sequences = {tuple(tokenizer(prompt).input_ids) for prompt in prompts}
    assert len(sequences) == 200 and max(map(len, sequences)) <= MAX_TOKENS


@pytest.mark.parametrize("text", ["qhwzkbnrtd", "grüße 日本", "a%$#b 0123", "😀"])
def test_any_text_is_spelled_in_bytes_and_comes_back(text: str) -> None:
    tokenizer = build_tokenizer(vocabulary("man"))
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id


def test_byte_letters_are_those_of_published_vocabularies() -> None:
    letters = byte_letters()
    assert len(set(letters)) == 256
    assert letters[ord("a")] == "a" and letters[ord(" ")] == "Ġ" and letters[ord("\n")] == "Ċ" and letters[0xC3] == "Ã"


def test_a_saved_tokenizer_says_the_same(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = build_tokenizer(vocabulary("man"))
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert again("a qhwzkbnrtd man é").input_ids == tokenizer("a qhwzkbnrtd man é").input_ids
    assert again.model_max_length == MAX_TOKENS
