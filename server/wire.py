"""Bytes to a validated request. Only `tensor_field.py`, `heads.py` and `reply.py` know the wire's names, too.

A refusal names the field by its path, as `candidates.columns[features]`, and says what was wrong with its
form; it never quotes a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from podium.v1 import ranking_pb2 as pb
from protos.tensor import NUMPY
from server.config import Limits
from server.domain import Array, Head, Importance, Payload, RankingRequest, Scores
from server.engine.layout import Layout, Vocabulary
from server.errors import Reason, Refusal, Refused
from server.finite import all_finite
from server.heads import HeadFields
from server.length_field import LengthField
from server.tensor_field import ColumnField, ContextField, TensorSet

FLAG_ID_UNKNOWN = 4
"""Bit of RankResponse.flags: the id is not in the vocabulary; the unknown row was scored."""
_FLOAT32: Final = NUMPY["float32"]
_INT64: Final = NUMPY["int64"]
_IMPORTANCES: Final = {
    value: Importance(value or Importance.DEFAULT.value) for value in pb.Importance.values()
}
"""Unspecified is the default."""
_STEPS: Final = frozenset(pb.Step.values())
_NOTHING_LIFTED: Final[Mapping[int, memoryview]] = {}
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
    if message.query or message.candidates.texts or message.traceparent:
        raise _unsupported(message)


def _unsupported(message: pb.RankRequest) -> Refused:
    used = {
        "query": message.query,
        "candidates.texts": message.candidates.texts,
        "traceparent": message.traceparent,
    }
    field = next(name for name, value in used.items() if value)
    return refuse(Reason.UNSUPPORTED_OPTION, f"{field} is not supported by this server yet.", field)


class Decoder:
    """Decodes and validates requests for one bundle; what does not depend on the request is done at load."""

    def __init__(
        self,
        layout: Layout,
        vocabs: Mapping[str, Vocabulary],
        limits: Limits,
        candidates_max: int,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare for one bundle; `weights` are its heads' (None: each counts once)."""
        self._limits = limits
        self._heads = HeadFields(dict.fromkeys(layout.heads.values(), 1.0) if weights is None else weights)
        self._candidates_max = candidates_max
        tensors_max = limits.context_tensors_max
        self._context = [
            ContextField(entry, layout.ragged_max, vocabs[entry.vocab] if entry.vocab is not None else None)
            for entry in layout.context
        ]
        self._context_set = TensorSet("context", [entry.name for entry in layout.context], tensors_max)
        columns = [entry for entry in layout.candidates if entry.role == "candidate"]
        self._columns_set = TensorSet("candidates.columns", [entry.name for entry in columns], tensors_max)
        self._candidates: list[ColumnField | _IdField | _PriorField] = []
        for entry in layout.candidates:
            if entry.role == "candidate":
                self._candidates.append(ColumnField(entry, layout.ragged_max))
            elif entry.role == "candidate_id":
                vocab = vocabs[entry.vocab] if entry.vocab is not None else None
                self._candidates.append(_IdField(vocab, limits.string_bytes_max))
            else:
                self._candidates.append(_PriorField(entry.when_absent or 0.0))
        self._lengths = None if layout.length is None else LengthField(layout.length, layout.candidates)
        self._takes_ids = any(isinstance(field, _IdField) for field in self._candidates)

    def head(self, message: pb.RankRequest) -> Head:
        """Validate what costs next to nothing to read.

        Raises:
            Refused: of kind INVALID, naming the field.
        """
        request_id = message.request_id
        importance = self._check_head(message, request_id)
        rows = message.candidates.count
        if not 1 <= rows <= self._candidates_max:
            raise self._miscounted(rows)
        return Head(request_id, importance, rows, message.timeout_us * 1000 or None)

    def decode(
        self, message: pb.RankRequest, lifted: Mapping[int, memoryview] = _NOTHING_LIFTED
    ) -> RankingRequest:
        """Head and body in one go."""
        return self.body(message, self.head(message), lifted)

    def body(self, message: pb.RankRequest, head: Head, lifted: Mapping[int, memoryview]) -> RankingRequest:
        """Validate the rest of `message` against the bundle.

        Args:
            message: the request.
            head: of the same request.
            lifted: position in candidates.columns -> that tensor's data, where it was taken out beforehand.

        Raises:
            Refused: of kind INVALID, naming the field.
        """
        candidates, rows = message.candidates, head.rows
        prior = _prior(candidates, rows)
        context = tuple(map(ContextField.read, self._context, self._context_set.take(message.context)))
        columns, invalid, flags = self._columns(candidates, rows, prior, lifted)
        top_k = min(message.top_k or rows, rows)
        lengths = None if self._lengths is None else self._lengths.read(columns)
        payload = Payload(context, columns, rows, lengths)
        if message.head_weights or message.return_heads:
            weights = self._heads.weights(message.head_weights)
            returned = self._heads.returned(message.return_heads)
            return RankingRequest(payload, head.request_id, prior, invalid, flags, top_k, weights, returned)
        return RankingRequest(payload, head.request_id, prior, invalid, flags, top_k)

    def _check_head(self, message: pb.RankRequest, request_id: str) -> Importance:
        limits, tenant = self._limits, message.tenant
        if request_id and len(request_id.encode()) > limits.request_id_bytes_max:
            sentence = f"request_id is longer than {limits.request_id_bytes_max} bytes."
            raise refuse(Reason.INVALID_FIELD, sentence, "request_id")
        if tenant and len(tenant.encode()) > limits.string_bytes_max:
            sentence = f"tenant is longer than {limits.string_bytes_max} bytes."
            raise refuse(Reason.INVALID_FIELD, sentence, "tenant")
        importance = _IMPORTANCES.get(message.importance)
        if importance is None:
            raise refuse(Reason.INVALID_FIELD, "importance is not one of the enum's values.", "importance")
        if message.floor not in _STEPS:
            raise refuse(Reason.INVALID_FIELD, "floor is not one of the enum's values.", "floor")
        return importance

    def _miscounted(self, rows: int) -> Refused:
        field = "candidates.count"
        if rows < 1:
            sentence = f"{field} is 0; a request ranks at least one candidate."
            return refuse(Reason.NO_CANDIDATES, sentence, field)
        sentence = f"{field} is {rows}; this model takes at most {self._candidates_max}."
        return refuse(Reason.TOO_MANY_CANDIDATES, sentence, field)

    def _columns(
        self, candidates: pb.Candidates, rows: int, prior: Scores | None, lifted: Mapping[int, memoryview]
    ) -> tuple[tuple[Array, ...], NDArray[np.bool_] | None, NDArray[np.uint8] | None]:
        """One array per candidate input; the candidates that are excluded; the wire's flag bits."""
        columns = candidates.columns
        tensors = iter(self._columns_set.take(columns))
        large = {columns[at].name: data for at, data in lifted.items()} if lifted else {}
        arrays: list[Array] = []
        invalid: NDArray[np.bool_] | None = None
        flags: NDArray[np.uint8] | None = None
        for field in self._candidates:
            if isinstance(field, ColumnField):
                tensor = next(tensors)
                array, bad = field.read(tensor, large.get(field.name) or tensor.data, rows)
                if bad is not None:
                    invalid = bad if invalid is None else invalid | bad
            elif isinstance(field, _IdField):
                array, unknown = field.read(candidates, rows)
                if unknown is not None:
                    flags = np.where(unknown, np.uint8(FLAG_ID_UNKNOWN), np.uint8(0))
            else:
                array = field.read(prior, rows)
            arrays.append(array)
        if not self._takes_ids and (candidates.int_ids or candidates.string_ids):
            path = "candidates.int_ids" if candidates.int_ids else "candidates.string_ids"
            raise refuse(Reason.INVALID_FIELD, f"{path} is set, but this model takes no ids.", path)
        return tuple(arrays), invalid, flags


