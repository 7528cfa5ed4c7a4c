"""batch_invariance: a candidate's score does not depend on who else is in the batch.

Podium mixes requests in one run. Random batches (requests, candidates and their order all drawn) must give
every candidate the score it gets when its request runs alone. A matrix product may add in another order for
another number of rows, so float32 drifts by some 1e-6 of the scores' spread. In static int8 such a difference
can tip an
activation over a rounding edge, which moves that one score by a whole step: rare, so few scores may move, and
bounded. Dynamic int8, whose scale is taken over the batch, moves nearly all of them (measured on the rankers
of `examples` and of the tests: static 0 %, dynamic 90 to 97 % of the scores, by up to 0.4 of the spread).

A setwise ranker's scores depend on the request's own candidates, so its requests are cut down first, run
alone as they are then, and put into batches with their candidates in another order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.codec import Encoded
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult
from export.reference import Scores, combine
from export.side_by_side import each
from export.spec import Array
from protos.manifest import BatchInvariance

NAME = "batch_invariance"
COMPOSITIONS = 2000
REQUESTS_IN_BATCH = (1, 1, 2, 3, 4, 8)
Alone = tuple[Encoded, Scores]
"""A request and its combined scores when it runs alone."""
POOL = 64
"""Requests that batches are drawn from: their scores when run alone are known once."""
CUTS = 4
"""Setwise: so many different sets of candidates are drawn from each."""
DRIFT_MAX = {"fp32": 1e-4, "int8": 5e-2, "int8-weights": 5e-2, "fp16": 5e-2, "int8-dynamic": float("inf")}
"""Largest drift of a score, as a share of the scores' spread. Noise of 1e-6 in the inputs of static int8
rankers moved single scores by up to 0.02 of the spread."""
TOLD = frozenset({"int8-dynamic"})
"""Variants that nobody gets who did not ask for them: the gate tells, and does not refuse."""
STILL = 1e-4
"""A drift of up to this share of the spread counts as none."""
MOVED_MAX = 0.01
"""Largest share of the scores that may drift by more than STILL."""


def check(
    evidence: Evidence, subject: Subject, compositions: int = COMPOSITIONS
) -> tuple[GateResult, BatchInvariance]:
    """Score random batches and compare with each request alone.

    Raises:
        GateFailed: a score drifts by more than DRIFT_MAX of the scores' spread, and the variant is not of
        TOLD.
    """
    rng = np.random.default_rng(evidence.spec.seed)
    rows = rng.permutation(len(evidence.requests))[:POOL]
    pool = [(evidence.requests[row], combine(evidence.spec, subject.alone(evidence)[row])) for row in rows]
    setwise = evidence.spec.kind == "setwise"
    if setwise:
        pool = [_cut(evidence, subject, request, rng) for request, _ in pool for _ in range(CUTS)]

    def drifts(composed: tuple[list[Encoded], Array]) -> Array:
        batch, expected = composed
        return np.abs(combine(evidence.spec, subject.runner.heads(evidence.codec, batch)) - expected)

    flat = np.concatenate(each(drifts, (_compose(pool, rng, whole=setwise) for _ in range(compositions))))
    drift = float(flat.max())
    moved = float((flat > STILL * evidence.score_std).mean())
    found = BatchInvariance(
        bitwise=drift == 0.0,
        max_abs=drift,
        relative_to_std=drift / evidence.score_std,
        compositions=compositions,
    )
    limit = DRIFT_MAX[subject.variant]
    told = subject.variant in TOLD
    numbers = {
        "compositions": compositions,
        "scores": len(flat),
        "drift_max": drift,
        "drift_over_std": found.relative_to_std,
        "drift_over_std_allowed": None if told else limit,
        "moved_share": moved,
        "moved_share_allowed": None if told else MOVED_MAX,
    }
    text = f"scores move by up to {drift:.2g} ({found.relative_to_std:.2g} of their spread) with the batch"
    if told and np.isfinite(drift):
        sentence = f"scores depend on batch-mates: {text}, {moved:.1%} of them"
        result = GateResult(
            gate=NAME, variant=subject.variant, verdict="warning", sentence=sentence, numbers=numbers
        )
        return result, found
    # "not <=": a NaN must not pass
    if not (found.relative_to_std <= limit and moved <= MOVED_MAX):
        raise GateFailed(
            NAME,
            f"{subject.variant}: {text}, {moved:.1%} of them by more than {STILL:g} of it; "
            f"allowed are {limit:g} and {MOVED_MAX:.0%}",
            numbers,
        )
    if found.bitwise:
        text = f"{len(flat):,} scores in {compositions:,} random batches are bit for bit those of one alone"
    return GateResult(gate=NAME, variant=subject.variant, sentence=text, numbers=numbers), found


def _compose(pool: Sequence[Alone], rng: np.random.Generator, *, whole: bool) -> tuple[list[Encoded], Array]:
    """A random batch, and its scores by the runs alone."""
    batch, expected = [], []
    for row in rng.integers(0, len(pool), size=rng.choice(REQUESTS_IN_BATCH)):
        request, alone = pool[row]
        pick = rng.permutation(request.count)
        if not whole:
            pick = pick[: _count(request, rng)]
        batch.append(request.take(pick))
        expected.append(alone[pick])
    return batch, np.concatenate(expected)


def _cut(evidence: Evidence, subject: Subject, request: Encoded, rng: np.random.Generator) -> Alone:
    """Some candidates of a request, with their scores when they are all of it."""
    few = request.take(rng.permutation(request.count)[: _count(request, rng)])
    return few, combine(evidence.spec, subject.runner.heads(evidence.codec, [few]))


def _count(request: Encoded, rng: np.random.Generator) -> int:
    # Log-uniform: a few candidates as often as nearly all, because kernels change with the number of rows.
    return int(np.exp(rng.uniform(0.0, np.log(request.count + 0.99))))
