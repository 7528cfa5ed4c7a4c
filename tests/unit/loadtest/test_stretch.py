"""Parts of the records: views where nothing lies between, the same records either way."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadtest.records import stretch
from tests.unit.loadtest.made import answered_after


@given(st.lists(st.booleans(), max_size=20))
def test_a_mask_and_its_indices_pick_what_numpy_picks(mask: list[bool]) -> None:
    """Whatever the form, the part is the same."""
    values, picked = np.arange(len(mask)), np.array(mask, np.bool_)
    expected = values[picked].tolist()
    assert expected == values[stretch(picked)].tolist() == values[stretch(np.flatnonzero(picked))].tolist()


def test_one_stretch_is_not_copied() -> None:
    """Neighbours share the memory of the whole; a part with a gap does not."""
    records = answered_after(1.0, 2.0, 3.0, 4.0)
    assert np.shares_memory(records.rows, records.where(np.array([1, 2, 3])).rows)
    assert not np.shares_memory(records.rows, records.where(np.array([True, False, True, False])).rows)
