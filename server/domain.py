"""What travels between the hops: a validated request, and what a run gave it. Plain arrays, no wire.

Structs rather than dataclasses: a few are made per request, and these cost a tenth (0.1 against 1 µs).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Scores = NDArray[np.float32]


class Importance(enum.IntEnum):
    """Same numbers as on the wire."""

    CRITICAL = 1
    DEFAULT = 2
    SHEDDABLE = 3


class Payload(msgspec.Struct, frozen=True, eq=False):
    """The tensors of one request, in the order of the layout's inputs.

    Attributes:
        context: one array per context input, without the batch axis, ids already mapped, unpadded.
        candidates: one array [N, ...] per candidate input, in the graph's dtype or an accepted one.
        rows: N.
        lengths: int64 [N], tokens of each candidate; None where candidates have no length axis.
    """

    context: tuple[Array, ...]
    candidates: tuple[Array, ...]
    rows: int
    lengths: NDArray[np.int64] | None = None

    @property
    def load(self) -> int:
        """What it costs, in what its lane counts: rows, or tokens."""
        return self.rows if self.lengths is None else int(self.lengths.sum())


class Head(msgspec.Struct, frozen=True):
    """What a request says of itself, before its tensors are read: enough to refuse it for want of room.

    Attributes:
        rows: how many candidates.
        timeout_ns: None when the caller set none.
    """

    request_id: str
    importance: Importance
    rows: int
    timeout_ns: int | None


class RankingRequest(msgspec.Struct, frozen=True, eq=False):
    """A well-formed request for one served variant.

    Attributes:
        prior: float32 [N] or None (the order given is the prior).
        invalid: bool [N], candidates that must not be scored; None when there are none.
        flags: uint8 [N], the wire's flag bits; None when none is set.
        top_k: length of the returned order, at most N.
        weights: of every head, where the request has weights of its own; None = the bundle's.
        return_heads: heads whose scores go back with the answer.
    """

    payload: Payload
    request_id: str
    prior: Scores | None
    invalid: NDArray[np.bool_] | None
    flags: NDArray[np.uint8] | None
    top_k: int
    weights: Mapping[str, float] | None = None
    return_heads: tuple[str, ...] = ()


class TokensRun(msgspec.Struct, frozen=True):
    """Tokens of the candidates that were run, and those that were computed: the same with padding."""

    tokens: int = 0
    computed: int = 0


class RunStamps(msgspec.Struct, frozen=True):
    """One run's times, absolute monotonic ns, and its shape."""

    started_ns: int
    formed_ns: int
    ran_ns: int
    rows: int
    requests: int


class Scored(msgspec.Struct, frozen=True, eq=False):
    """What a run gave one request: float32 [N] per head."""

    heads: Mapping[str, Scores]
    stamps: RunStamps
