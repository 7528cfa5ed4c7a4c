"""Tensors on the wire, for the parts that build on the contracts; the table is `podium.v1.tensor`."""

from podium.v1.tensor import NAME, NUMPY, WIRE, to_message

__all__ = ["NAME", "NUMPY", "WIRE", "to_message"]
