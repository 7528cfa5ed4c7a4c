"""Loads DBpedia-Entity v2 (see README.md for its origin and licence), or makes something like it.

Where the data is missing, the simulated world's titles stand in: queries are words of titles, and what shares
words and genre with the item that was meant is relevant.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.data import SIMULATED, locate
from examples.world.items import make_items

FOLDER = "dbpedia-entity-v2"
FOLDS = 5
SIMULATED_QUERIES, SIMULATED_ITEMS, SIMULATED_CANDIDATES = 200, 2_000, 40


@dataclass(frozen=True, slots=True)
class Query:
    """One query with its judged candidates.

    Attributes:
        titles: of the candidates.
        grades: float32 [N], 0 to 2.
    """

    text: str
    titles: tuple[str, ...]
    grades: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Entities:
    """Queries with fixed folds.

    Attributes:
        folds: (training, testing) rows of `queries`, int64, of each fold.
        source: for people.
    """

    queries: tuple[Query, ...]
    folds: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    source: str

    def at(self, rows: NDArray[np.int64]) -> list[Query]:
        """These queries."""
        return [self.queries[row] for row in rows]

    def titles(self) -> list[str]:
        """Every title once, sorted."""
        return sorted({title for query in self.queries for title in query.titles})


def load() -> Entities:
    """The data that `examples.data.locate` finds, else the simulated stand-in."""
    found = locate(FOLDER)
    return simulate(seed=0) if found.folder is None else read(found.folder, found.name)


def read(folder: Path, source: str) -> Entities:
    """Read `queries-v2.txt`, `qrels-v2.txt.gz` (TREC qrels) and `folds.json`.

    Raises:
        ValueError: a fold names a query without judgments.
    """
    judged: dict[str, list[tuple[str, float]]] = {}
    with gzip.open(folder / "qrels-v2.txt.gz", "rt", encoding="utf-8") as file:
        for line in file:
            name, _, entity, grade = line.split("\t")
            judged.setdefault(name, []).append((_title(entity), float(grade)))
    texts = dict(line.split("\t", 1) for line in (folder / "queries-v2.txt").read_text("utf-8").splitlines())
    rows = {name: row for row, name in enumerate(judged)}
    queries = [
        Query(texts[name], tuple(title for title, _ in found), np.array([g for _, g in found], np.float32))
        for name, found in judged.items()
    ]
    folds = []
    for fold in json.loads((folder / "folds.json").read_text("utf-8")).values():
        if missing := [name for name in (*fold["training"], *fold["testing"]) if name not in rows]:
            raise ValueError(f"folds.json names query {missing[0]!r}, which has no judgments")
        parts = ([rows[name] for name in fold[part]] for part in ("training", "testing"))
        folds.append(tuple(np.array(part, np.int64) for part in parts))
    return Entities(tuple(queries), tuple((train, test) for train, test in folds), source)


def simulate(seed: int, queries: int = SIMULATED_QUERIES) -> Entities:
    """Titles of the simulated world, and queries made of their words."""
    rng = np.random.default_rng(seed)
    items = make_items(SIMULATED_ITEMS, dims=8, zipf=1.0, rng=rng)
    titles = [items.catalogue.titles[row] for row in range(1, SIMULATED_ITEMS + 1)]
    made = [_simulated(titles, items.genre[1:], rng) for _ in range(queries)]
    order = rng.permutation(queries)
    parts = np.array_split(order, FOLDS)
    return Entities(
        tuple(made), tuple((np.setdiff1d(order, part), np.sort(part)) for part in parts), SIMULATED
    )


def _simulated(titles: Sequence[str], genre: NDArray[np.int64], rng: np.random.Generator) -> Query:
    meant = int(rng.integers(len(titles)))
    words = titles[meant].replace(",", "").replace("(", "").replace(")", "").split()
    asked = [word for word in words if rng.random() < 0.7] or words[:1]
    sharing = [row for row, title in enumerate(titles) if any(word in title for word in asked)]
    others = rng.choice(sharing, size=min(len(sharing), SIMULATED_CANDIDATES), replace=False)
    rows = np.unique(np.append(others, meant))
    shared = np.array([sum(word in titles[row] for word in asked) / len(asked) for row in rows])
    grades = (shared > 0.6).astype(np.float32) + (genre[rows] == genre[meant])
    grades[shared <= 0.6] = 0.0
    return Query(" ".join(asked).lower(), tuple(titles[row] for row in rows), grades.astype(np.float32))


def _title(entity: str) -> str:
    """`<dbpedia:Entity_Name>` to `Entity Name`."""
    return entity.removeprefix("<dbpedia:").removesuffix(">").replace("_", " ")
