"""Scores to bytes: heads combined, candidates ordered, the answer built. The counterpart of `wire.py`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from measures.order import rank_order
from podium.v1 import ranking_pb2 as pb
from protos.tensor import NUMPY
from server.domain import RankingRequest, Scored, Scores
from server.errors import Reason, Refusal, Refused


class Identity(msgspec.Struct, frozen=True):
    """Who answers."""

    model: str
    version: int
    variant: str


class Timings(msgspec.Struct, frozen=True):
    """Microseconds of one request's stages, as on the wire."""

    decode_us: int
    queue_us: int
    form_us: int
    run_us: int


def combine(heads: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Weighted sum of the heads, float32 [N]."""
    if len(heads) == 1:
        ((head, scores),) = heads.items()
        return scores if weights[head] == 1.0 else scores * np.float32(weights[head])
    total = sum(heads[head] * np.float32(weight) for head, weight in weights.items())
    return np.asarray(total, np.float32)


def encode(
    request: RankingRequest, scores: Scores, identity: Identity, timings: Timings, scored: Scored
) -> pb.RankResponse:
    """Build the answer of a fully scored request; split_us and total_us are the caller's to set.

    Raises:
        Refused: NON_FINITE_OUTPUT, the model scored a valid candidate NaN or infinity.
    """
    rows = request.payload.rows
    invalid = request.invalid
    if invalid is not None:
        scores = np.where(invalid, np.float32(np.nan), scores)
        finite = bool(np.isfinite(scores[~invalid]).all())
    else:
        finite = bool(np.isfinite(scores).all())
    if not finite:
        raise Refused(Refusal(Reason.NON_FINITE_OUTPUT, "The model gave a score that is NaN or infinite."))
    order = rank_order(scores, request.prior)
    excluded = 0 if invalid is None else int(invalid.sum())
    response = pb.RankResponse(
        request_id=request.request_id,
        model=identity.model,
        version=identity.version,
        variant=identity.variant,
        step=pb.STEP_FULL,
        order=order[: request.top_k].tolist(),
        scores=scores.astype(NUMPY["float32"], copy=False).tobytes(),
        coverage=pb.Coverage(candidates=rows, scored=rows - excluded, invalid=excluded),
        timings=pb.Timings(
            decode_us=timings.decode_us,
            queue_us=timings.queue_us,
            form_us=timings.form_us,
            run_us=timings.run_us,
            batch_rows=scored.stamps.rows,
            batch_requests=scored.stamps.requests,
        ),
    )
    if invalid is not None:
        response.outcomes = (
            np.where(invalid, pb.OUTCOME_INVALID, pb.OUTCOME_SCORED).astype(np.uint8).tobytes()
        )
    if request.flags is not None:
        response.flags = request.flags.tobytes()
    return response
