"""Reading DBpedia-Entity, and the simulated stand-in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from examples.entities.data import FOLDS, load, read, simulate


def _write(folder: Path, folds: object) -> None:
    (folder / "queries-v2.txt").write_text("q1\tvietnam war\nq2\tguitar\n", encoding="utf-8")
    rows = ["q1\tQ0\t<dbpedia:Vietnam_War>\t2", "q1\tQ0\t<dbpedia:War>\t0", "q2\tQ0\t<dbpedia:Guitar>\t1"]
    with gzip.open(folder / "qrels-v2.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(rows) + "\n")
    (folder / "folds.json").write_text(json.dumps(folds), encoding="utf-8")


def test_judgments_become_queries_with_titles(tmp_path: Path) -> None:
    """Entity names lose their prefix and underscores; folds are rows."""
    _write(tmp_path, {"0": {"training": ["q1"], "testing": ["q2"]}})
    data = read(tmp_path, "here")

    assert ("vietnam war", ("Vietnam War", "War")) == (data.queries[0].text, data.queries[0].titles)
    assert [2.0, 0.0] == data.queries[0].grades.tolist()
    assert [[0], [1]] == [part.tolist() for part in data.folds[0]]


def test_a_fold_with_an_unknown_query_is_refused(tmp_path: Path) -> None:
    """The query is named."""
    _write(tmp_path, {"0": {"training": ["q1"], "testing": ["q9"]}})

    with pytest.raises(ValueError, match="names query 'q9'"):
        read(tmp_path, "here")


def test_without_data_the_world_stands_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And says so."""
    monkeypatch.setattr("examples.data.REPOSITORY", tmp_path / "repository")
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path))

    assert "simulated" == load().source


def test_simulated_folds_are_disjoint_and_whole() -> None:
    """Every query is tested once; every query has something relevant and something not."""
    data = simulate(seed=1, queries=40)

    assert FOLDS == len(data.folds)
    assert list(range(40)) == sorted(np.concatenate([test for _, test in data.folds]).tolist())
    assert all(not set(train) & set(test) for train, test in data.folds)
    assert all(query.grades.max() > 0 and len(query.grades) > 1 for query in data.queries)
