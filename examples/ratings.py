"""Who rated what when, and what there is to rate: the one schema that real and simulated data share.

Rule: loaders and simulators return a `Dataset`; everything after them sees catalogue rows, never raw ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN_ROW = 0
"""The row of an id that the catalogue does not hold; its key is not an id."""

_YEAR = re.compile(r"\((\d{4})\)\s*$")


@dataclass(frozen=True, slots=True)
class Ratings:
    """Ratings, one per row of four arrays [M], sorted by user, then time, then order of arrival.

    Attributes:
        user: int64 ids.
        item: int64, raw ids or catalogue rows, as the owner says.
        rating: float32, 0 to 10.
        unix_s: int64, when.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float32]
    unix_s: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)

    @staticmethod
    def in_order(
        user: NDArray[Any], item: NDArray[Any], rating: NDArray[Any], unix_s: NDArray[Any]
    ) -> Ratings:
        """Sort arrays that came in any order; equal (user, time) keep the order they came in."""
        order = np.lexsort((unix_s, user))
        return Ratings(
            user[order].astype(np.int64),
            item[order].astype(np.int64),
            rating[order].astype(np.float32),
            unix_s[order].astype(np.int64),
        )

    def where(self, keep: NDArray[np.bool_]) -> Ratings:
        """The ratings at which `keep` [M] is true."""
        return Ratings(self.user[keep], self.item[keep], self.rating[keep], self.unix_s[keep])


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The items, by row; row 0 is the unknown item.

    Attributes:
        keys: int64 [rows], ascending ids behind the key 0 of the unknown row.
        titles: one per row, as "Title (year)".
        kinds: genres or kinds, one tuple per row.
    """

    keys: NDArray[np.int64]
    titles: tuple[str, ...]
    kinds: tuple[tuple[str, ...], ...]

    @staticmethod
    def of(items: dict[int, tuple[str, tuple[str, ...]]]) -> Catalogue:
        """Build from id -> (title, kinds).

        Raises:
            ValueError: an id is not positive, so that it could be mistaken for the unknown key.
        """
        ids = sorted(items)
        if ids and ids[0] <= 0:
            raise ValueError(f"item ids must be positive, got {ids[0]}")
        return Catalogue(
            np.array([0, *ids], np.int64),
            ("(unknown)", *(items[key][0] for key in ids)),
            ((), *(items[key][1] for key in ids)),
        )

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Catalogue rows of raw ids; UNKNOWN_ROW where there is none."""
        at = np.minimum(np.searchsorted(self.keys, ids), len(self.keys) - 1)
        return np.where(self.keys[at] == ids, at, UNKNOWN_ROW).astype(np.int64)

    def years(self) -> NDArray[np.float32]:
        """Year of each row [rows], from its title; the median year where a title names none."""
        found = [_YEAR.search(title) for title in self.titles]
        years = np.array([float(match[1]) if match else np.nan for match in found], np.float32)
        known = ~np.isnan(years)
        return np.where(known, years, np.median(years[known]) if known.any() else 0.0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set and the words that say what it is.

    Attributes:
        ratings: with raw item ids.
        catalogue: of every item rated.
        source: for people: what this is and where it came from, without a path.
    """

    ratings: Ratings
    catalogue: Catalogue
    source: str
