"""A query and a title become one sequence of ids and kinds."""

from __future__ import annotations

import math

import pytest

from examples.entities.bm25 import B, Bm25
from examples.entities.tokens import CLS, IDS, KINDS, LENGTH, SEP, hashed, tokens_of
from examples.entities.words import words_of

TITLES = ["Vietnam War", "Vietnamese cuisine", "War", "Guitar"]


def test_words_are_lower_case_letters_and_digits() -> None:
    """Punctuation separates, accents and digits stay."""
    assert ["são", "paulo", "fc", "1935"] == words_of("São_Paulo F.C. (1935)".replace("F.C.", "FC"))


def test_the_layout() -> None:
    """[CLS] query [SEP] title [SEP], padded on the right with 0."""
    tokens = tokens_of("vietnam war", ["War"], Bm25(TITLES))

    assert [CLS, hashed("vietnam"), hashed("war"), SEP, hashed("war"), SEP] == tokens.ids[0, :6].tolist()
    assert not tokens.ids[0, 6:].any()
    assert not tokens.kinds[0, 6:].any()
    assert [6] == tokens.length.tolist()


def test_kinds_say_what_the_other_side_has() -> None:
    """The same word, one with the same beginning, and neither are three kinds; so are the two sides."""
    tokens = tokens_of("vietnam war", ["Vietnam", "Vietnamese", "Guitar"], Bm25(TITLES))
    asked, titled = tokens.kinds[:, 1].tolist(), tokens.kinds[:, 4].tolist()

    assert 3 == len(set(asked)) == len(set(titled))
    assert not set(asked) & set(titled)


def test_what_is_too_long_is_cut_off_the_title() -> None:
    """The query keeps ten words; the sequence ends with [SEP] at its maximum."""
    tokens = tokens_of("w " * 30, ["t " * 50], Bm25(TITLES))

    assert [LENGTH] == tokens.length.tolist()
    assert 10 == (tokens.ids[0] == hashed("w")).sum()
    assert SEP == tokens.ids[0, -1]


def test_every_id_and_kind_has_a_row() -> None:
    """Hashes and kinds stay inside the tables."""
    collection = Bm25([f"word{n}" for n in range(3000)])
    tokens = tokens_of("word1 strange", [f"word{n} word1 strangers" for n in range(200)], collection)

    assert 0 <= tokens.ids.min() <= tokens.ids.max() < IDS
    assert 0 <= tokens.kinds.min() <= tokens.kinds.max() < KINDS


def test_bm25_by_hand() -> None:
    """One of four titles has the word; at the mean length the saturation term is 1, and idf is all."""
    collection = Bm25(["a b", "c d", "e f", "g h"])

    assert [pytest.approx(math.log(1 + 3.5 / 1.5)), 0.0] == collection.score("a", ["a b", "c d"]).tolist()
    short = collection.score("a", ["a"])[0]
    norm = 1.2 * (1 - B + B * 0.5)
    assert short == pytest.approx(math.log(1 + 3.5 / 1.5) * 2.2 / (1 + norm))
