"""A graph that no server would load is refused while it is exported: both have one table of operators."""

from __future__ import annotations

import onnx

from export.failure import ExportFailed
from protos.operators import qualified, why_not


def require_servable(model: onnx.ModelProto) -> None:
    """Look at every node.

    Raises:
        ExportFailed: an operator is not among those that a server loads.
    """
    if model.functions:
        raise ExportFailed(f"the graph has functions ({model.functions[0].name}), which servers do not load")
    for node in model.graph.node:
        reason = why_not(node.domain, node.op_type)
        if reason is not None:
            name = qualified(node.domain, node.op_type)
            raise ExportFailed(f"the graph uses the operator {name} (node {node.name!r}), which {reason}")
