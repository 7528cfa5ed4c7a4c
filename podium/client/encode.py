"""Request to wire. Pure."""

from __future__ import annotations

import numpy as np

from podium.client.request import Ids, RankingRequest
from podium.v1 import ranking_pb2 as pb
from podium.v1.tensor import NUMPY, to_message


def encode(request: RankingRequest) -> pb.RankRequest:
    """Build the wire's request; `timeout_us` is the caller's to set, once per attempt.

    Raises:
        ValueError: an array's dtype cannot be sent, ids do not fit, or the candidates disagree on how many
            there are.
    """
    candidates = pb.Candidates(
        count=request.count,
        columns=[to_message(name, np.asarray(array)) for name, array in request.columns.items()],
    )
    if request.ids is not None:
        _set_ids(candidates, request.ids)
    if request.prior_scores is not None:
        candidates.prior_scores = np.asarray(request.prior_scores).astype(NUMPY["float32"]).tobytes()
    return pb.RankRequest(
        model=request.model,
        version=request.version,
        variant=request.variant,
        request_id=request.request_id,
        context=[to_message(name, np.asarray(array)) for name, array in request.context.items()],
        candidates=candidates,
        top_k=request.top_k,
        importance=pb.Importance.Name(request.importance or pb.IMPORTANCE_UNSPECIFIED),
        tenant=request.tenant,
        floor=pb.Step.Name(request.floor or pb.STEP_UNSPECIFIED),
        head_weights=request.head_weights,
        return_heads=request.return_heads,
    )


def _set_ids(candidates: pb.Candidates, ids: Ids) -> None:
    array = np.asarray(ids)
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise ValueError(
            f"ids must be N integers or N strings, got {array.dtype} of shape {list(array.shape)}"
        )
    if array.dtype.kind == "U":
        candidates.string_ids.extend(array.tolist())
    else:
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError("ids must fit int64")  # the cast would wrap around: another item's id
        candidates.int_ids = array.astype(NUMPY["int64"]).tobytes()
