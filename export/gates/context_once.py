"""context_once: what depends on the context alone is computed per context, never per candidate.

Checked on the running graph: with every intermediate value exposed and several distinct R and N, a value that
depends on no candidate input must not have N as its leading size, nor in a grid N or C anywhere, unless it is
the gather itself or a view of it (a reshape costs nothing). A tower that was tiled to the candidates before
it ran is N times too dear.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.ancestors import ancestors_of
from export.codec import ROW_TO_CONTEXT
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult
from export.runtime import Runner, with_outputs

NAME = "context_once"
VIEWS = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity"})
SIZES = ((2, 37), (3, 41))
"""(R, N) of the two runs: a leading size that follows N in both is N."""
GRID_SIZES = tuple({n, -(-n // r), r * -(-n // r)} for r, n in SIZES)
"""N, C and R * C of the two runs, C being the most that one request has."""
Shapes = Mapping[str, tuple[int, ...]]


def check(evidence: Evidence, subject: Subject) -> GateResult:
    """Trace every value's ancestors and sizes.

    Raises:
        GateFailed: names the first offending node.
    """
    codec = evidence.codec
    if not codec.context_names:
        return GateResult(gate=NAME, variant=subject.variant, sentence="the model has no context inputs")
    ancestors = ancestors_of(subject.model)
    shared = frozenset((*codec.context_names, *codec.layout_names))
    per_context = [
        node for node in subject.model.graph.node if (seen := ancestors[node.output[0]]) and seen <= shared
    ]
    shapes = _shapes(evidence, subject, [node.output[0] for node in per_context])
    follows = _in_grid if evidence.spec.layout == "grid" else _leads
    gathered: set[str] = set()
    for node in per_context:
        if not follows([seen[node.output[0]] for seen in shapes]):
            continue
        is_gather = node.op_type == "Gather" and ancestors[node.input[1]] == {ROW_TO_CONTEXT}
        rows = ancestors[node.output[0]] <= set(codec.layout_names)
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


def _leads(shapes: list[tuple[int, ...]]) -> bool:
    """The leading size is N in both runs."""
    return [shape[:1] for shape in shapes] == [(n,) for _, n in SIZES]


def _in_grid(shapes: list[tuple[int, ...]]) -> bool:
    """Some size is one that grows with the candidates, in both runs."""
    return any(all(pair[at] in GRID_SIZES[at] for at in (0, 1)) for pair in zip(*shapes, strict=True))


def _shapes(evidence: Evidence, subject: Subject, values: list[str]) -> list[Shapes]:
    runner = Runner(with_outputs(subject.model, values), optimize=False)
    found: list[Shapes] = []
    for contexts, candidates in SIZES:
        requests = [evidence.requests[row % len(evidence.requests)] for row in range(contexts)]
        share = np.bincount(np.arange(candidates) % contexts, minlength=contexts)
        batch = [one.take(np.arange(count) % one.count) for one, count in zip(requests, share, strict=True)]
        outputs = runner.run(evidence.codec.feeds(batch))
        found.append({name: outputs[name].shape for name in values})
    return found
