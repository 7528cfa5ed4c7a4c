"""What the orders are worth survives the disk."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from loadtest import truth as truths
from tests.unit.loadtest.fold.known import truth


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    """To the last field."""
    before = truth([[1, 0, 0, 0], [0, 2, 0, 1]], asked=[True, False])
    before.save(tmp_path / "truth.npz")
    after = truths.load(tmp_path / "truth.npz")
    for field in fields(before):
        np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """An archive of other columns is named, not half read."""
    np.savez(tmp_path / "other.npz", labels=np.zeros(3))
    with pytest.raises(ValueError, match="not the truth of a load test"):
        truths.load(tmp_path / "other.npz")


def test_columns_must_fit_together() -> None:
    """Labels for another number of candidates would shift every message behind them."""
    known = truth([[1, 0, 0, 0]])
    with pytest.raises(ValueError, match="candidates"):
        replace(known, labels=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="messages"):
        replace(known, asked=np.zeros(2, np.bool_))


def test_a_reference_is_both_orders() -> None:
    """Asked, but without an unquantised variant: no reference to lose anything against."""
    known = truth([[1, 0, 0, 0]] * 2, asked=[True, False])
    assert [True, False] == known.referenced.tolist()
    assert [False, False] == replace(known, against_top=np.full((2, 10), -1, np.int16)).referenced.tolist()
