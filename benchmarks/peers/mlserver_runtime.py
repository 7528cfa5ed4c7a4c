"""The benchmark's graph as a custom runtime of MLServer; runs inside MLServer, on the peer's interpreter.

Each input is one BYTES element per request. Typed tensors would become Python lists, a float object per
feature, before a runtime sees them; opaque bytes reach it as they are. Adaptive batching concatenates the
elements of several requests; they become one `session.run`, packed as Podium packs them.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

DTYPES = {"history": "<i8", "history_length": "<i8", "item": "<i8", "features": "<f4"}
FEATURES = 136


class Ranker(MLModel):
    """Scores requests; inputs and output BYTES [requests]."""

    async def load(self) -> bool:
        """Load the graph with the session options of `benchmarks.raw`."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = self.settings.parameters.uri
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score a batch of requests."""
        given = {one.name: list(one.data) for one in payload.inputs}
        inputs = {name: np.frombuffer(b"".join(given[name]), dtype) for name, dtype in DTYPES.items()}
        requests = len(given["item"])
        counts = [len(item) // 8 for item in given["item"]]
        scores = self._session.run(
            ["score"],
            {
                "history": inputs["history"].reshape(requests, -1),
                "history_length": inputs["history_length"],
                "item": inputs["item"],
                "features": inputs["features"].reshape(-1, FEATURES),
                "row_to_context": np.repeat(np.arange(requests), counts),
            },
        )[0]
        parts = [part.tobytes() for part in np.split(scores, np.cumsum(counts)[:-1])]
        output = ResponseOutput(name="score", shape=[requests], datatype="BYTES", data=parts)
        return InferenceResponse(model_name=self.name, outputs=[output])
