"""Loads MovieTweetings (see README.md for its origin and licence), or the simulated world in its place."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from examples.data import Source, locate
from examples.ratings import Catalogue, Dataset, Ratings
from examples.world.simulation import WorldConfig, simulate

FOLDER = "movietweetings-100k"


def load(source: Source | None = None) -> Dataset:
    """The movie ratings, or about as many clicks of the simulated world when there are none.

    Args:
        source: where to look; None = wherever `examples.data.locate` finds them.
    """
    found = locate(FOLDER) if source is None else source
    return simulate(WorldConfig()).dataset if found.folder is None else read(found.folder, found.name)


def read(folder: Path, name: str) -> Dataset:
    """Read `ratings.dat.gz` and `movies.dat.gz`: UTF-8, `::` between fields, no header.

    Raises:
        ValueError: a line that does not have its fields, with file and line number.
    """
    ratings = [_integers(fields) for fields in _lines(folder / "ratings.dat.gz", fields=4)]
    user, item, rating, unix_s = np.array(ratings, np.int64).T
    movies = {
        int(key): (title, tuple(filter(None, genres.split("|"))))
        for key, title, genres in _lines(folder / "movies.dat.gz", fields=3)
    }
    return Dataset(Ratings.in_order(user, item, rating, unix_s), Catalogue.of(movies), name)


def _integers(fields: list[str]) -> list[int]:
    return [int(field) for field in fields]


def _lines(path: Path, fields: int) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("::") for line in file]
    for number, row in enumerate(rows, 1):
        if len(row) != fields:
            raise ValueError(f"{path.name}:{number}: expected {fields} fields, found {len(row)}")
    return rows
