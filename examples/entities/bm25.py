"""BM25 on titles: the first stage that callers come with, and what a ranker must beat.

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.2, with
k1 = 1.2 and b = 0.75, and idf = log(1 + (n - df + 0.5) / (df + 0.5)). It learns nothing from judgments.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from examples.entities.words import words_of

K1, B = 1.2, 0.75


class Bm25:
    """Scores titles of a collection."""

    def __init__(self, titles: Sequence[str]) -> None:
        split = [words_of(title) for title in titles]
        self._count = len(titles)
        self._mean_length = max(1.0, sum(map(len, split)) / max(1, len(split)))
        self._frequency = Counter(word for words in split for word in set(words))

    def idf(self, word: str) -> float:
        """How rare a word is among the titles; a word that none has is rarest."""
        frequency = self._frequency.get(word, 0)
        return math.log(1.0 + (self._count - frequency + 0.5) / (frequency + 0.5))

    def score(self, query: str, titles: Sequence[str]) -> NDArray[np.float32]:
        """Scores [N] of candidates."""
        asked = words_of(query)
        return np.array([self._one(asked, words_of(title)) for title in titles], np.float32)

    def _one(self, asked: Sequence[str], words: Sequence[str]) -> float:
        counts = Counter(words)
        norm = K1 * (1.0 - B + B * len(words) / self._mean_length)
        return sum(self.idf(word) * counts[word] * (K1 + 1.0) / (counts[word] + norm) for word in asked)
