"""Tensors of a request: what a bundle expects of each, worked out at load, and the reading of one.

All knowledge of `podium.v1.Tensor` is here. A sound tensor costs a few comparisons; only for a bad one is it
worked out what is wrong with it, in the order in which a caller would look: dtype, axes, bytes, shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import contains
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from podium.v1 import ranking_pb2 as pb
from protos.manifest import DTypeName, Input
from protos.tensor import NAME, NUMPY, WIRE
from server.domain import Array
from server.engine.layout import Vocabulary
from server.errors import Reason, Refusal, Refused
from server.finite import all_finite


class Tensors(Protocol):
    """A repeated field of tensors."""

    def __getitem__(self, at: slice, /) -> list[pb.Tensor]: ...


class TensorSet:
    """The names of the tensors that one repeated field must hold: no more, no less, in any order."""

    def __init__(self, field: str, names: Sequence[str], count_max: int) -> None:
        """`field` is the path for refusals; of more than `count_max` tensors none is looked at."""
        self._field = field
        self._names = list(names)
        self._count_max = count_max
        self._looked_at = slice(count_max + 1)

    def take(self, tensors: Tensors) -> list[pb.Tensor]:
        """The field's tensors in the order of the names.

        Raises:
            Refused: INVALID_TENSOR, one is unknown, missing or given twice, or there are too many.
        """
        sent = tensors[self._looked_at]
        names = [tensor.name for tensor in sent]
        if names == self._names and len(sent) <= self._count_max:
            return sent
        self._check_complete(names)
        return [sent[names.index(name)] for name in self._names]

    def _check_complete(self, sent: Sequence[str]) -> None:
        field, seen = self._field, set[str]()
        for at, name in enumerate(sent):
            if at == self._count_max:
                raise _invalid(f"{field} holds more than {at} tensors.", field)
            if name not in self._names:
                # The position names it: a tensor's name is the caller's text, and may be anything.
                path = f"{field}[{at}]"
                raise _invalid(f"{path} is not an input of this model; it takes {sorted(self._names)}.", path)
            if name in seen:
                raise _invalid(f"{field}[{name}] is given more than once.", f"{field}[{name}]")
            seen.add(name)
        missing = set(self._names) - seen
        if missing:
            path = f"{field}[{min(missing)}]"
            raise _invalid(f"{path} is missing.", path)


class _TensorField:
    """One input that arrives as a tensor.

    Attributes:
        path: as in refusals.
        dtypes: DType on the wire -> numpy's, of those that are taken, and whether all numbers must be finite.
        axes: how many.
    """

    def __init__(self, path: str, entry: Input, axes: int) -> None:
        self.path = path
        self.axes = axes
        taken: dict[DTypeName, None] = dict.fromkeys((entry.dtype, *entry.accepts))
        self._names = list(taken)
        checked = entry.vocab is None and entry.non_finite != "allow"
        self.dtypes: Mapping[int, tuple[np.dtype[Any], bool]] = {
            WIRE[name]: (NUMPY[name], checked and NUMPY[name].kind == "f") for name in taken
        }

    def misfit(self, tensor: pb.Tensor, data: bytes | memoryview, expected: str) -> Refused:
        """What is wrong with a tensor of which something is; `expected` says the shape for a person."""
        dtype, path = NAME.get(tensor.dtype), self.path
        if dtype not in self._names:
            wanted = " or ".join(self._names)
            return _invalid(f"{path} has dtype {dtype or 'unspecified'}; this model takes {wanted}.", path)
        count = len(tensor.shape)
        if count != self.axes:  # before the shape is used or quoted: it may have a million axes
            return _invalid(f"{path} has {count} axes; expected {self.axes}.", path)
        shape, size = tensor.shape[:], len(data)
        needed = math.prod(shape) * NUMPY[dtype].itemsize
        if size != needed or min(shape, default=0) < 0:
            return _invalid(f"{path} has {size} bytes; shape {shape} of {dtype} takes {needed}.", path)
        try:
            np.frombuffer(data, NUMPY[dtype]).reshape(shape)
        except ValueError:  # an empty array, its other axes beyond numpy's address space
            return _invalid(f"{path} has an impossible shape.", path)
        return _invalid(f"{path} has shape {shape}; expected {expected}.", path)

    def non_finite(self) -> Refused:
        """The refusal of a NaN."""
        return Refused(Refusal(Reason.NON_FINITE_INPUT, f"{self.path} holds NaN or infinity.", self.path))


class ContextField(_TensorField):
    """A context input: no batch axis, named axes up to their maximum."""

    def __init__(self, entry: Input, ragged_max: Mapping[str, int], vocab: Vocabulary | None) -> None:
        super().__init__(f"context[{entry.name}]", entry, len(entry.shape) - 1)
        axes = entry.shape[1:]
        self._sizes = [
            range(ragged_max[axis] + 1) if isinstance(axis, str) else range(axis, axis + 1) for axis in axes
        ]
        self._vocab = vocab

    def read(self, tensor: pb.Tensor) -> Array:
        """The array, ids mapped to rows.

        Raises:
            Refused: INVALID_TENSOR, UNKNOWN_ID or NON_FINITE_INPUT.
        """
        found, shape = self.dtypes.get(tensor.dtype), tensor.shape
        if found is None or len(shape) != self.axes:
            raise self._misfit(tensor)
        dtype, checked = found
        sizes, data = shape[:], tensor.data
        if not all(map(contains, self._sizes, sizes)) or len(data) != math.prod(sizes) * dtype.itemsize:
            raise self._misfit(tensor)
        array: Array = np.frombuffer(data, dtype)
        if self.axes != 1:
            array = array.reshape(sizes)
        if self._vocab is not None:
            array, unknown = self._vocab.lookup(array)
            if unknown is not None and self._vocab.refuse_unknown:
                sentence = f"{self.path} holds an id outside the vocabulary."
                raise Refused(Refusal(Reason.UNKNOWN_ID, sentence, self.path))
        elif checked and not all_finite(array):
            raise self.non_finite()
        return array

    def _misfit(self, tensor: pb.Tensor) -> Refused:
        wanted = [f"<= {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0]}" for sizes in self._sizes]
        return self.misfit(tensor, tensor.data, f"[{', '.join(wanted)}], without a batch axis")


class ColumnField(_TensorField):
    """A candidate input: one row per candidate."""

    def __init__(self, entry: Input, sizes: Mapping[str, int]) -> None:
        """`sizes`: the most of each named axis."""
        super().__init__(f"candidates.columns[{entry.name}]", entry, len(entry.shape))
        self.name = entry.name
        self._tail: Final = [sizes[size] if isinstance(size, str) else size for size in entry.shape[1:]]
        self._width = math.prod(self._tail)
        self._long = any(isinstance(size, str) for size in entry.shape[1:])
        self._excludes = entry.non_finite == "invalid_candidate"

    def read(
        self, tensor: pb.Tensor, data: bytes | memoryview, rows: int
    ) -> tuple[Array, NDArray[np.bool_] | None]:
        """The array [rows, ...], and which candidates are excluded because they hold NaN or infinity.

        Args:
            tensor: says what it is.
            data: its numbers, wherever they are kept; the array is a view of them.

        Raises:
            Refused: INVALID_TENSOR or NON_FINITE_INPUT.
        """
        found, shape = self.dtypes.get(tensor.dtype), tensor.shape
        wanted, width = [rows, *self._tail], self._width
        if self._long and len(shape) == self.axes and 1 <= shape[1] <= wanted[1]:
            wanted[1] = shape[1]  # a length axis: whatever size up to its most
            width = math.prod(wanted[1:])
        if found is None or len(shape) != self.axes or shape[:] != wanted:
            raise self.misfit(tensor, data, self._expected(rows))
        dtype, checked = found
        if len(data) != rows * width * dtype.itemsize:
            raise self.misfit(tensor, data, self._expected(rows))
        flat: Array = np.frombuffer(data, dtype)
        array = flat if self.axes == 1 else flat.reshape(wanted)
        if not checked or all_finite(flat):
            return array, None
        if not self._excludes:
            raise self.non_finite()
        bad = np.logical_not(np.isfinite(flat.reshape(rows, -1)).all(axis=1))
        clean = array.copy()
        clean[bad] = 0  # the row rides along, unscored, so that it cannot disturb a batch-mate
        return clean, bad

    def _expected(self, rows: int) -> str:
        if not self._long:
            return f"{[rows, *self._tail]}"
        longest, *others = self._tail
        return f"[{', '.join([f'{rows}', f'1 to {longest}', *map(str, others)])}]"


def _invalid(sentence: str, path: str) -> Refused:
    return Refused(Refusal(Reason.INVALID_TENSOR, sentence, path))
