"""Bytes to a validated request. Here and in `server/reply.py` alone are the wire's field names known.

A refusal names the field by its path, as `candidates.columns[features]`, and says what was wrong with its
form; it never quotes a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from podium.v1 import ranking_pb2 as pb
from protos.manifest import Input
from protos.tensor import NAME, NUMPY
from server.config import Limits
from server.domain import Array, Importance, Payload, RankingRequest, Scores
from server.engine.layout import Layout, Vocabulary
from server.errors import Reason, Refusal, Refused

FLAG_ID_UNKNOWN = 4
"""Bit of RankResponse.flags: the id is not in the vocabulary; the unknown row was scored."""
_FLOAT_BYTES = 4
_IMPORTANCES = frozenset(pb.Importance.values())
_STEPS = frozenset(pb.Step.values())
_ID_BYTES = 8
_CHARACTER_BYTES = 4  # of numpy's fixed-width strings


def refuse(reason: Reason, message: str, field: str = "") -> Refused:
    """Make the exception that carries a refusal out of a decoder."""
    return Refused(Refusal(reason, message, field))


def parse(data: bytes | memoryview) -> pb.RankRequest:
    """Read the message.

    Raises:
        Refused: MALFORMED_REQUEST, the bytes are no RankRequest; UNSUPPORTED_OPTION, see `check_supported`.
    """
    try:
        message: pb.RankRequest = pb.RankRequest.FromString(data)
    except DecodeError:
        raise refuse(Reason.MALFORMED_REQUEST, "The message is not a podium.v1.RankRequest.") from None
    check_supported(message)
    return message


def check_supported(message: pb.RankRequest) -> None:
    """Refuse what would otherwise be silently ignored.

    Raises:
        Refused: UNSUPPORTED_OPTION, the message uses a field whose feature is not built.
    """
    if (
        message.query
        or message.candidates.texts
        or message.head_weights
        or message.return_heads
        or message.traceparent
    ):
        raise _unsupported(message)


def _unsupported(message: pb.RankRequest) -> Refused:
    used = {
        "query": message.query,
        "candidates.texts": message.candidates.texts,
        "head_weights": message.head_weights,
        "return_heads": message.return_heads,
        "traceparent": message.traceparent,
    }
    field = next(name for name, value in used.items() if value)
    return refuse(Reason.UNSUPPORTED_OPTION, f"{field} is not supported by this server yet.", field)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes and validates requests for one bundle."""

    layout: Layout
    vocabs: Mapping[str, Vocabulary]
    limits: Limits
    candidates_max: int

    def decode(self, message: pb.RankRequest) -> RankingRequest:
        """Validate `message` against the bundle.

        Raises:
            Refused: of kind INVALID, naming the field.
        """
        self._check_strings(message)
        candidates = message.candidates
        rows = candidates.count
        if rows < 1:
            raise refuse(
                Reason.NO_CANDIDATES,
                "candidates.count is 0; a request ranks at least one candidate.",
                "candidates.count",
            )
        if rows > self.candidates_max:
            raise refuse(
                Reason.TOO_MANY_CANDIDATES,
                f"candidates.count is {rows}; this model takes at most {self.candidates_max}.",
                "candidates.count",
            )
        prior = self._prior(candidates, rows)
        marks = _Marks(rows)
        payload = Payload(
            context=self._context(message.context),
            candidates=self._columns(candidates, rows, prior, marks),
            rows=rows,
        )
        return RankingRequest(
            payload=payload,
            request_id=message.request_id,
            importance=Importance(message.importance or Importance.DEFAULT),
            prior=prior,
            invalid=marks.invalid,
            flags=marks.flags,
            top_k=min(message.top_k or rows, rows),
            timeout_ns=message.timeout_us * 1000 or None,
        )

    def _check_strings(self, message: pb.RankRequest) -> None:
        if len(message.request_id.encode()) > self.limits.request_id_bytes_max:
            raise refuse(
                Reason.INVALID_FIELD,
                f"request_id is longer than {self.limits.request_id_bytes_max} bytes.",
                "request_id",
            )
        if len(message.tenant.encode()) > self.limits.string_bytes_max:
            raise refuse(
                Reason.INVALID_FIELD, f"tenant is longer than {self.limits.string_bytes_max} bytes.", "tenant"
            )
        if message.importance not in _IMPORTANCES:
            raise refuse(Reason.INVALID_FIELD, "importance is not one of the enum's values.", "importance")
        if message.floor not in _STEPS:
            raise refuse(Reason.INVALID_FIELD, "floor is not one of the enum's values.", "floor")

    def _prior(self, candidates: pb.Candidates, rows: int) -> Scores | None:
        data = candidates.prior_scores
        if not data:
            return None
        field = "candidates.prior_scores"
        if len(data) != rows * _FLOAT_BYTES:
            raise refuse(
                Reason.INVALID_TENSOR,
                f"{field} has {len(data)} bytes; {rows} float32 take {rows * _FLOAT_BYTES}.",
                field,
            )
        prior = np.frombuffer(data, NUMPY["float32"])
        if not _all_finite(prior):
            raise refuse(Reason.NON_FINITE_INPUT, f"{field} holds NaN or infinity.", field)
        return prior

    def _context(self, tensors: Iterable[pb.Tensor]) -> tuple[Array, ...]:
        sent = self._by_name(tensors, "context", self.layout.context_names)
        arrays: list[Array] = []
        for entry in self.layout.context:
            field = f"context[{entry.name}]"
            array = _array(sent[entry.name], entry, field)
            shape, axes = array.shape, entry.shape[1:]
            fits = all(
                size <= self.layout.ragged_max[axis] if isinstance(axis, str) else size == axis
                for size, axis in zip(shape, axes, strict=True)
            )
            if not fits:
                wanted = [f"<= {self.layout.ragged_max[a]}" if isinstance(a, str) else str(a) for a in axes]
                raise refuse(
                    Reason.INVALID_TENSOR,
                    f"{field} has shape {list(shape)}; expected [{', '.join(wanted)}], without a batch axis.",
                    field,
                )
            if entry.vocab is not None:
                array, unknown = self.vocabs[entry.vocab].lookup(array)
                if unknown is not None and self.vocabs[entry.vocab].refuse_unknown:
                    raise refuse(Reason.UNKNOWN_ID, f"{field} holds an id outside the vocabulary.", field)
            elif array.dtype.kind == "f" and entry.non_finite != "allow" and not _all_finite(array):
                raise refuse(Reason.NON_FINITE_INPUT, f"{field} holds NaN or infinity.", field)
            arrays.append(array)
        return tuple(arrays)

    def _columns(
        self, candidates: pb.Candidates, rows: int, prior: Scores | None, marks: _Marks
    ) -> tuple[Array, ...]:
        sent = self._by_name(candidates.columns, "candidates.columns", self.layout.column_names)
        arrays: list[Array] = []
        ids_taken = False
        for entry in self.layout.candidates:
            if entry.role == "prior_score":
                arrays.append(_prior_column(entry, prior, rows))
            elif entry.role == "candidate_id":
                ids_taken = True
                arrays.append(self._ids(candidates, entry, rows, marks))
            else:
                arrays.append(_column(sent[entry.name], entry, rows, marks))
        if not ids_taken and (candidates.int_ids or candidates.string_ids):
            field = "candidates.int_ids" if candidates.int_ids else "candidates.string_ids"
            raise refuse(Reason.INVALID_FIELD, f"{field} is set, but this model takes no ids.", field)
        return tuple(arrays)

    def _ids(self, candidates: pb.Candidates, entry: Input, rows: int, marks: _Marks) -> Array:
        vocab = self.vocabs[entry.vocab] if entry.vocab is not None else None
        words = vocab is not None and vocab.keys.dtype.kind == "U"
        if words:
            field, other = "candidates.string_ids", bool(candidates.int_ids)
            count = len(candidates.string_ids)
        else:
            field, other = "candidates.int_ids", bool(candidates.string_ids)
            count, odd = divmod(len(candidates.int_ids), _ID_BYTES)
            if odd:
                raise refuse(Reason.INVALID_TENSOR, f"{field} is not a whole number of int64.", field)
        if other or count != rows:
            raise refuse(
                Reason.INVALID_TENSOR,
                f"{field} holds {count} ids; candidates.count is {rows}"
                + ("; this model takes no other kind of id." if other else "."),
                field,
            )
        if vocab is None or not words:
            ids: Array = np.frombuffer(candidates.int_ids, NUMPY["int64"])
        else:
            ids = self._words(candidates.string_ids, vocab)
        if vocab is None:
            return ids
        index, unknown = vocab.lookup(ids)
        if unknown is not None:
            if vocab.refuse_unknown:
                raise refuse(Reason.UNKNOWN_ID, f"{field} holds an id outside the vocabulary.", field)
            marks.flag(unknown, FLAG_ID_UNKNOWN)
        return index

    def _words(self, ids: Sequence[str], vocab: Vocabulary) -> Array:
        if max(map(len, ids)) > self.limits.string_bytes_max:
            field = "candidates.string_ids"
            raise refuse(
                Reason.INVALID_FIELD,
                f"{field} holds an id longer than {self.limits.string_bytes_max} bytes.",
                field,
            )
        # An array is as wide as its longest string: one character more than any key says "unknown" as well
        # as thousands, at a fraction of the memory.
        width = vocab.keys.dtype.itemsize // _CHARACTER_BYTES + 1
        return np.array(ids, dtype=f"<U{width}")

    def _by_name(
        self, tensors: Iterable[pb.Tensor], field: str, names: frozenset[str]
    ) -> dict[str, pb.Tensor]:
        sent: dict[str, pb.Tensor] = {}
        for at, tensor in enumerate(tensors):
            if at == self.limits.context_tensors_max:
                raise refuse(Reason.INVALID_TENSOR, f"{field} holds more than {at} tensors.", field)
            name = tensor.name
            if name not in names:
                # The position names it: a tensor's name is the caller's text, and may be anything.
                raise refuse(
                    Reason.INVALID_TENSOR,
                    f"{field}[{at}] is not an input of this model; it takes {sorted(names)}.",
                    f"{field}[{at}]",
                )
            if name in sent:
                path = f"{field}[{name}]"
                raise refuse(Reason.INVALID_TENSOR, f"{path} is given more than once.", path)
            sent[name] = tensor
        if len(sent) < len(names):
            path = f"{field}[{min(names - sent.keys())}]"
            raise refuse(Reason.INVALID_TENSOR, f"{path} is missing.", path)
        return sent


