"""Golden requests: a few real ones with the scores the exporter got, replayed by the server at every load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from export.gates.evidence import Evidence, Subject
from export.reference import Scores, combine

COUNT = 16
TOLERANCE_OF_STD = {"fp32": 1e-3, "int8": 5e-2, "int8-weights": 5e-2, "int8-dynamic": 5e-2, "fp16": 1e-2}
"""How far another processor's kernels may move a golden score, as a share of the scores' spread. Kernels add
in
another order: about 1e-6 of the spread in float32, but in int8 that can tip an activation over a rounding
    edge (noise
of 1e-6 in the inputs moved single scores by up to 0.02 of the spread). A saturating kernel or a wrong file is
off by tenths."""


def pick(evidence: Evidence) -> list[int]:
    """Rows of the golden requests: the smallest and the largest by candidates, and others spread evenly."""
    labelled = len(evidence.spec.requests)
    counts = [request.count for request in evidence.requests[:labelled]]
    ends = [int(np.argmin(counts)), int(np.argmax(counts))]
    spread = np.linspace(0, labelled - 1, min(COUNT, labelled)).astype(int).tolist()
    return sorted(list(dict.fromkeys([*ends, *spread]))[:COUNT])


def scores_of(evidence: Evidence, subject: Subject, rows: Sequence[int]) -> list[Scores]:
    """Combined scores of the golden requests, each run alone on the graph as written."""
    return [
        combine(evidence.spec, subject.runner.heads(evidence.codec, [evidence.requests[row]])) for row in rows
    ]


def max_abs(evidence: Evidence, variants: Iterable[str]) -> float:
    """The bundle's tolerance: that of its loosest variant."""
    return evidence.score_std * max(TOLERANCE_OF_STD[variant] for variant in variants)


def order_is_exact(scores: Sequence[Scores], tolerance: float) -> bool:
    """True when no two scores of a request lie so close that the tolerance could swap them."""
    return all(len(row) < 2 or float(np.diff(np.sort(row)).min()) > 2 * tolerance for row in scores)
