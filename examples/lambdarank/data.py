"""Loads LightGBM's lambdarank example data (see README.md for its origin and licence)."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.data import locate

FOLDER = "lightgbm-lambdarank"
FEATURES = 300


@dataclass(frozen=True, slots=True)
class Queries:
    """Query groups of documents; documents of one query are consecutive.

    Attributes:
        features: float32 [M, 300], 0 to 1, mostly 0.
        labels: float32 [M], graded relevance 0 to 4.
        offsets: int64 [queries + 1], where each query begins.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Features [N, 300] and labels [N] of each query."""
        for first, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.features[first:end], self.labels[first:end]

    def at(self, queries: NDArray[np.int64]) -> Queries:
        """These queries alone, in this order."""
        sizes = np.diff(self.offsets)[queries]
        rows = np.concatenate([np.arange(self.offsets[query], self.offsets[query + 1]) for query in queries])
        return Queries(self.features[rows], self.labels[rows], np.concatenate([[0], np.cumsum(sizes)]))


@dataclass(frozen=True, slots=True)
class RankData:
    """Training and test queries, and the words that say what they are."""

    train: Queries
    test: Queries
    source: str


def load() -> RankData:
    """The data that `examples.data.locate` finds.

    Raises:
        FileNotFoundError: there is none; this example has no simulated stand-in.
    """
    found = locate(FOLDER)
    if found.folder is None:
        raise FileNotFoundError(
            f"the lambdarank example needs the folder {FOLDER!r} in $PODIUM_DATA or ./data; "
            "examples/lambdarank/README.md says where it comes from"
        )
    return RankData(read(found.folder, "train"), read(found.folder, "test"), found.name)


def read(folder: Path, split: str) -> Queries:
    """Read `rank.SPLIT.gz` (LibSVM rows: label index:value ...) and `rank.SPLIT.query` (rows per query).

    Raises:
        ValueError: the query sizes do not add up to the rows, or an index lies outside 1..300.
    """
    with gzip.open(folder / f"rank.{split}.gz", "rt", encoding="ascii") as file:
        rows = [line.split() for line in file]
    features = np.zeros((len(rows), FEATURES), np.float32)
    labels = np.array([float(row[0]) for row in rows], np.float32)
    for at, row in enumerate(rows):
        for pair in row[1:]:
            index, value = pair.split(":")
            if not 1 <= int(index) <= FEATURES:
                raise ValueError(f"rank.{split}.gz:{at + 1}: feature {index} lies outside 1..{FEATURES}")
            features[at, int(index) - 1] = float(value)
    sizes = [int(line) for line in (folder / f"rank.{split}.query").read_text().split()]
    if sum(sizes) != len(rows):
        raise ValueError(f"rank.{split}.query counts {sum(sizes)} rows, rank.{split}.gz has {len(rows)}")
    return Queries(features, labels, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
