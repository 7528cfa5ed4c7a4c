"""Two servers, one machine: interleaved blocks in the order ABBA, the same schedule within a pair, paired
ratios.

What the machine does to one block it tends to do to its neighbour: the ratio inside a pair cancels most of it
(Bulej et al., "Duet Benchmarking", ICPE 2020). One after the other, not both at once: they would disturb
each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from loadtest.plan import CalibrationFor, prepare
from loadtest.result import Run
from loadtest.run import execute
from loadtest.scenario.form import Scenario
from loadtest.stats.paired import Comparison, compare
from loadtest.verdict import Verdict

Say = Callable[[str], None]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the scenario against one of the two.

    Attributes:
        pair: blocks of one pair had one schedule.
    """

    side: Literal["a", "b"]
    pair: int
    verdict: Verdict
    p99_ms: float | Literal["inf"] | None
    goodput_per_s: float
    ndcg: float | None


@dataclass(frozen=True, slots=True)
class Manner:
    """How they fight: so many pairs of blocks; ratios within ±margin of 1 count as equal."""

    pairs: int
    margin: float


class Duel(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as in `ab.json`; ratios are b / a.

    Attributes:
        invalid: pairs left out, because the client was the limit in one of their phases.
        p99, goodput, ndcg: None where a block of the other pairs has no such number, or an infinite one.
    """

    schema: Literal["podium-loadtest-ab"] = "podium-loadtest-ab"
    scenario: Scenario
    a: str
    b: str
    blocks: list[Block]
    invalid: int
    interrupted: bool
    p99: Comparison | None
    goodput: Comparison | None
    ndcg: Comparison | None


def duel(
    base: Scenario,
    addresses: tuple[str, str],
    manner: Manner,
    calibration_for: CalibrationFor,
    say: Say,
) -> Duel:
    """Run the blocks and compare.

    Args:
        addresses: of a and b.

    Raises:
        BadPlan, RunFailed: as a run.
    """
    # The idle reference would be asked for every block, and is not compared.
    base = msgspec.structs.replace(base, quality=msgspec.structs.replace(base.quality, reference=False))
    blocks: list[Block] = []
    for pair in range(manner.pairs):
        seeded = msgspec.structs.replace(
            base, workload=msgspec.structs.replace(base.workload, seed=base.workload.seed + pair)
        )
        for side in ("ab", "ba")[pair % 2]:
            target = msgspec.structs.replace(base.target, address=addresses["ab".index(side)])
            run = execute(prepare(msgspec.structs.replace(seeded, target=target), calibration_for)).run
            if run.interrupted_after_s is not None:
                say(f"interrupted in pair {pair}, which does not count")
                return _compared(base, addresses, blocks[: 2 * pair], manner.margin, interrupted=True)
            blocks.append(_block(run, "a" if side == "a" else "b", pair))
            say(f"pair {pair} {side}: p99 {_ms(blocks[-1].p99_ms)}, goodput {blocks[-1].goodput_per_s:.1f}/s")
    return _compared(base, addresses, blocks, manner.margin)


def _block(run: Run, side: Literal["a", "b"], pair: int) -> Block:
    return Block(
        side=side,
        pair=pair,
        verdict=Verdict.INVALID if _client_was_the_limit(run) else run.judgement.verdict,
        p99_ms=run.summary.latency.p99_ms,
        goodput_per_s=run.summary.goodput_per_s,
        ndcg=run.quality.perceived if run.quality else None,
    )


def _client_was_the_limit(run: Run) -> bool:
    """In any phase: a pair must have counted the same phases on both sides."""
    return any(phase.judgement is not None and not phase.counts for phase in run.phases)


def _compared(
    base: Scenario,
    addresses: tuple[str, str],
    blocks: list[Block],
    margin: float,
    *,
    interrupted: bool = False,
) -> Duel:
    pairs = [
        tuple(next(block for block in blocks if block.pair == pair and block.side == side) for side in "ab")
        for pair in range(len(blocks) // 2)
    ]
    valid = [pair for pair in pairs if all(block.verdict is not Verdict.INVALID for block in pair)]

    def ratio(name: str) -> Comparison | None:
        values = [tuple(getattr(block, name) for block in pair) for pair in valid]
        usable = [both for both in values if all(isinstance(value, float) and value > 0 for value in both)]
        lower_is_better = name == "p99_ms"
        # A block without one (p99 of infinity, no goodput) has no ratio, and must not vanish from the mean.
        if len(usable) < max(len(valid), 2):
            return None
        return compare(
            [a for a, _ in usable], [b for _, b in usable], margin, lower_is_better=lower_is_better
        )

    return Duel(
        scenario=base,
        a=addresses[0],
        b=addresses[1],
        blocks=blocks,
        invalid=len(pairs) - len(valid),
        interrupted=interrupted,
        p99=ratio("p99_ms"),
        goodput=ratio("goodput_per_s"),
        ndcg=ratio("ndcg"),
    )


def _ms(value: float | Literal["inf"] | None) -> str:
    return f"{value:.2f} ms" if isinstance(value, float) else {"inf": "∞", None: "too few"}[value]
