"""A query and its candidates' titles as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.entities.data import Query
from examples.minilm.model import LENGTH


@dataclass(frozen=True, slots=True)
class Pairs:
    """One query with its candidates.

    Attributes:
        tokens, sides: int64 [N, LENGTH], padded on the right with 0.
        length: int64 [N].
        grades: float32 [N].
    """

    tokens: NDArray[np.int64]
    sides: NDArray[np.int64]
    length: NDArray[np.int64]
    grades: NDArray[np.float32]

    @classmethod
    def of(cls, query: Query, tokenizer: Any) -> Pairs:
        """Tokenise; `tokenizer` is a `tokenizers.Tokenizer`."""
        tokenizer.enable_truncation(LENGTH, strategy="only_second")
        tokenizer.no_padding()
        found = tokenizer.encode_batch([(query.text, title) for title in query.titles])
        tokens = np.zeros((len(found), LENGTH), np.int64)
        sides = np.zeros_like(tokens)
        length = np.zeros(len(found), np.int64)
        for row, one in enumerate(found):
            size = len(one.ids)
            tokens[row, :size], sides[row, :size], length[row] = one.ids, one.type_ids, size
        return cls(tokens, sides, length, query.grades)

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """What `MiniLm.score` takes, of these candidates."""
        columns = {"tokens": self.tokens, "sides": self.sides, "tokens_length": self.length}
        return {name: column[rows] for name, column in columns.items()}

    def some(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """At most so many candidates, evenly drawn, in their order."""
        size = min(count, len(self.grades))
        return np.sort(rng.choice(len(self.grades), size, replace=False)).astype(np.int64)


def all_pairs(queries: Sequence[Query], tokenizer: Any) -> tuple[Pairs, ...]:
    """Every query, in order."""
    return tuple(Pairs.of(query, tokenizer) for query in queries)
