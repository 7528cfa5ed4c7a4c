"""Requests as wire messages: what a caller would send, with its own ids, unpadded, without a batch axis."""

from __future__ import annotations

import numpy as np

from export.spec import ExampleRequest, ExportSpec
from podium.v1 import ranking_pb2 as pb
from protos.tensor import NUMPY, to_message


def message_of(spec: ExportSpec, request: ExampleRequest, request_id: str) -> bytes:
    """Serialise one request as a RankRequest for the model's default version."""
    message = pb.RankRequest(model=spec.name, request_id=request_id)
    candidates = message.candidates
    candidates.count = request.count
    for entry in spec.inputs:
        if entry.role == "context":
            array = np.asarray(request.context[entry.name]).astype(NUMPY[entry.dtype])
            message.context.append(to_message(entry.name, array))
        elif entry.role == "candidate_id":
            ids = np.asarray(request.candidates[entry.name])
            if ids.dtype.kind == "U":
                candidates.string_ids.extend(ids.tolist())
            else:
                candidates.int_ids = ids.astype("<i8").tobytes()
        elif entry.role == "candidate":
            column = np.asarray(request.candidates[entry.name]).astype(NUMPY[entry.dtype])
            candidates.columns.append(to_message(entry.name, column))
    if request.prior_scores is not None:
        candidates.prior_scores = np.asarray(request.prior_scores).astype("<f4").tobytes()
    data: bytes = message.SerializeToString()
    return data
