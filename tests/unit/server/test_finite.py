"""`all_finite` says what numpy's `isfinite` says, by cheaper means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from server.finite import all_finite

LARGEST = [np.finfo(np.float32).max, -np.finfo(np.float32).max]


DTYPES: st.SearchStrategy[Any] = st.sampled_from([np.dtype("<f2"), np.dtype("<f4")])


@given(array=arrays.arrays(DTYPES, arrays.array_shapes(min_side=0)))
def test_any_bits_are_judged_as_numpy_judges_them(array: np.ndarray[Any, Any]) -> None:
    """All shapes, empty ones too; all numbers, infinities and NaNs of either sign."""
    assert bool(np.isfinite(array).all()) is all_finite(array)


@pytest.mark.parametrize("dtype", ["<f2", "<f4"])
@pytest.mark.parametrize("size", [1, 512, 513, 8192, 8193, 70_000])
@pytest.mark.parametrize("bits", ["nan", "-nan", "inf", "-inf"])
def test_one_bad_number_is_found_anywhere(dtype: str, size: int, bits: str) -> None:
    """At the start, in the middle and at the end, whichever of the ways is taken."""
    for at in {0, size // 2, size - 1}:
        array = np.full(size, -1.5, dtype)
        array[at] = float(bits)
        assert not all_finite(array)
        array[at] = 0.0
        assert all_finite(array)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [2, 100_000])
def test_the_largest_numbers_are_finite(size: int) -> None:
    """Squares overflow, and that is nobody's fault: no refusal, no warning."""
    assert all_finite(np.array(LARGEST * (size // 2), np.float32))
    assert all_finite(np.array([65504.0, -65504.0], np.float16))


def test_every_float16_is_judged_right() -> None:
    """All 65,536 of them, one by one."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    assert np.isfinite(every).tolist() == [all_finite(every[at : at + 1]) for at in range(1 << 16)]