class _PriorField:
    """The input that takes the prior scores."""

    def __init__(self, when_absent: float) -> None:
        self._when_absent = when_absent

    def read(self, prior: Scores | None, rows: int) -> Array:
        return np.full(rows, self._when_absent, np.float32) if prior is None else prior


class _IdField:
    """The input that takes the candidates' ids."""

    def __init__(self, vocab: Vocabulary | None, string_bytes_max: int) -> None:
        self._vocab = vocab
        self._words = vocab is not None and vocab.keys.dtype.kind == "U"
        self._string_bytes_max = string_bytes_max
        self._path = "candidates.string_ids" if self._words else "candidates.int_ids"

    def read(self, candidates: pb.Candidates, rows: int) -> tuple[Array, NDArray[np.bool_] | None]:
        """The ids as embedding rows, or as they are without a vocabulary; and which are unknown.

        Raises:
            Refused: INVALID_TENSOR, INVALID_FIELD or UNKNOWN_ID.
        """
        numbers, words = candidates.int_ids, candidates.string_ids
        if self._words:
            if numbers or len(words) != rows:
                raise self._miscounted(len(words), rows, other=bool(numbers))
            ids = self._read_words(words)
        else:
            if words or len(numbers) != rows * _INT64.itemsize:
                count, odd = divmod(len(numbers), _INT64.itemsize)
                if odd:
                    sentence = f"{self._path} is not a whole number of int64."
                    raise refuse(Reason.INVALID_TENSOR, sentence, self._path)
                raise self._miscounted(count, rows, other=bool(words))
            ids = np.frombuffer(numbers, _INT64)
        vocab = self._vocab
        if vocab is None:
            return ids, None
        index, unknown = vocab.lookup(ids)
        if unknown is not None and vocab.refuse_unknown:
            sentence = f"{self._path} holds an id outside the vocabulary."
            raise refuse(Reason.UNKNOWN_ID, sentence, self._path)
        return index, unknown

    def _miscounted(self, count: int, rows: int, *, other: bool) -> Refused:
        end = "; this model takes no other kind of id." if other else "."
        sentence = f"{self._path} holds {count} ids; candidates.count is {rows}{end}"
        return refuse(Reason.INVALID_TENSOR, sentence, self._path)

    def _read_words(self, ids: Sequence[str]) -> Array:
        assert self._vocab is not None
        if max(map(len, ids)) > self._string_bytes_max:
            sentence = f"{self._path} holds an id longer than {self._string_bytes_max} bytes."
            raise refuse(Reason.INVALID_FIELD, sentence, self._path)
        # An array is as wide as its longest string: one character more than any key says "unknown" as well
        # as thousands, at a fraction of the memory.
        width = self._vocab.keys.dtype.itemsize // _CHARACTER_BYTES + 1
        return np.array(ids, dtype=f"<U{width}")


def _prior(candidates: pb.Candidates, rows: int) -> Scores | None:
    data = candidates.prior_scores
    if not data:
        return None
    field, needed = "candidates.prior_scores", rows * _FLOAT32.itemsize
    if len(data) != needed:
        sentence = f"{field} has {len(data)} bytes; {rows} float32 take {needed}."
        raise refuse(Reason.INVALID_TENSOR, sentence, field)
    prior = np.frombuffer(data, _FLOAT32)
    if not all_finite(prior):
        raise refuse(Reason.NON_FINITE_INPUT, f"{field} holds NaN or infinity.", field)
    return prior
