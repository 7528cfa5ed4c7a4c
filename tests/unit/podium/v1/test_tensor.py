"""numpy to the wire's Tensor: one table, little-endian, C order."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from podium.v1 import ranking_pb2 as pb
from podium.v1.tensor import NAME, NUMPY, WIRE, DTypeName, to_message


def test_the_tables_are_total() -> None:
    """Every dtype of the manifest has a numpy and a wire form; every wire dtype has a name."""
    assert set(get_args(DTypeName)) == set(NUMPY) == set(WIRE)
    assert set(pb.DType.values()) - {pb.DTYPE_UNSPECIFIED} == set(NAME)
    assert all(f"DTYPE_{name.upper()}" == pb.DType.Name(wire) for name, wire in WIRE.items())


@pytest.mark.parametrize("name", NUMPY)
def test_arrays_come_back(name: DTypeName) -> None:
    """dtype, shape and values survive, scalars included."""
    for array in (np.arange(6).reshape(2, 3).astype(NUMPY[name]), np.ones((), NUMPY[name])):
        message = to_message("x", array)
        assert ("x", WIRE[name], list(array.shape)) == (message.name, message.dtype, list(message.shape))
        back = np.frombuffer(message.data, NUMPY[NAME[message.dtype]]).reshape(message.shape)
        np.testing.assert_array_equal(array, back)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i8").reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        np.arange(12, dtype=np.int64).reshape(2, 6)[:, ::2] // 2,
    ],
    ids=["big-endian", "Fortran order", "strided"],
)
def test_memory_layout_does_not_reach_the_wire(array: np.ndarray[Any, Any]) -> None:
    """Whatever the array's layout, the bytes are C order; a big-endian array is refused, not misread."""
    if array.dtype.byteorder == ">":
        with pytest.raises(ValueError, match="cannot be sent"):
            to_message("x", array)
    else:
        assert np.arange(6, dtype="<i8").tobytes() == to_message("x", array).data


@pytest.mark.parametrize("dtype", ["float64", "uint16", "complex64", "U3", "object"])
def test_other_dtypes_are_refused_by_name(dtype: str) -> None:
    """The sentence names the tensor, its dtype and what can be sent."""
    with pytest.raises(ValueError, match=r"tensor 'x': dtype .* cannot be sent; use one of float32, float16"):
        to_message("x", np.zeros(2, dtype))
