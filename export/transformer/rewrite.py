"""All passes over a BERT-like graph, in order, and the proof by numbers that they changed nothing.

Left alone: a graph without multi-head attention in the textbook's form, one whose scores would change, one
that would not run faster. The caller then goes on with the graph as traced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from export.gates.speed import interleaved
from export.runtime import Runner
from export.spec import Array
from export.tracing import ExportFailed
from export.transformer.attention import CHANGED_SINCE_TRACE, OPSET, fuse_attention, widen_masks
from export.transformer.graph import Graph
from export.transformer.needed_rows import read_needed_rows
from export.transformer.two_axes import to_two_axes

ERROR_MAX = 1e-4
"""Relative to max(1, |score|), as the parity gate, which compares with PyTorch afterwards."""
SLOWDOWN_MAX = 1.0
BLOCKS = 7


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A rewritten graph.

    Attributes:
        attentions: multi-head attentions, each one operator now.
        one_query: how many of them compute one query only, because the head reads one token.
        linear: linear layers, each a Gemm over [rows, width].
        speedup: processor time of the graph as traced over that of this one.
    """

    model: onnx.ModelProto
    attentions: int
    one_query: int
    linear: int
    speedup: float


def rewrite(
    model: onnx.ModelProto, feeds: Mapping[str, Array], *, slowdown_max: float = SLOWDOWN_MAX
) -> Rewritten | None:
    """Rewrite a BERT-like graph.

    Args:
        model: as traced; it stays as it is.
        feeds: one batch, real or like it, of at least two candidates of unlike length.
        slowdown_max: the rewritten graph may take so many times the original's time on `feeds`.

    Returns:
        None where there is nothing to gain: go on with `model`.
    """
    operators = {node.op_type for node in model.graph.node}
    if "Softmax" not in operators or operators & CHANGED_SINCE_TRACE:
        return None
    graph = Graph(model)
    attentions = fuse_attention(graph)
    if not attentions:
        return None
    one_query = read_needed_rows(graph)
    linear = to_two_axes(graph)
    widen_masks(graph)
    try:
        changed = graph.model(opset=OPSET)
    except ExportFailed:
        return None
    before, after = Runner(model), Runner(changed)
    if not _alike(before.run(feeds), after.run(feeds)):
        return None
    times = interleaved({"traced": lambda: before.run(feeds), "rewritten": lambda: after.run(feeds)}, BLOCKS)
    if times["rewritten"] > slowdown_max * times["traced"]:
        return None
    return Rewritten(changed, attentions, one_query, linear, times["traced"] / times["rewritten"])


def _alike(wanted: Mapping[str, Array], got: Mapping[str, Array]) -> bool:
    for name, exact in wanted.items():
        if got[name].shape != exact.shape or not np.isfinite(got[name]).all():
            return False
        if (np.abs(got[name] - exact) > ERROR_MAX * np.maximum(1.0, np.abs(exact))).any():
            return False
    return True