class _Marks:
    """What was noticed per candidate while decoding; arrays are made when first needed."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.invalid: NDArray[np.bool_] | None = None
        self.flags: NDArray[np.uint8] | None = None

    def flag(self, mask: NDArray[np.bool_], bit: int) -> None:
        if self.flags is None:
            self.flags = np.zeros(self._rows, np.uint8)
        self.flags[mask] |= bit

    def exclude(self, mask: NDArray[np.bool_]) -> None:
        self.invalid = mask if self.invalid is None else self.invalid | mask


def _array(tensor: pb.Tensor, entry: Input, field: str) -> Array:
    dtype = NAME.get(tensor.dtype)
    if dtype is None or (dtype != entry.dtype and dtype not in entry.accepts):
        wanted = " or ".join(dict.fromkeys((entry.dtype, *entry.accepts)))
        got = dtype or "unspecified"
        raise refuse(Reason.INVALID_TENSOR, f"{field} has dtype {got}; this model takes {wanted}.", field)
    axes = len(entry.shape) if entry.role == "candidate" else len(entry.shape) - 1
    if len(tensor.shape) != axes:  # before the shape is used or quoted: it may have a million axes
        raise refuse(Reason.INVALID_TENSOR, f"{field} has {len(tensor.shape)} axes; expected {axes}.", field)
    shape = tuple(tensor.shape)
    data = tensor.data
    expected = math.prod(shape) * NUMPY[dtype].itemsize
    if len(data) != expected or min(shape, default=0) < 0:
        raise refuse(
            Reason.INVALID_TENSOR,
            f"{field} has {len(data)} bytes; shape {list(shape)} of {dtype} takes {expected}.",
            field,
        )
    try:
        return np.frombuffer(data, NUMPY[dtype]).reshape(shape)
    except ValueError:  # an empty array, its other axes beyond numpy's address space
        raise refuse(Reason.INVALID_TENSOR, f"{field} has an impossible shape.", field) from None


def _column(tensor: pb.Tensor, entry: Input, rows: int, marks: _Marks) -> Array:
    field = f"candidates.columns[{entry.name}]"
    array = _array(tensor, entry, field)
    if array.shape != (rows, *entry.shape[1:]):
        wanted = [rows, *entry.shape[1:]]
        raise refuse(
            Reason.INVALID_TENSOR, f"{field} has shape {list(array.shape)}; expected {wanted}.", field
        )
    if array.dtype.kind != "f" or entry.non_finite == "allow" or _all_finite(array):
        return array
    if entry.non_finite == "invalid_request":
        raise refuse(Reason.NON_FINITE_INPUT, f"{field} holds NaN or infinity.", field)
    bad = np.logical_not(np.isfinite(array.reshape(rows, -1)).all(axis=1))
    marks.exclude(bad)
    clean = array.copy()
    clean[bad] = 0  # the row rides along, unscored, so that it cannot disturb a batch-mate
    return clean


def _prior_column(entry: Input, prior: Scores | None, rows: int) -> Array:
    return np.full(rows, entry.when_absent or 0.0, np.float32) if prior is None else prior


def _all_finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())
