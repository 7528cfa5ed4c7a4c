"""Wire to answer. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from podium.client.ranked import Coverage, ModelVersion, Ranked, Timings
from podium.client.wire_enums import Outcome, Step
from podium.v1 import ranking_pb2 as pb
from podium.v1.tensor import NUMPY


def decode(request: pb.RankRequest, response: pb.RankResponse) -> Ranked:
    """Build the answer to `request`."""
    coverage, timings = response.coverage, response.timings
    rows = coverage.candidates
    return Ranked(
        model=response.model,
        version=response.version,
        variant=response.variant,
        request_id=response.request_id,
        order=np.array(response.order, np.int64),
        scores=np.frombuffer(response.scores, NUMPY["float32"]),
        candidate_ids=_ids(request.candidates),
        step=Step(response.step),
        outcomes=_bytes_or(response.outcomes, rows, Outcome.SCORED),
        flags=_bytes_or(response.flags, rows, 0),
        heads={head.name: np.frombuffer(head.data, NUMPY["float32"]) for head in response.heads},
        coverage=Coverage(
            candidates=rows,
            scored=coverage.scored,
            by_ladder=coverage.by_ladder,
            by_deadline=coverage.by_deadline,
            invalid=coverage.invalid,
        ),
        timings=Timings(
            decode_us=timings.decode_us,
            queue_us=timings.queue_us,
            form_us=timings.form_us,
            run_us=timings.run_us,
            split_us=timings.split_us,
            total_us=timings.total_us,
            batch_rows=timings.batch_rows,
            batch_requests=timings.batch_requests,
        ),
    )


def decode_models(response: pb.ListModelsResponse) -> list[ModelVersion]:
    """Build the list of versions, in the server's order."""
    return [
        ModelVersion(
            model=entry.model,
            version=entry.version,
            state=pb.ModelVersion.State.Name(entry.state).removeprefix("STATE_").lower(),
            reason=entry.reason,
            is_default=entry.is_default,
            variants=tuple(entry.variants),
            default_variant=entry.default_variant,
            budget_ms=entry.budget_us / 1e3,
            manifest_json=entry.manifest_json,
        )
        for entry in response.models
    ]


def _ids(candidates: pb.Candidates) -> NDArray[np.int64] | tuple[str, ...] | None:
    if candidates.int_ids:
        return np.frombuffer(candidates.int_ids, NUMPY["int64"])
    return tuple(candidates.string_ids) or None


def _bytes_or(data: bytes, rows: int, default: int) -> NDArray[np.uint8]:
    """The wire leaves an array out when every entry is the default."""
    return np.frombuffer(data, np.uint8) if data else np.full(rows, default, np.uint8)
