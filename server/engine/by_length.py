"""An engine that runs candidates of like length together: one call of another engine per group.

The scores come back in the batch's order, so that nobody outside need know. It counts what it really ran:
the share of padding is 1 - tokens / computed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from server.domain import Array, Scores, TokensRun
from server.engine.api import Batch, Brake, Engine, EngineError
from server.engine.buckets import buckets
from server.engine.layout import Layout


class ByLength:
    """Wraps the engine of a bundle that has a length axis.

    Attributes:
        call_tokens: what one more engine call costs, in tokens; see `server.warm_up.call_tokens`.
        run_so_far: since `begin_count`.
    """

    def __init__(self, engine: Engine, layout: Layout) -> None:
        assert layout.length is not None
        self.engine = engine
        self.computes_here = engine.computes_here
        self.call_tokens = 0.0
        self.run_so_far = TokensRun()
        self._lock = threading.Lock()  # guards run_so_far: executors share the engine
        names = [entry.name for entry in layout.candidates]
        self._long = frozenset(names[at] for at in layout.length.columns)
        self._by_row = frozenset(names) | {layout.row_to_context}

    def brake(self) -> Brake:
        """A brake for one executor."""
        return self.engine.brake()

    def begin_count(self) -> None:
        """Warm-up is not traffic."""
        self.run_so_far = TokensRun()

    def run(self, batch: Batch, brake: Brake | None = None) -> Mapping[str, Scores]:
        """Score one batch, group by group; the context is computed for each."""
        lengths = batch.lengths
        assert lengths is not None, "a batch of this layout has lengths"
        heads: dict[str, Scores] = {}
        computed = 0
        for rows in buckets(lengths, self.call_tokens):
            longest = int(lengths[rows[-1]])
            part = self.engine.run(self.group(batch, rows, longest), brake)
            scatter(heads, part, rows, batch.rows)
            computed += len(rows) * longest
        with self._lock:
            before = self.run_so_far
            self.run_so_far = TokensRun(before.tokens + int(lengths.sum()), before.computed + computed)
        return heads

    def group(self, batch: Batch, rows: NDArray[np.int64], longest: int) -> Batch:
        """Some rows of a batch, its length axis cut to `longest`."""
        feeds: dict[str, Array] = {}
        for name, array in batch.feeds.items():
            if name in self._long:
                array = array[:, :longest]
            feeds[name] = array.take(rows, axis=0) if name in self._by_row else array
        return Batch(feeds, len(rows))


def scatter(
    heads: dict[str, Scores], part: Mapping[str, Scores], rows: NDArray[np.int64], count: int
) -> None:
    """Put the scores of some rows of a batch of `count` into their places.

    Raises:
        EngineError: the engine gave another number of scores than it was given rows.
    """
    for head, scores in part.items():
        if scores.shape[:1] != rows.shape:
            raise EngineError(f"{len(rows)} candidates got scores of shape {list(scores.shape)}")
        if head not in heads:
            heads[head] = np.empty((count, *scores.shape[1:]), scores.dtype)
        heads[head][rows] = scores
