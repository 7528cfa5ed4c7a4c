"""context_once: what depends on the context alone is computed per context, never per candidate.

Checked on the running graph: with every intermediate value exposed and several distinct R and N, a value that
depends on no candidate input must not have N as its leading size, unless it is the gather itself or a view of
it (a reshape costs nothing). A tower that was tiled to the candidates before it ran is N times too dear.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from export.codec import ROW_TO_CONTEXT
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult
from export.runtime import Runner, with_outputs

NAME = "context_once"
VIEWS = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity"})
SIZES = ((2, 37), (3, 41))
"""(R, N) of the two runs: a leading size that follows N in both is N."""


def check(evidence: Evidence, subject: Subject) -> GateResult:
    """Trace every value's ancestors and leading size.

    Raises:
        GateFailed: names the first offending node.
    """
    codec = evidence.codec
    if not codec.context_names:
        return GateResult(gate=NAME, variant=subject.variant, sentence="the model has no context inputs")
    ancestors = _ancestors(subject.model)
    shared = frozenset((*codec.context_names, ROW_TO_CONTEXT))
    per_context = [
        node for node in subject.model.graph.node if (seen := ancestors[node.output[0]]) and seen <= shared
    ]
    leading = _leading_sizes(evidence, subject, [node.output[0] for node in per_context])
    gathered: set[str] = set()
    for node in per_context:
        if [sizes[node.output[0]] for sizes in leading] != [n for _, n in SIZES]:
            continue
        is_gather = node.op_type == "Gather" and ancestors[node.input[1]] == {ROW_TO_CONTEXT}
        rows = ancestors[node.output[0]] == {ROW_TO_CONTEXT}
        if is_gather or rows or (node.op_type in VIEWS and node.input[0] in gathered):
            gathered.add(node.output[0])
            continue
        raise GateFailed(
            NAME,
            f"{node.op_type} {node.name or node.output[0]!r} depends on the context alone but runs once per "
            "candidate: compute it in the spec's context function",
            {"node": node.name or node.output[0], "op": node.op_type},
        )
    return GateResult(
        gate=NAME,
        variant=subject.variant,
        sentence=f"{len(per_context)} context-side operators run once per context",
        numbers={"context_operators": len(per_context), "operators": len(subject.model.graph.node)},
    )


def _ancestors(model: onnx.ModelProto) -> dict[str, frozenset[str]]:
    """Value -> the graph inputs that it depends on."""
    found = {entry.name: frozenset([entry.name]) for entry in model.graph.input}
    found.update({entry.name: frozenset() for entry in model.graph.initializer})
    found[""] = frozenset()
    for node in model.graph.node:
        union = frozenset().union(*(found[name] for name in node.input))
        found.update(dict.fromkeys(node.output, union))
    return found


def _leading_sizes(evidence: Evidence, subject: Subject, values: list[str]) -> list[Mapping[str, int]]:
    runner = Runner(with_outputs(subject.model, values), optimize=False)
    sizes: list[Mapping[str, int]] = []
    for contexts, candidates in SIZES:
        requests = [evidence.requests[row % len(evidence.requests)] for row in range(contexts)]
        share = np.bincount(np.arange(candidates) % contexts, minlength=contexts)
        batch = [one.take(np.arange(count) % one.count) for one, count in zip(requests, share, strict=True)]
        outputs = runner.run(evidence.codec.feeds(batch))
        sizes.append({name: outputs[name].shape[0] if outputs[name].ndim else 0 for name in values})
    return sizes
