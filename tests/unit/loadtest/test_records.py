"""The raw truth of a run: kept whole, merged, read back."""

from pathlib import Path

import numpy as np
import pytest

from loadtest import records
from loadtest.records import ANSWERED, ENDINGS, KINDS, TIMEOUT
from server.errors import Kind
from tests.unit.loadtest.made import made


def test_there_is_an_ending_for_every_kind_of_refusal() -> None:
    """Podium's kinds are the server's, by the same words, and no two endings share one."""
    assert {kind.value for kind in Kind} == set(KINDS)
    assert len(ENDINGS) == len(set(ENDINGS))


def test_records_survive_the_disk(tmp_path: Path) -> None:
    """What is saved is what is loaded, to the last field."""
    before = made((0.0, 0.0, 3.0, ANSWERED), (1.0, 1.0, -1.0, TIMEOUT), reasons=("", "DEADLINE_EXCEEDED"))
    before.rows["reason"][1] = 1
    before.save(tmp_path / "records.npz")
    after = records.load(tmp_path / "records.npz")
    np.testing.assert_array_equal(before.rows, after.rows)
    assert before.reasons == after.reasons


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """An archive without the records' columns is named, not half read."""
    np.savez(tmp_path / "other.npz", intended_ns=np.zeros(3))
    with pytest.raises(ValueError) as caught:
        records.load(tmp_path / "other.npz")
    assert "not the records of a load test" in str(caught.value)
