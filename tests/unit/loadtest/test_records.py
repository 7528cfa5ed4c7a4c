"""The raw truth of a run: kept whole, merged, read back."""

from pathlib import Path

import numpy as np
import pytest

from loadtest import records
from loadtest.records import ANSWERED, ENDINGS, KINDS, TIMEOUT, UNSENT
from server.errors import Kind
from tests.unit.loadtest.made import answered_after, made


def test_what_was_scheduled_is_on_record_before_it_is_sent() -> None:
    """A blank record is a request that was never sent: not answered, no instants."""
    rows = records.blank(np.array([5, 9]), np.array([1, 0]))
    assert [5, 9] == rows["intended_ns"].tolist()
    assert [1, 0] == rows["message"].tolist()
    assert {records.NEVER_NS} == {*rows["sent_ns"].tolist(), *rows["done_ns"].tolist()}
    assert records.Records(rows, ("",)).ended(UNSENT).all()


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


def test_merging_keeps_each_reason_s_name() -> None:
    """Processes number reasons as they meet them; the merged run numbers them anew, in order of instants."""
    one = made((3.0, 3.0, 4.0, "overloaded"), reasons=("", "OVERLOADED"))
    two = made(
        (1.0, 1.0, 2.0, "expired"),
        (5.0, 5.0, 6.0, "overloaded"),
        reasons=("", "EXPIRED_IN_QUEUE", "OVERLOADED"),
    )
    one.rows["reason"], two.rows["reason"] = 1, [1, 2]
    merged = records.merge([one, two])
    assert ["EXPIRED_IN_QUEUE", "OVERLOADED", "OVERLOADED"] == [
        merged.reasons[at] for at in merged.rows["reason"]
    ]
    assert [1_000_000, 3_000_000, 5_000_000] == merged.rows["intended_ns"].tolist()


def test_warm_up_is_cut_by_intended_instant() -> None:
    """A request belongs where it should have been sent, not where it was answered."""
    measured = answered_after(500.0, 1.0, 1.0).since(100_000_000)
    assert [100_000_000, 200_000_000] == measured.rows["intended_ns"].tolist()
