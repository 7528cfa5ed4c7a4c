"""What a caller gets: the candidates ranked, and how well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.client.wire_enums import Step


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the candidates were truly scored, and why the others were not."""

    candidates: int
    scored: int
    by_ladder: int
    by_deadline: int
    invalid: int

    @property
    def share(self) -> float:
        """scored / candidates."""
        return self.scored / self.candidates


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the server spent its time, in microseconds, and the batch that the request rode in."""

    decode_us: int
    queue_us: int
    form_us: int
    run_us: int
    split_us: int
    total_us: int
    batch_rows: int
    batch_requests: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranked:
    """An answer. [N] arrays are in the order in which the candidates were sent.

    Attributes:
        order: int64 [min(top_k or N, N)], candidate indices, best first.
        scores: float32 [N], higher is better; NaN = not scored.
        candidate_ids: what the request sent: int64 [N], N strings, or None.
        step: rung of the quality ladder; Step.FULL = nothing was given up.
        outcomes: uint8 [N] of Outcome.
        flags: uint8 [N] of Flag bits.
        heads: head -> float32 [N], those the request asked for; NaN = not scored.
    """

    model: str
    version: int
    variant: str
    request_id: str
    order: NDArray[np.int64]
    scores: NDArray[np.float32]
    candidate_ids: NDArray[np.int64] | Sequence[str] | None
    step: Step
    outcomes: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    heads: Mapping[str, NDArray[np.float32]]
    coverage: Coverage
    timings: Timings

    @property
    def ids(self) -> NDArray[Any]:
        """Ids in ranked order, like `order`; the indices themselves when the request sent no ids."""
        return self.order if self.candidate_ids is None else np.asarray(self.candidate_ids)[self.order]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version that a server knows.

    Attributes:
        state: loading, serving, refused or draining.
        reason: why it, or one of its variants, is refused; "" when nothing is.
        budget_ms: what it promises at p99; 0 when it does not serve.
        manifest_json: the bundle's bundle.json as the server holds it; empty unless asked for.
    """

    model: str
    version: int
    state: str
    reason: str
    is_default: bool
    variants: tuple[str, ...]
    default_variant: str
    budget_ms: float
    manifest_json: bytes
