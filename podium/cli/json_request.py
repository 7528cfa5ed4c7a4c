"""A ranking request written by hand as JSON; dtypes come from the model's manifest.

{"context": {"history": [12, 7]}, "ids": [1, 2, 3], "columns": {"age": [0.1, 0.5, 0.2]}}
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from podium.client.encode import encode
from podium.client.request import RankingRequest
from podium.v1 import ranking_pb2 as pb
from protos.manifest import Manifest
from protos.tensor import NUMPY


class JsonRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The file's form. Arrays as nested lists; `ids` integers or strings."""

    ids: list[int | str] | None = None
    columns: dict[str, Any] = {}
    context: dict[str, Any] = {}
    prior_scores: list[float] | None = None
    top_k: int = 0
    head_weights: dict[str, float] = {}
    return_heads: list[str] = []


def decode(data: bytes, manifest: Manifest) -> pb.RankRequest:
    """Build the wire's request for the manifest's model.

    Raises:
        ValueError: it is not of the form above, names an input that the model does not have, or holds a
            value that the input's dtype cannot.
    """
    try:
        request = msgspec.json.decode(data, type=JsonRequest)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a request: {error}") from error
    if len({type(entry) for entry in request.ids or ()}) > 1:
        raise ValueError("ids must be all integers or all strings")
    prior = request.prior_scores
    return encode(
        RankingRequest(
            model=manifest.model,
            ids=None if request.ids is None else np.asarray(request.ids),
            columns={name: _array(name, values, manifest) for name, values in request.columns.items()},
            context={name: _array(name, values, manifest) for name, values in request.context.items()},
            prior_scores=None if prior is None else np.array(prior, np.float32),
            top_k=request.top_k,
            head_weights=request.head_weights,
            return_heads=request.return_heads,
        )
    )


def _array(name: str, values: Any, manifest: Manifest) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        entry = manifest.input(name)
    except KeyError:
        known = [each.name for each in manifest.inputs if each.role in ("context", "candidate")]
        raise ValueError(
            f"{name!r} is not an input of {manifest.model}; it takes {', '.join(known)}"
        ) from None
    if entry.vocab is not None:
        # The caller's own ids; the server looks up the rows.
        return np.asarray(values, None if manifest.vocabs[entry.vocab].key == "string" else np.int64)
    try:
        with np.errstate(over="ignore"):  # said in words below
            array = np.array(values, NUMPY[entry.dtype])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from error
    if array.dtype.kind == "f" and np.isinf(array).any():  # JSON itself has no infinity
        raise ValueError(f"{name}: a number is too large for {entry.dtype}")
    return array
