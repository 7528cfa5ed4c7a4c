"""permutation: candidates in another order get the same scores in that order.

A request is run as it came and permuted, alone in its run both times: same number of rows, only their places
differ. Most graphs are exact to the bit; a kernel that treats the last few rows of a matrix apart may round
them differently, so the bounds are those of `batch_invariance`.
"""

from __future__ import annotations

import numpy as np

from export.gates.batch_invariance import DRIFT_MAX, MOVED_MAX, STILL
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult, Number
from export.reference import combine
from export.side_by_side import each
from export.spec import Array

NAME = "permutation"
REQUESTS = 200


def check(evidence: Evidence, subject: Subject, requests: int = REQUESTS) -> GateResult:
    """Permute the candidates of random requests.

    Raises:
        GateFailed: a score drifts further than DRIFT_MAX of the scores' spread, or too many drift.
    """
    rng = np.random.default_rng(evidence.spec.seed)
    rows = rng.permutation(len(evidence.requests))[:requests]
    alone = subject.alone(evidence)

    def drifts(entry: tuple[int, Array]) -> Array:
        row, order = entry
        heads = subject.runner.heads(evidence.codec, [evidence.requests[row].take(order)])
        moved: Array = np.abs(combine(evidence.spec, heads) - combine(evidence.spec, alone[row])[order])
        return moved

    orders = ((row, rng.permutation(evidence.requests[row].count)) for row in rows)
    flat = np.concatenate(each(drifts, orders))
    drift = float(flat.max()) / evidence.score_std
    moved = float((flat > STILL * evidence.score_std).mean())
    limit = DRIFT_MAX[subject.variant]
    numbers: dict[str, Number] = {
        "requests": len(rows),
        "scores": len(flat),
        "exact_share": float((flat == 0.0).mean()),
        "drift_over_std": drift,
        "drift_over_std_allowed": limit,
        "moved_share": moved,
        "moved_share_allowed": MOVED_MAX,
    }
    # "not <=": a NaN must not pass
    if not (drift <= limit and moved <= MOVED_MAX):
        raise GateFailed(
            NAME,
            f"{subject.variant}: scores move by up to {drift:.2g} of their spread when the candidates come "
            f"in another order, {moved:.1%} of them by more than {STILL:g}; allowed are {limit:g} and "
            f"{MOVED_MAX:.0%}: a score must not depend on a candidate's place",
            numbers,
        )
    if drift == 0.0:
        text = f"{len(flat):,} scores of {len(rows)} requests are bit for bit the same in any order"
    else:
        text = f"scores move by up to {drift:.2g} of their spread with the candidates' order"
    return GateResult(gate=NAME, variant=subject.variant, sentence=text, numbers=numbers)
