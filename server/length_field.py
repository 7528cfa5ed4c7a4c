"""How long a request's candidates are: read out of the tensors it sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protos.manifest import Input
from protos.row_lengths import row_lengths
from server.domain import Array
from server.engine.layout import LengthAxis
from server.errors import Reason, Refusal, Refused


class LengthField:
    """The length axis of one bundle's candidates."""

    def __init__(self, axis: LengthAxis, candidates: Sequence[Input]) -> None:
        self._axis = axis
        self._names = [entry.name for entry in candidates]

    def read(self, columns: Sequence[Array]) -> NDArray[np.int64]:
        """Tokens of each candidate, int64 [N], at least 1.

        Args:
            columns: one array per candidate input, each of a sound shape.

        Raises:
            Refused: INVALID_TENSOR, two of them differ in the size of the axis.
        """
        first, *others = self._axis.columns
        size = columns[first].shape[1]
        for at in others:
            if columns[at].shape[1] != size:
                path = f"candidates.columns[{self._names[at]}]"
                sentence = (
                    f"{path} has {columns[at].shape[1]} positions along {self._axis.name}, "
                    f"candidates.columns[{self._names[first]}] has {size}; they must agree."
                )
                raise Refused(Refusal(Reason.INVALID_TENSOR, sentence, path))
        return row_lengths(columns[self._axis.source], size, self._axis.pad_value)
