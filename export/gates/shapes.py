"""shapes: the graph takes any number of contexts and candidates.

Sizes 0 and 1 are special to the exporter, so 1 is tried here, with primes and a larger batch; every request
of a batch must get PyTorch's scores. The file itself must still name R and N as symbols.
"""

from __future__ import annotations

import numpy as np

from export.gates.evidence import Evidence, Subject
from export.gates.parity import MAX_ERROR
from export.gates.verdict import GateFailed, GateResult
from export.tracing import axis_of

NAME = "shapes"
SIZES = ((1, 1), (1, 2), (2, 1), (1, 7), (2, 2), (2, 13), (3, 1), (3, 67), (1, 211))
"""(contexts, candidates per context)."""


def check(evidence: Evidence, subject: Subject) -> GateResult:
    """Look at the declared sizes, then run every size against PyTorch.

    Raises:
        GateFailed: a size is baked into the graph, or one of them fails or gives other scores.
    """
    codec = evidence.codec
    for value in (*subject.model.graph.input, *subject.model.graph.output):
        leading = value.type.tensor_type.shape.dim[0]
        wanted = "N" if value.name in evidence.spec.heads else axis_of(codec, value.name)
        if leading.dim_param != wanted:
            baked = leading.dim_param or leading.dim_value
            raise GateFailed(
                NAME, f"{value.name!r} has leading size {baked}, not {wanted}", {"value": value.name}
            )
    for contexts, candidates in SIZES:
        _run(evidence, subject, contexts, candidates)
    return GateResult(
        gate=NAME,
        variant=subject.variant,
        sentence=f"{len(SIZES)} batch shapes up to {SIZES[-1][1]} candidates give PyTorch's scores",
        numbers={"shapes": len(SIZES)},
    )


def _run(evidence: Evidence, subject: Subject, contexts: int, candidates: int) -> None:
    rows = [row % len(evidence.requests) for row in range(contexts)]
    picks = [np.arange(candidates) % evidence.requests[row].count for row in rows]
    batch = [evidence.requests[row].take(pick) for row, pick in zip(rows, picks, strict=True)]
    at = {"contexts": contexts, "candidates": candidates}
    try:
        got = subject.runner.heads(evidence.codec, batch)
    except Exception as error:  # ORT's errors have no common base of their own
        raise GateFailed(
            NAME, f"the graph does not run with {contexts} contexts of {candidates} candidates: {error}", at
        ) from error
    for head in evidence.spec.heads:
        exact = np.concatenate(
            [evidence.heads[row][head][pick] for row, pick in zip(rows, picks, strict=True)]
        )
        if got[head].shape != exact.shape:
            raise GateFailed(
                NAME,
                f"{contexts} contexts of {candidates} candidates give head {head!r} shape {got[head].shape}",
                at,
            )
        error_max = float((np.abs(got[head] - exact) / np.maximum(1.0, np.abs(exact))).max())
        if not error_max <= MAX_ERROR:
            raise GateFailed(
                NAME,
                f"{contexts} contexts of {candidates} candidates: the scores of head {head!r} differ "
                f"from PyTorch's by up to {error_max:.2g}",
                {**at, "error_max": error_max},
            )
