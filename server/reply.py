"""Scores to bytes: heads combined, candidates ordered, the answer built. The counterpart of `wire.py`.

A RankResponse is put together field by field from bytes that numpy writes: no Python object per candidate is
made (protobuf's own `order` would take N ints), and half the time is saved (docs/decisions.md). The fields
stand in the contract's order, except that whoever sends the answer appends the timings last.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from measures.order import rank_order
from podium.v1 import ranking_pb2 as pb
from protos.tensor import NUMPY
from protos.varint import packed, varint
from server.domain import RankingRequest, RunStamps, Scores
from server.errors import Reason, Refusal, Refused
from server.finite import all_finite
from server.heads import require_finite_sum, tensors

_BYTES: Final = 2
"""Wire type of strings, bytes, messages and packed fields: a length, then so many bytes."""
_FLOAT32: Final = NUMPY["float32"]


def _tag(field: str) -> bytes:
    return varint(pb.RankResponse.DESCRIPTOR.fields_by_name[field].number << 3 | _BYTES)


_REQUEST_ID: Final = _tag("request_id")
_ORDER: Final = _tag("order")
_SCORES: Final = _tag("scores")
_OUTCOMES: Final = _tag("outcomes")
_FLAGS: Final = _tag("flags")
_HEADS: Final = _tag("heads")
_COVERAGE: Final = _tag("coverage")
_TIMINGS: Final = _tag("timings")


class Identity:
    """Who answers. Make one per lane and keep it: it holds the bytes that all its answers share."""

    __slots__ = ("head", "model", "variant", "version")

    def __init__(self, model: str, version: int, variant: str) -> None:
        self.model = model
        self.version = version
        self.variant = variant
        self.head: bytes = pb.RankResponse(
            model=model, version=version, variant=variant, step=pb.STEP_FULL
        ).SerializeToString()


class Timings(msgspec.Struct, frozen=True):
    """Microseconds of one request's stages, as on the wire; none is negative."""

    decode_us: int
    queue_us: int
    form_us: int
    run_us: int
    split_us: int
    total_us: int


class Answer(msgspec.Struct, frozen=True):
    """A RankResponse but for its timings, which are known when this is built.

    Attributes:
        body: append `encode_timings` to it.
        scored, invalid: of its candidates.
    """

    body: bytes
    scored: int
    invalid: int


def combine(heads: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Weighted sum of the heads, float32 [N]."""
    if len(heads) == 1:
        ((head, scores),) = heads.items()
        return scores if weights[head] == 1.0 else scores * np.float32(weights[head])
    total = sum(heads[head] * np.float32(weight) for head, weight in weights.items())
    return np.asarray(total, np.float32)


def combine_as_asked(heads: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """`combine` with weights that came with the request, float32 [N].

    Raises:
        Refused: INVALID_FIELD, they make a score that float32 cannot hold.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # said in words below
        scores = combine(heads, weights)
    require_finite_sum(scores, heads)
    return scores


def encode(
    request: RankingRequest,
    scores: Scores,
    identity: Identity,
    heads: Mapping[str, Scores] | None = None,
) -> Answer:
    """Build the answer of a fully scored request; `heads` is read for those that it wants back.

    Raises:
        Refused: NON_FINITE_OUTPUT, the model scored a valid candidate NaN or infinity.
    """
    invalid, flags = request.invalid, request.flags
    rows = request.payload.rows
    excluded = 0
    if scores.dtype != _FLOAT32:
        scores = scores.astype(_FLOAT32)
    finite = all_finite(scores if invalid is None else scores[~invalid])
    if not finite:
        raise Refused(Refusal(Reason.NON_FINITE_OUTPUT, "The model gave a score that is NaN or infinite."))
    if invalid is not None:
        scores = np.where(invalid, np.float32(np.nan), scores)
        excluded = int(np.count_nonzero(invalid))
    order = packed(rank_order(scores, request.prior)[: request.top_k], rows)
    parts = [
        identity.head,
        _ORDER,
        varint(len(order)),
        order,
        _SCORES,
        varint(scores.nbytes),
        scores.tobytes(),
    ]
    if request.request_id:
        parts += _field(_REQUEST_ID, request.request_id.encode())
    if invalid is not None:
        outcomes = np.where(invalid, np.uint8(pb.OUTCOME_INVALID), np.uint8(pb.OUTCOME_SCORED))
        parts += _field(_OUTCOMES, outcomes.tobytes())
    if flags is not None:
        parts += _field(_FLAGS, flags.tobytes())
    if request.return_heads and heads is not None:
        for tensor in tensors(heads, request.return_heads, invalid):
            parts += _field(_HEADS, tensor)
    parts.append(_coverage(rows, excluded))
    return Answer(b"".join(parts), rows - excluded, excluded)


def encode_timings(timings: Timings, stamps: RunStamps) -> bytes:
    """The answer's last field.

    Raises:
        ValueError: one of the times is negative.
    """
    numbers = _numbers(
        timings.decode_us,
        timings.queue_us,
        timings.form_us,
        timings.run_us,
        timings.split_us,
        timings.total_us,
        stamps.rows,
        stamps.requests,
    )
    return b"%b%c%b" % (_TIMINGS, len(numbers), numbers)


@lru_cache(maxsize=1024)
def _coverage(rows: int, excluded: int) -> bytes:
    """The same bytes for most requests of one caller, which asks for as many candidates every time."""
    return b"".join(_field(_COVERAGE, _numbers(rows, rows - excluded, 0, 0, excluded)))


def _field(tag: bytes, value: bytes) -> tuple[bytes, bytes, bytes]:
    return tag, varint(len(value)), value


def _numbers(*values: int) -> bytes:
    """A message whose fields 1, 2, 3 and so on are unsigned numbers, as Coverage and Timings are."""
    out = bytearray()
    tag = 0
    for value in values:
        tag += 8
        if value:
            out.append(tag)
            while value > 0x7F:
                out.append(value & 0x7F | 0x80)
                value >>= 7
            out.append(value)
    return bytes(out)
