"""Reading the movie ratings."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from examples.data import Source
from examples.movies.data import load, read
from examples.ratings import Dataset

MOVIES = "0000007::Älterer Film (1950)::Drama|Short\n0000003::Empty (1999)::\n"


def _write(folder: Path, ratings: str) -> None:
    for name, text in (("ratings.dat.gz", ratings), ("movies.dat.gz", MOVIES)):
        with gzip.open(folder / name, "wt", encoding="utf-8") as file:
            file.write(text)


def test_ratings_and_movies_are_read(tmp_path: Path) -> None:
    """Ids lose their leading zeros, genres may be empty, ratings come out in order of time."""
    _write(tmp_path, "1::0000007::8::200\n1::0000003::5::100\n")
    dataset = read(tmp_path, "a test")

    assert [3, 7] == dataset.ratings.item.tolist()
    assert ("(unknown)", "Empty (1999)", "Älterer Film (1950)") == dataset.catalogue.titles
    assert ((), (), ("Drama", "Short")) == dataset.catalogue.kinds
    assert "a test" == dataset.source


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    """The error says which line of which file lacks a field."""
    _write(tmp_path, "1::0000007::8::200\n1::0000003::5\n")

    with pytest.raises(ValueError, match=r"ratings\.dat\.gz:2: expected 4 fields, found 3"):
        read(tmp_path, "a test")


def test_without_data_the_world_is_simulated() -> None:
    """The stand-in has about as many ratings as the real data, and its source says that it is simulated."""
    dataset = load(Source("simulated", None))

    assert dataset.source.startswith("simulated listening world")
    assert 50_000 < len(dataset.ratings) < 200_000


def test_the_real_data_is_complete(real: Dataset) -> None:
    """100,000 ratings by 16,554 users of 10,506 movies (and the unknown row)."""
    assert (100_000, 16_554, 10_507) == (
        len(real.ratings),
        len(set(real.ratings.user.tolist())),
        len(real.catalogue),
    )
