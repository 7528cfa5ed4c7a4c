"""The spec's requests as the graph sees them; one that does not fit is named by its place in the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from export.codec import Codec, Encoded
from export.spec import ExampleRequest


def encode_all(codec: Codec, requests: Sequence[ExampleRequest], field: str) -> list[Encoded]:
    """Encode a list of the spec.

    Args:
        field: of `ExportSpec`, that the requests stand in.

    Raises:
        ValueError: as `encode_one`.
    """
    return [encode_one(codec, request, f"ExportSpec.{field}[{at}]") for at, request in enumerate(requests)]


class OnDemand(Sequence[Encoded]):
    """Requests of the spec that are encoded whenever they are asked for, so that only one is in memory.

    All are encoded once at the start, so that one that does not fit is found before any work.
    """

    def __init__(self, codec: Codec, requests: Sequence[ExampleRequest], field: str) -> None:
        """Arguments and errors as of `encode_all`."""
        self._codec = codec
        self._requests = requests
        self._field = field
        for at in range(len(requests)):
            self[at]

    def __len__(self) -> int:
        return len(self._requests)

    @overload
    def __getitem__(self, at: int) -> Encoded: ...

    @overload
    def __getitem__(self, at: slice) -> list[Encoded]: ...

    def __getitem__(self, at: int | slice) -> Encoded | list[Encoded]:
        if isinstance(at, slice):
            return [self[one] for one in range(len(self))[at]]
        return encode_one(self._codec, self._requests[at], f"ExportSpec.{self._field}[{at}]")


def encode_one(codec: Codec, request: ExampleRequest, where: str) -> Encoded:
    """Encode a request that stands at `where`, as `ExportSpec.calibration[3]`.

    Raises:
        ValueError: it does not fit the spec; the sentence begins with its place.
    """
    try:
        encoded = codec.encode(request)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    _check_length(f"{where}.labels", request.labels, request.count)
    _check_length(f"{where}.prior_scores", request.prior_scores, request.count)
    return encoded


def _check_length(where: str, values: Any, count: int) -> None:
    if values is not None and np.shape(values) != (count,):
        raise ValueError(f"{where} has shape {list(np.shape(values))}; the request has {count} candidates")
