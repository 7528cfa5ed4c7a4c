"""Which products of a variant are quantised: as many as the gates allow.

All of them, where the gates that compare orders say yes on all requests: most exports end there, and the
scores are kept for the gates. Else the sensitivity search runs twice: by agreement on a sample, which is
quick, and then, on what that left, by those gates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from export.gates import agreement, heads, quality
from export.gates.agreement import THRESHOLDS, measure, shortfalls
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed
from export.reference import combine
from export.runtime import Runner
from export.sensitivity import Judgement, Search, find_sensitive
from export.side_by_side import each
from export.transformer.attention import OPERATOR as ATTENTION

SEARCH_SECONDS = 120.0
SEARCH_REQUESTS = 256
SEARCH_REQUESTS_MIN = 32
SEARCH_CANDIDATES = 4_096
"""Of a transformer: a judgement of MiniLM-L6's shape takes some five seconds with as many, and a dozen must
fit."""
SEARCH_MARGIN = 0.2
"""The search sees a sample, so it asks for more than the gate: this part of the way from there to perfect."""

Write = Callable[[Sequence[str]], onnx.ModelProto]
"""The graph in which these products are quantised."""


@dataclass(frozen=True, slots=True)
class Found:
    """Attributes:
    quantized: products that are quantised.
    subject: the variant, with the scores that the gates will ask for where the search has them.
    """

    quantized: tuple[str, ...]
    subject: Subject
    search: Search


def search_products(
    variant: str, names: Sequence[str], write: Write, evidence: Evidence, seconds_max: float
) -> Found:
    """Leave the fewest products in fp32: by a sample of the requests, then by the gates on all.

    Args:
        variant: what it will be called.
        names: products that may be quantised, in graph order.
        write: makes the graph in which these are.
        evidence: requests with PyTorch's scores.
        seconds_max: of both searches together; judging all of them comes before.
    """
    last: list[tuple[tuple[str, ...], Subject]] = []

    def judge_all(some: Sequence[str]) -> Judgement:
        last[:] = [(tuple(some), Subject(variant, write(some)))]
        return _judge_all(last[0][1], evidence)

    def judge(some: Sequence[str]) -> Judgement:
        return judge_sample(variant, write(some), evidence)

    if not names:
        return Found((), Subject(variant, write(())), Search())
    began = time.monotonic()
    passes = judge_all(names).passes
    search = Search(judgements=1, seconds=time.monotonic() - began)
    kept = list(names)
    if not passes:
        sampled = find_sensitive(names, judge, seconds_max=seconds_max)
        kept = [name for name in names if name not in sampled.excluded]
        search = search.then(sampled)
        left = seconds_max - sampled.seconds
        if sampled.ended == "not_needed" or (sampled.ended == "passes" and left > 0.0):
            search = search.then(find_sensitive(kept, judge_all, seconds_max=left))
            kept = [name for name in kept if name not in search.excluded]
    if last[0][0] == tuple(kept):
        return Found(tuple(kept), last[0][1], search)
    return Found(tuple(kept), Subject(variant, write(kept)), search)


def sample(evidence: Evidence, *, tokens: bool) -> list[int]:
    """Requests that the search looks at, evenly drawn.

    Args:
        tokens: the model reads candidates token by token, at a hundred times the cost: fewer will do.
    """
    count = len(evidence.requests)
    wanted = SEARCH_REQUESTS
    if tokens:
        mean = sum(request.count for request in evidence.requests) / count
        wanted = int(min(wanted, max(SEARCH_REQUESTS_MIN, SEARCH_CANDIDATES / mean)))
    return [int(row) for row in np.linspace(0, count - 1, min(wanted, count))]


def judge_sample(variant: str, model: onnx.ModelProto, evidence: Evidence) -> Judgement:
    """Agreement of every head and of the sum on a sample of the requests, stricter than the gates."""
    rows = sample(evidence, tokens=any(node.op_type == ATTENTION for node in model.graph.node))
    runner = Runner(model)
    got = each(lambda row: runner.heads(evidence.codec, [evidence.requests[row]]), rows)
    found = measure([evidence.scores[row] for row in rows], [combine(evidence.spec, one) for one in got])
    taus = [found.tau_mean]
    if len(evidence.spec.heads) > 1:
        exact = [evidence.heads[row] for row in rows]
        taus += [
            measure([one[head] for one in exact], [one[head] for one in got]).tau_mean
            for head in evidence.spec.heads
        ]
    limits = THRESHOLDS[variant]
    stricter = replace(
        limits,
        tau_mean=limits.tau_mean + SEARCH_MARGIN * (1 - limits.tau_mean),
        top10_overlap_mean=limits.top10_overlap_mean + SEARCH_MARGIN * (1 - limits.top10_overlap_mean),
    )
    # NaN: a head without any order, see the gate `heads`
    passes = not shortfalls(found, stricter) and not any(tau < stricter.tau_mean for tau in taus)
    return Judgement(passes, max(0.0, 1.0 - float(np.nanmin(taus))))


def _judge_all(subject: Subject, evidence: Evidence) -> Judgement:
    """The gates that compare orders, on all requests."""
    harm = max(0.0, 1.0 - measure(evidence.scores, subject.scores(evidence)).tau_mean)
    try:
        agreement.check(evidence, subject)
        heads.check(evidence, subject)
        quality.check(evidence, subject)
    except GateFailed:
        return Judgement(passes=False, harm=harm)
    return Judgement(passes=True, harm=harm)
