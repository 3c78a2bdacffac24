from __future__ import annotations

from editing.score_distillation.identifiers import class_label, label, random_identifiers


def test_identifiers_are_unique_words_of_ten_letters_that_follow_from_the_seed() -> None:
    words = random_identifiers(500, 3)
    assert len(set(words)) == 500 and {len(word) for word in words} == {10}
    assert all(word.isascii() and word.islower() and word.isalpha() for word in words)
    assert words == random_identifiers(500, 3) and words[:5] == random_identifiers(5, 3) != random_identifiers(5, 4)


def test_labels_follow_the_papers_format() -> None:
    assert label("bodakizuho", "man") == "photo of a bodakizuho man" and class_label("woman") == "photo of a woman"
