"""Lengths of a request's candidates, and tensors that do not agree about them."""

from __future__ import annotations

import numpy as np
import pytest

from protos.manifest import Input
from server.engine.layout import LengthAxis
from server.errors import Reason, Refused
from server.length_field import LengthField

INPUTS = [
    Input(name="ids", role="candidate", dtype="int64", shape=["N", "S"]),
    Input(name="kinds", role="candidate", dtype="int64", shape=["N", "S"]),
    Input(name="long", role="candidate", dtype="int64", shape=["N"]),
]
IDS = np.array([[5, 5, 0], [5, 0, 0]])


@pytest.mark.parametrize(("source", "lengths"), [(0, [2, 1]), (2, [3, 1])])
def test_lengths_are_read_from_the_source(source: int, lengths: list[int]) -> None:
    """From the ids' padding, or as sent, but never beyond what was sent."""
    field = LengthField(LengthAxis("S", 9, source, 0, (0, 1)), INPUTS)
    assert lengths == field.read([IDS, IDS, np.array([8, 1])]).tolist()


def test_tensors_that_differ_in_size_are_refused() -> None:
    """The sentence names both, and the axis."""
    field = LengthField(LengthAxis("S", 9, 0, 0, (0, 1)), INPUTS)
    with pytest.raises(Refused) as caught:
        field.read([IDS, IDS[:, :2], np.array([2, 1])])
    refusal = caught.value.refusal
    assert (Reason.INVALID_TENSOR, "candidates.columns[kinds]") == (refusal.reason, refusal.field)
    assert "has 2 positions along S, candidates.columns[ids] has 3; they must agree" in refusal.message
