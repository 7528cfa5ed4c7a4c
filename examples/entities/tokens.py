"""A query and a title as one sequence of tokens: [CLS] query [SEP] title [SEP].

Words are hashed, so that nothing need be downloaded and no word is unknown; two words that share a bucket are
one to the model. Beside its id every token has a kind, which says what hashing cannot: its side, whether the
other side has the same word or one with the same beginning, and how rare it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.entities.bm25 import Bm25
from examples.entities.words import words_of

LENGTH = 24
QUERY_WORDS_MAX = 10
PADDING, CLS, SEP = 0, 1, 2
IDS = 4096
"""Ids in all; a power of two is not needed, a table that stays in cache is nice."""
_FIRST_WORD = 3

_BEGINNING = 5
"""Letters that two words share to count as alike: plurals, inflections."""
_RARE = (4.0, 6.0, 8.0)
"""Idf at which a word's rarity goes up a step."""
_MATCHES = 3
KINDS = 1 + 2 * _MATCHES * (len(_RARE) + 1)
"""Kind 0 is for padding, [CLS] and [SEP]."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The candidates of one query.

    Attributes:
        ids, kinds: int64 [N, LENGTH], padded on the right with 0.
        length: int64 [N].
    """

    ids: NDArray[np.int64]
    kinds: NDArray[np.int64]
    length: NDArray[np.int64]


def tokens_of(query: str, titles: Sequence[str], collection: Bm25) -> Tokens:
    """Lay out a query with each of its candidates; what does not fit is cut off the title.

    Args:
        collection: knows how rare a word is.
    """
    asked = words_of(query)[:QUERY_WORDS_MAX]
    ids = np.zeros((len(titles), LENGTH), np.int64)
    kinds = np.zeros_like(ids)
    length = np.zeros(len(titles), np.int64)
    rarity = {word: int(np.searchsorted(_RARE, collection.idf(word))) for word in asked}
    for row, title in enumerate(titles):
        words = words_of(title)[: LENGTH - len(asked) - 3]
        for word in words:
            rarity.setdefault(word, int(np.searchsorted(_RARE, collection.idf(word))))
        line = [CLS, *map(hashed, asked), SEP, *map(hashed, words), SEP]
        kind = [0, *(_kind(0, word, words, rarity) for word in asked), 0]
        kind += [*(_kind(1, word, asked, rarity) for word in words), 0]
        ids[row, : len(line)], kinds[row, : len(line)], length[row] = line, kind, len(line)
    return Tokens(ids, kinds, length)


def hashed(word: str) -> int:
    """A word's id; the same on every machine."""
    return _FIRST_WORD + zlib.crc32(word.encode()) % (IDS - _FIRST_WORD)


def _kind(side: int, word: str, others: Sequence[str], rarity: dict[str, int]) -> int:
    match = 2 if word in others else int(any(_alike(word, other) for other in others))
    return 1 + (side * _MATCHES + match) * (len(_RARE) + 1) + rarity[word]


def _alike(one: str, other: str) -> bool:
    return len(one) >= _BEGINNING and one[:_BEGINNING] == other[:_BEGINNING]
