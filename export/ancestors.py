"""What every value of a graph depends on: tells the context's side from the candidates'."""

from __future__ import annotations

import onnx


def ancestors_of(model: onnx.ModelProto) -> dict[str, frozenset[str]]:
    """Value -> names of the graph inputs that it depends on."""
    found = {entry.name: frozenset([entry.name]) for entry in model.graph.input}
    found.update({entry.name: frozenset() for entry in model.graph.initializer})
    found[""] = frozenset()
    for node in model.graph.node:
        union = frozenset().union(*(found[name] for name in node.input))
        found.update(dict.fromkeys(node.output, union))
    return found
