"""Requests as traffic brings them: how many candidates, and how long each is, [CLS] query [SEP] text [SEP].

Drawn from counted histograms (`traffic` of `examples.data`: WordPieces of queries and texts, candidates per
query); where they are missing, from distributions of the same means, and `source` says so. A request's query
is part of each of its candidates, so its length is drawn once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.data import locate

Lengths = NDArray[np.int64]
SPECIAL = 3
"""[CLS] and two [SEP]."""

KINDS = {
    "movie titles, 24 a query": ("msrd_query", ("msrd_title",), "msrd_candidates_per_query"),
    "entity titles, 88 a query": ("dbpedia_query", ("dbpedia_entity_title",), "dbpedia_candidates_per_query"),
    "titles with overviews, 24": ("msrd_query", ("msrd_title", "msrd_overview"), "msrd_candidates_per_query"),
}
"""Kind of traffic -> histograms of the query, of the text's parts, and of candidates per query."""
MEANS = {
    "msrd_query": 4.5,
    "msrd_title": 4.0,
    "msrd_overview": 59.6,
    "msrd_candidates_per_query": 24.0,
    "dbpedia_query": 6.3,
    "dbpedia_entity_title": 4.6,
    "dbpedia_candidates_per_query": 99.0,
}


class Traffic:
    """Draws requests of one kind."""

    def __init__(self, kind: str, seed: int) -> None:
        self._query, self._texts, self._counts = KINDS[kind]
        self._rng = np.random.default_rng(seed)
        found = locate("traffic")
        self.source = found.name
        self._histograms = {} if found.folder is None else _read(found.folder)

    def request(self) -> Lengths:
        """Tokens of each candidate of one request, int64 [N]."""
        count = int(self._draw(self._counts, 1)[0])
        text = sum((self._draw(name, count) for name in self._texts), np.zeros(count, np.int64))
        return self._draw(self._query, 1) + text + SPECIAL

    def _draw(self, name: str, count: int) -> Lengths:
        histogram = self._histograms.get(name)
        if histogram is None:
            return 1 + self._rng.negative_binomial(4, 4 / (3 + MEANS[name]), count)
        values, weights = histogram
        drawn: Lengths = self._rng.choice(values, count, p=weights)
        return drawn


def _read(folder: Path) -> dict[str, tuple[Lengths, NDArray[np.float64]]]:
    blocks = json.loads((folder / "text_lengths.json").read_text("utf-8"))["blocks"]
    counted: dict[str, Mapping[str, int]] = {name: block["wordpieces"] for name, block in blocks.items()}
    counted |= json.loads((folder / "candidate_counts.json").read_text("utf-8"))
    return {name: _histogram(counted[name]) for name in MEANS}


def _histogram(counted: Mapping[str, int]) -> tuple[Lengths, NDArray[np.float64]]:
    values = np.array([int(value) for value in counted], np.int64)
    weights = np.array(list(counted.values()), np.float64)
    return values, weights / weights.sum()
