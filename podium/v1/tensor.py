"""Tensors on the wire: the one table of dtypes, and numpy to `podium.v1.Tensor`.

Used by whoever writes requests (export's request set, the client) and by the server's decoder. Written by
hand, unlike its neighbours; it stands here so that `podium.client` needs `podium.v1` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from podium.v1 import ranking_pb2 as pb

DTypeName = Literal["float32", "float16", "int64", "int32", "int8", "uint8", "bool"]
NUMPY: Final[Mapping[DTypeName, np.dtype[Any]]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "int8": np.dtype("i1"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}
WIRE: Final[Mapping[DTypeName, int]] = {
    "float32": pb.DTYPE_FLOAT32,
    "float16": pb.DTYPE_FLOAT16,
    "int64": pb.DTYPE_INT64,
    "int32": pb.DTYPE_INT32,
    "int8": pb.DTYPE_INT8,
    "uint8": pb.DTYPE_UINT8,
    "bool": pb.DTYPE_BOOL,
}
NAME: Final[Mapping[int, DTypeName]] = {wire: name for name, wire in WIRE.items()}


def to_message(name: str, array: NDArray[Any]) -> pb.Tensor:
    """Encode an array as a Tensor: C order, little-endian.

    Raises:
        ValueError: the array's dtype has no name on the wire.
    """
    for dtype, wire in WIRE.items():
        if array.dtype == NUMPY[dtype]:
            data = np.ascontiguousarray(array, dtype=NUMPY[dtype]).tobytes()
            return pb.Tensor(name=name, dtype=pb.DType.Name(wire), shape=array.shape, data=data)
    raise ValueError(f"tensor {name!r}: dtype {array.dtype} cannot be sent; use one of {', '.join(NUMPY)}")
