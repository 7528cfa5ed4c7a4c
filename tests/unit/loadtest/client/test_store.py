"""The file of records: blank at first, shared by whoever maps it, reserved before the run."""

import resource
from pathlib import Path

import numpy as np
import pytest

from loadtest.client import store
from loadtest.records import DTYPE, ENDINGS, NEVER_NS


def test_a_new_file_holds_the_plan_and_nothing_else(tmp_path: Path) -> None:
    """Known columns are filled in; every request is unsent."""
    rows = store.create(tmp_path / "part", {"intended_ns": np.array([5, 6])}, 2)
    assert [5, 6] == rows["intended_ns"].tolist()
    assert [NEVER_NS] * 2 == rows["sent_ns"].tolist() == rows["done_ns"].tolist()
    assert {"unsent"} == {ENDINGS[ending] for ending in rows["ending"]}
    assert {-1} == set(rows["top"].ravel().tolist())


def test_what_one_process_writes_the_others_see(tmp_path: Path) -> None:
    """One row through one mapping, read through another."""
    first = store.create(tmp_path / "part", {}, 3)
    second = store.attach(tmp_path / "part", 3)
    row = second[1]
    row["done_ns"] = 77
    assert [NEVER_NS, 77, NEVER_NS] == first["done_ns"].tolist()


def test_room_is_reserved_before_the_run(tmp_path: Path) -> None:
    """Where a file may not become that large, creating it fails: not the run, half way through."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000 * DTYPE.itemsize - 1, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large"):
            store.create(tmp_path / "part", {}, 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
