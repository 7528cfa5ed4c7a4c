"""The world's catalogue: tracks, podcasts and audiobooks, each of a genre, with a place in taste space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.ratings import Catalogue

KINDS = ("Track", "Podcast", "Audiobook")
KIND_SHARES = (0.7, 0.2, 0.1)
GENRES = {
    "Track": ("Ambient", "Folk", "Hip-Hop", "House", "Indie", "Jazz", "Metal", "Soul"),
    "Podcast": ("Comedy", "History", "News", "Science", "Sport", "True Crime"),
    "Audiobook": ("Biography", "Classics", "Fantasy", "Mystery", "Romance", "Thriller"),
}
_FIRST = (
    "Amber",
    "Broken",
    "Distant",
    "Electric",
    "Golden",
    "Hidden",
    "Midnight",
    "Paper",
    "Quiet",
    "Silver",
)
_SECOND = ("Bridge", "City", "Garden", "Harbour", "Letters", "Machine", "Mirror", "River", "Signal", "Winter")
_GENRE_SPREAD = 0.6
"""Distance of items from their genre's centre, in the centre's length: genres overlap but do not blur."""


@dataclass(frozen=True, slots=True)
class Items:
    """The catalogue with its ground truth; arrays are by catalogue row, row 0 (unknown) included.

    Attributes:
        catalogue: ids 1..items.
        popularity: float64 [rows], how often the first stage shows an item; Zipf; sums to 1; 0 for row 0.
        genre: int64 [rows], index into all genres.
        place: float64 [rows, dims], unit vectors; 0 for row 0.
        genre_centre: float64 [genres, dims], unit vectors.
    """

    catalogue: Catalogue
    popularity: NDArray[np.float64]
    genre: NDArray[np.int64]
    place: NDArray[np.float64]
    genre_centre: NDArray[np.float64]


def make_items(count: int, dims: int, zipf: float, rng: np.random.Generator) -> Items:
    """Make `count` items: popularity of rank r is proportional to r^-zipf, ranks fall on items at random."""
    labels = [(kind, genre) for kind in KINDS for genre in GENRES[kind]]
    shares = np.concatenate(
        [
            np.full(len(GENRES[kind]), share / len(GENRES[kind]))
            for kind, share in zip(KINDS, KIND_SHARES, strict=True)
        ]
    )
    centre = _unit(rng.normal(size=(len(labels), dims)))
    genre = rng.choice(len(labels), size=count, p=shares)
    place = _unit(centre[genre] + _GENRE_SPREAD * _unit(rng.normal(size=(count, dims))))
    popularity = np.arange(1, count + 1, dtype=np.float64) ** -zipf
    popularity = rng.permutation(popularity / popularity.sum())
    years = rng.integers(1990, 2026, size=count)
    items = {row + 1: (f"{_title(row)} ({years[row]})", labels[genre[row]]) for row in range(count)}
    return Items(
        Catalogue.of(items),
        np.concatenate([[0.0], popularity]),
        np.concatenate([[0], genre]),
        np.concatenate([np.zeros((1, dims)), place]),
        centre,
    )


def _title(row: int) -> str:
    part, rest = row // (len(_FIRST) * len(_SECOND)), row % (len(_FIRST) * len(_SECOND))
    name = f"{_FIRST[rest // len(_SECOND)]} {_SECOND[rest % len(_SECOND)]}"
    return f"{name}, part {part + 1}" if part else name


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length: NDArray[np.float64] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / length
