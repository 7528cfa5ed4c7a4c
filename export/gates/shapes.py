"""shapes: the graph takes any number of contexts and candidates.

Sizes 0 and 1 are special to the exporter, so 1 is tried here, with primes and a larger batch; every request
of a batch must get PyTorch's scores. The file itself must still name R and N as symbols.
"""

from __future__ import annotations

import numpy as np

from export.gates.evidence import Evidence, Subject
from export.gates.parity import MAX_ERROR
from export.gates.verdict import GateFailed, GateResult
from export.reference import Reference
from export.tracing import axes_of

NAME = "shapes"
SIZES = ((1, 1), (1, 2), (2, 1), (1, 7), (2, 2), (2, 13), (3, 1), (3, 67), (1, 211))
"""(contexts, candidates per context)."""
GRIDS = ((1, 9), (9, 1), (5, 1, 31, 2))
"""Candidates of each request of more batches, for a grid: slots stay empty."""


def check(evidence: Evidence, subject: Subject) -> GateResult:
    """Look at the declared sizes, then run every size against PyTorch.

    Raises:
        GateFailed: a size is baked into the graph, or one of them fails or gives other scores.
    """
    codec = evidence.codec
    for value in (*subject.model.graph.input, *subject.model.graph.output):
        wanted_axes = ("N",) if value.name in evidence.spec.heads else axes_of(codec, value.name)
        for size, wanted in zip(value.type.tensor_type.shape.dim, wanted_axes, strict=False):
            if size.dim_param != wanted:
                baked = size.dim_param or size.dim_value
                raise GateFailed(
                    NAME, f"{value.name!r} has size {baked}, not {wanted}", {"value": value.name}
                )
    batches = [(candidates,) * contexts for contexts, candidates in SIZES]
    batches += GRIDS if evidence.spec.layout == "grid" else ()
    reference = Reference(evidence.spec, codec)
    for counts in batches:
        _run(evidence, subject, reference, counts)
    return GateResult(
        gate=NAME,
        variant=subject.variant,
        sentence=f"{len(batches)} batch shapes up to {SIZES[-1][1]} candidates give PyTorch's scores",
        numbers={"shapes": len(batches)},
    )


def _run(evidence: Evidence, subject: Subject, reference: Reference, counts: tuple[int, ...]) -> None:
    rows = [row % len(evidence.requests) for row in range(len(counts))]
    picks = [np.arange(count) % evidence.requests[row].count for row, count in zip(rows, counts, strict=True)]
    batch = [evidence.requests[row].take(pick) for row, pick in zip(rows, picks, strict=True)]
    contexts, candidates = len(counts), max(counts)
    at = {"contexts": contexts, "candidates": candidates}
    try:
        got = subject.runner.heads(evidence.codec, batch)
    except Exception as error:  # ORT's errors have no common base of their own
        raise GateFailed(
            NAME, f"the graph does not run with {contexts} contexts of {candidates} candidates: {error}", at
        ) from error
    alone = [reference.heads(request) for request in batch]
    for head in evidence.spec.heads:
        exact = np.concatenate([heads[head] for heads in alone])
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
