"""The benchmark's graph as a model of Triton's Python backend; runs inside Triton, on the peer's interpreter.

The requests of a dynamic batch become one `session.run`: contexts stacked, candidates concatenated, and
`row_to_context` says which context a candidate reads, as Podium packs them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


def _inputs(requests: list, name: str) -> list[np.ndarray]:
    return [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]


class TritonPythonModel:
    """Found by Triton under this name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph with the session options of `benchmarks.raw`."""
        parameters = json.loads(args["model_config"])["parameters"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = Path(parameters["graph"]["string_value"])
        self._session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list) -> list:
        """Score a batch of requests: inputs [1, ...] each, score [1, N] each."""
        items = [item[0] for item in _inputs(requests, "item")]
        counts = [len(item) for item in items]
        scores = self._session.run(
            ["score"],
            {
                "history": np.concatenate(_inputs(requests, "history")),
                "history_length": np.concatenate(_inputs(requests, "history_length"))[:, 0],
                "item": np.concatenate(items),
                "features": np.concatenate([rows[0] for rows in _inputs(requests, "features")]),
                "row_to_context": np.repeat(np.arange(len(requests)), counts),
            },
        )[0]
        responses, at = [], 0
        for count in counts:
            tensor = pb_utils.Tensor("score", scores[None, at : at + count])
            responses.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
            at += count
        return responses
