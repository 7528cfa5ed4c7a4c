"""independence: a pointwise ranker scores candidates all at once, one by one and in chunks alike.

That is what `pointwise` promises, what lets the server split a large request over runs, and what lets anybody
keep a score. A ranker whose candidates attend to one another breaks it, and so does a mask that is off by
one: in a generative ranker a candidate may see the history and itself, nobody else. Setwise rankers promise
nothing of the kind and are not asked.
"""

from __future__ import annotations

import numpy as np

from export.gates.batch_invariance import DRIFT_MAX, MOVED_MAX, STILL, TOLD
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult
from export.reference import Scores, combine

NAME = "independence"
REQUESTS = 16
CANDIDATES_MAX = 40
CHUNKS = (1, 7)
"""Sizes of the pieces that a request is cut into, each run alone."""


def check(evidence: Evidence, subject: Subject) -> GateResult | None:
    """Score requests whole and in pieces; None for a setwise ranker, and for a variant of TOLD.

    Raises:
        GateFailed: a score depends on which other candidates its run holds.
    """
    if evidence.spec.kind == "setwise" or subject.variant in TOLD:
        return None
    limit = DRIFT_MAX[subject.variant]
    numbers: dict[str, float | int] = {"drift_over_std_allowed": limit, "moved_share_allowed": MOVED_MAX}
    scores = 0
    for size in CHUNKS:
        drifts = np.concatenate(_drifts(evidence, subject, size)) / evidence.score_std
        drift, moved = float(drifts.max()), float((drifts > STILL).mean())
        scores += len(drifts)
        numbers |= {f"drift_over_std chunks of {size}": drift, f"moved_share chunks of {size}": moved}
        # "not <=": a NaN must not pass
        if not (drift <= limit and moved <= MOVED_MAX):
            raise GateFailed(
                NAME,
                f"{subject.variant}: scored in chunks of {size}, {moved:.1%} of the scores move, by up to "
                f"{drift:.2g} of their spread: candidates see one another. Mask them apart, or say "
                'ExportSpec(kind="setwise") if they are meant to',
                numbers,
            )
    sentence = f"{scores:,} scores are the same all at once, one by one and in chunks of {CHUNKS[-1]}"
    return GateResult(gate=NAME, variant=subject.variant, sentence=sentence, numbers=numbers)


def _drifts(evidence: Evidence, subject: Subject, size: int) -> list[Scores]:
    """How far each score moves when its request is run in pieces of `size`; one array per request."""
    rows = np.linspace(0, len(evidence.requests) - 1, min(REQUESTS, len(evidence.requests))).astype(int)
    found = []
    for row in rows:
        request = evidence.requests[row]
        count = min(request.count, CANDIDATES_MAX)
        pieces = [np.arange(at, min(at + size, count)) for at in range(0, count, size)]
        whole = request.take(np.arange(count))
        parts = [
            combine(evidence.spec, subject.runner.heads(evidence.codec, [one]))
            for one in (whole, *(request.take(piece) for piece in pieces))
        ]
        found.append(np.abs(np.concatenate(parts[1:]) - parts[0]))
    return found
