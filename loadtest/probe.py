"""Before a run: is the target there, and does it serve what will be asked?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import grpc

from podium.v1 import ranking_pb2 as pb
from podium.v1 import ranking_pb2_grpc

ANSWER_S_MAX = 5.0


class NotThere(Exception):
    """One sentence."""


def describe(address: str, models: Sequence[str]) -> dict[str, str]:
    """What the server says of the models: version, variant and budget each.

    Raises:
        NotThere: nobody answers, or a model is not served.
    """
    with grpc.insecure_channel(address) as channel:
        # Generated code has no types.
        stub = ranking_pb2_grpc.RankerStub(channel)  # type: ignore[no-untyped-call]
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER_S_MAX)
            listed = stub.ListModels(pb.ListModelsRequest(with_manifest=True), timeout=ANSWER_S_MAX).models
        except grpc.FutureTimeoutError:
            raise NotThere(f"no server answers at {address}") from None
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return {"models": "the server does not say"}
            raise NotThere(f"{address} does not say what it serves: {error.code().name}") from None
    serving = [entry for entry in listed if entry.state == pb.ModelVersion.STATE_SERVING]
    names = sorted({entry.model for entry in serving})
    for model in models:
        if model not in names:
            raise NotThere(f"{address} does not serve {model!r}; it serves {', '.join(names) or 'nothing'}")
    return {
        f"model {entry.model}": (
            f"version {entry.version}, {entry.default_variant}, budget {entry.budget_us / 1e3:g} ms, "
            f"manifest sha256 {hashlib.sha256(entry.manifest_json).hexdigest()[:12]}"
        )
        for entry in serving
        if entry.model in models and entry.is_default
    }
