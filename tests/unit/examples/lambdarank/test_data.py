"""Reading LibSVM query groups."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from examples.lambdarank import data
from examples.lambdarank.data import FEATURES, load, read

ROWS = "2 1:0.5 300:1.0\n0\n1 2:0.25\n"


def _write(folder: Path, rows: str, sizes: str) -> None:
    with gzip.open(folder / "rank.train.gz", "wt", encoding="ascii") as file:
        file.write(rows)
    (folder / "rank.train.query").write_text(sizes)


def test_rows_become_dense_features_by_query(tmp_path: Path) -> None:
    """Indices count from one, what is missing is 0, sizes cut the rows into queries."""
    _write(tmp_path, ROWS, "2\n1\n")
    [(first, labels), (second, _)] = read(tmp_path, "train")

    assert [2.0, 0.0] == labels.tolist()
    assert (0.5, 1.0, 1.5) == (first[0, 0], first[0, FEATURES - 1], first.sum())
    assert [1] == np.flatnonzero(second[0]).tolist()


def test_queries_can_be_picked(tmp_path: Path) -> None:
    """The second query alone has its own row and label."""
    _write(tmp_path, ROWS, "2\n1\n")
    [(features, labels)] = read(tmp_path, "train").at(np.array([1]))

    assert ([1.0], 0.25) == (labels.tolist(), features.sum())


def test_sizes_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    """Three rows cannot be queries of 2 and 2."""
    _write(tmp_path, ROWS, "2\n2\n")

    with pytest.raises(ValueError, match="counts 4 rows"):
        read(tmp_path, "train")


def test_an_unknown_feature_is_refused(tmp_path: Path) -> None:
    """Feature 301 does not exist; the row is named."""
    _write(tmp_path, "1 301:0.5\n", "1\n")

    with pytest.raises(ValueError, match="gz:1: feature 301"):
        read(tmp_path, "train")


def test_without_data_there_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the folder and where to put it."""
    monkeypatch.setattr("examples.data.REPOSITORY", tmp_path / "repository")
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path))

    with pytest.raises(FileNotFoundError, match=data.FOLDER):
        load()
