"""What the report's pictures show that no gate has kept: scores side by side, binned, and reliability."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from export.gates.evidence import Evidence, Subject
from export.head_labels import labels_of
from export.spec import Array

POINTS = 400
BINS = 41
BINS_RELIABILITY = 10


class ScorePicture(msgspec.Struct, kw_only=True, frozen=True):
    """A variant's scores beside PyTorch's.

    Attributes:
        exact, got: scores of up to POINTS candidates, drawn evenly; parallel.
        edges: [BINS + 1], of the differences in units of the scores' spread.
        counts: [BINS], scores per bin; the outer bins hold what lies beyond.
    """

    exact: list[float]
    got: list[float]
    edges: list[float]
    counts: list[int]


class Reliability(msgspec.Struct, kw_only=True, frozen=True):
    """One head's said probability beside how often it happened, in bins of equal size, rising."""

    head: str
    said: list[float]
    happened: list[float]


def scores(evidence: Evidence, subject: Subject) -> ScorePicture:
    """Compare every score of a variant, run alone."""
    exact, got = np.concatenate(evidence.scores), np.concatenate(subject.scores(evidence))
    off = (got.astype(np.float64) - exact) / evidence.score_std
    # Symmetric, and no wider than what all but one in a hundred need: one outlier must not flatten the rest.
    reach = max(float(np.quantile(np.abs(off), 0.99)) * 1.2, 1e-9)
    edges = np.linspace(-reach, reach, BINS + 1)
    counts, _ = np.histogram(np.clip(off, -reach, reach), edges)
    pick = np.linspace(0, len(exact) - 1, min(POINTS, len(exact))).astype(int)
    return ScorePicture(
        exact=[round(float(x), 6) for x in exact[pick]],
        got=[round(float(x), 6) for x in got[pick]],
        edges=[float(x) for x in edges],
        counts=counts.tolist(),
    )


def reliability(evidence: Evidence, subject: Subject) -> list[Reliability]:
    """Of every head with a sigmoid and labels, on the evaluation requests."""
    spec = evidence.spec
    found = []
    for head, output in spec.outputs.items():
        labelled = labels_of(spec, head, spec.requests, "requests")
        if output.activation != "sigmoid" or not labelled.requests:
            continue
        alone = subject.alone(evidence)
        flat, label = labelled.known([alone[at][head] for at in labelled.requests], labelled.requests)
        parts: Sequence[Array] = np.array_split(np.argsort(flat, kind="stable"), BINS_RELIABILITY)
        parts = [part for part in parts if len(part)]
        said = [float(flat[part].mean()) for part in parts]
        happened = [float(label[part].mean()) for part in parts]
        found.append(Reliability(head=head, said=said, happened=happened))
    return found
