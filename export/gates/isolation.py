"""isolation: one request's content cannot be read off another's scores, not by a single bit.

`row_to_context` is a privacy boundary: requests of different people share a run. Random batches are run
twice; in between, one request of the batch gets other contents: another request's context, ids and features,
floats blown up, or NaN and infinity. Sizes stay, so that every kernel takes the same path for all other rows,
and then nothing may differ: equality is by bits. What sizes do (kernels round differently for another number
of rows) tells nobody's content and is bounded by `batch_invariance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from export.codec import Codec, Encoded
from export.gates.batch_invariance import TOLD
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult
from export.side_by_side import each
from export.spec import Array

NAME = "isolation"
BATCHES = 300
REQUESTS_IN_BATCH = (2, 3, 4, 8)
CANDIDATES_MAX = 64
"""Of one request of a batch: leaks do not grow with it, time does."""
POISONS = ("other", "loud", "nan", "infinity")


def check(evidence: Evidence, subject: Subject, batches: int = BATCHES) -> GateResult:
    """Change one request of random batches and compare the bits of all others.

    A variant of TOLD is not asked: it is known to fail, and marked.

    Raises:
        GateFailed: a score moved.
    """
    if subject.variant in TOLD:
        return GateResult(
            gate=NAME,
            variant=subject.variant,
            verdict="warning",
            sentence="not asked: scores depend on batch-mates, so something of them shows in other scores",
            numbers={},
        )
    rng = np.random.default_rng(evidence.spec.seed)
    compared = sum(
        each(lambda trial: _compare(evidence, subject, trial), (_draw(evidence, rng) for _ in range(batches)))
    )
    return GateResult(
        gate=NAME,
        variant=subject.variant,
        sentence=f"{compared:,} scores in {batches:,} random batches keep every bit when a neighbour changes",
        numbers={"batches": batches, "scores": compared, "moved": 0},
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """A batch twice.

    Attributes:
        at: place of the request that differs.
        poison: how, one of POISONS.
    """

    batch: list[Encoded]
    changed: list[Encoded]
    at: int
    poison: str


def _draw(evidence: Evidence, rng: np.random.Generator) -> Trial:
    batch = draw_batch(evidence, rng)
    at = int(rng.integers(len(batch)))
    poison = str(rng.choice(POISONS))
    changed = [*batch]
    changed[at] = poisoned(evidence, batch[at], poison, rng)
    return Trial(batch, changed, at, poison)


def _compare(evidence: Evidence, subject: Subject, trial: Trial) -> int:
    """Scores of the others that were compared, all heads."""
    batch = trial.batch
    feeds = [evidence.codec.feeds(one) for one in (batch, trial.changed)]
    before, after = (subject.runner.run(one) for one in _as_wide(evidence.codec, feeds))
    others = np.repeat(np.arange(len(batch)), [one.count for one in batch]) != trial.at
    count = int(others.sum())
    for head in evidence.spec.heads:
        moved = int(different_bits(before[head][others], after[head][others]).sum())
        if moved:
            raise GateFailed(
                NAME,
                f"{subject.variant}: changing one request of {len(batch)} in a batch ({trial.poison} values) "
                f"moved {moved} of {count} scores of other people's requests, head {head!r}: "
                "the model computes across requests; look for a mean, norm, softmax or scale over the "
                "first axis",
                {"requests": len(batch), "scores": count, "moved": moved, "values": trial.poison},
            )
    return count * len(evidence.spec.heads)


def _as_wide(codec: Codec, feeds: list[dict[str, Array]]) -> list[dict[str, Array]]:
    """Both padded to the longer along the candidates' length axis: the longest of a batch is a size, too."""
    for name in codec.with_length:
        width = max(one[name].shape[1] for one in feeds)
        for one in feeds:
            column = one[name]
            more = [(0, 0), (0, width - column.shape[1]), *[(0, 0)] * (column.ndim - 2)]
            one[name] = np.pad(column, more)
    return feeds


def different_bits(a: Array, b: Array) -> Array:
    """bool [N]: where two float32 arrays differ by bits; NaN equals the same NaN, 0.0 is not -0.0."""
    same: Array = np.ascontiguousarray(a).view(np.int32) != np.ascontiguousarray(b).view(np.int32)
    return same


def draw_batch(evidence: Evidence, rng: np.random.Generator) -> list[Encoded]:
    """Random requests in random order, each with some of its candidates."""
    rows = rng.integers(len(evidence.requests), size=rng.choice(REQUESTS_IN_BATCH))
    batch = []
    for row in rows:
        request = evidence.requests[row]
        most = min(request.count, CANDIDATES_MAX)
        count = int(np.exp(rng.uniform(0.0, np.log(most + 0.99))))
        batch.append(request.take(rng.permutation(request.count)[:count]))
    return batch


def poisoned(evidence: Evidence, request: Encoded, poison: str, rng: np.random.Generator) -> Encoded:
    """A request of the same size with other contents.

    Args:
        poison: one of POISONS. "other" is another request's context and candidates; the rest also change
            every float. Integers (ids, lengths) always come from another request: others would leave the
            tables.
    """
    donor = evidence.requests[rng.integers(len(evidence.requests))]
    donor = donor.take(rng.integers(donor.count, size=request.count))
    return Encoded(_changed(donor.context, poison, rng), _changed(donor.candidates, poison, rng))


def _changed(columns: Mapping[str, Array], poison: str, rng: np.random.Generator) -> dict[str, Array]:
    return {name: _values(column, poison, rng) for name, column in columns.items()}


def _values(column: Array, poison: str, rng: np.random.Generator) -> Array:
    if column.dtype.kind != "f" or poison == "other":
        return column
    if poison == "nan":
        return np.full_like(column, np.nan)
    if poison == "infinity":
        return np.full_like(column, np.inf * rng.choice((-1.0, 1.0)))
    loud: Array = (rng.normal(size=column.shape) * 10 ** rng.uniform(-2.0, 4.0)).astype(column.dtype)
    return loud
