"""speed: int8 must be worth serving. Never refuses: a variant that is not faster is only not the default.

One thread, the three batch shapes of the manifest, variants interleaved in blocks so that both see the same
machine; medians of blocks. Processor time of the thread, not wall time: an export often shares its cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from export.codec import Encoded
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateResult, Number
from export.spec import Array

NAME = "speed"
SHAPES = {"R1_N20": (1, 20), "R1_N200": (1, 200), "R8_N1600": (8, 200)}
"""name -> (contexts, candidates of each)."""
JUDGED = ("R1_N200", "R8_N1600")
SLOWDOWN_MAX = 1.05
BLOCKS = 15
BLOCKS_MIN = 3
BLOCK_S = 0.004
SECONDS_MAX = 8.0
"""Of one comparison: a transformer takes seconds for the largest shape, and differs by far more than a
block's noise. BLOCKS_MIN are always run."""


def check(evidence: Evidence, subject: Subject, fp32: Subject) -> tuple[GateResult, dict[str, float], bool]:
    """Time a variant against fp32.

    Returns:
        the result; batch shape -> fp32 time / variant time; whether the variant is worth serving.
    """
    times = {
        name: interleaved(
            {
                "fp32": _run(evidence, fp32, contexts, candidates),
                subject.variant: _run(evidence, subject, contexts, candidates),
            }
        )
        for name, (contexts, candidates) in SHAPES.items()
    }
    for one in (subject, fp32):  # the largest shape of a transformer leaves gigabytes behind
        one.runner.shrink(feeds_of(evidence, 1, 1))
    ratios = {name: at["fp32"] / at[subject.variant] for name, at in times.items()}
    worth = is_worth_serving(ratios)
    numbers: dict[str, Number] = {"worth_serving": worth}
    for name, at in times.items():
        numbers[f"{name}_fp32_us"] = round(at["fp32"] * 1e6, 1)
        numbers[f"{name}_{subject.variant}_us"] = round(at[subject.variant] * 1e6, 1)
        numbers[f"{name}_speedup"] = round(ratios[name], 3)
    text = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in ratios.items())
    return (
        GateResult(
            gate=NAME,
            variant=subject.variant,
            verdict="pass" if worth else "warning",
            sentence=f"speed over fp32: {text}" + ("" if worth else f"; {shortfall(subject.variant)}"),
            numbers=numbers,
        ),
        ratios,
        worth,
    )


def shortfall(variant: str) -> str:
    """What it means not to be worth serving: only int8 could have become the default."""
    return "not worth serving, fp32 stays the default" if variant == "int8" else "not faster than fp32"


def is_worth_serving(ratios: Mapping[str, float]) -> bool:
    """True unless a judged batch shape takes more than SLOWDOWN_MAX of fp32's time."""
    return all(ratios[name] * SLOWDOWN_MAX >= 1.0 for name in JUDGED)


def interleaved(runs: Mapping[str, Callable[[], object]], blocks: int = BLOCKS) -> dict[str, float]:
    """Median processor seconds of one call of each, timed in turns; the calls must not use other threads.

    Args:
        blocks: at most so many turns; fewer, but BLOCKS_MIN, when SECONDS_MAX are over.
    """
    repeats = {}
    for name, run in runs.items():
        start = time.thread_time()
        run()
        if time.thread_time() - start < 10 * BLOCK_S:  # much of the first may be warming up
            start = time.thread_time()
            run()
        repeats[name] = max(1, int(BLOCK_S / max(time.thread_time() - start, 1e-6)))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + SECONDS_MAX
    for block in range(blocks):
        if block >= BLOCKS_MIN and time.perf_counter() > end:
            break
        for name, run in runs.items():
            start = time.thread_time()
            for _ in range(repeats[name]):
                run()
            seconds[name].append((time.thread_time() - start) / repeats[name])
    return {name: float(np.median(values)) for name, values in seconds.items()}


def feeds_of(evidence: Evidence, contexts: int, candidates: int) -> dict[str, Array]:
    """Feeds of one batch shape, filled from the evaluation requests."""
    batch: list[Encoded] = []
    for row in range(contexts):
        request = evidence.requests[row % len(evidence.requests)]
        batch.append(request.take(np.arange(candidates) % request.count))
    return evidence.codec.feeds(batch)


def _run(evidence: Evidence, subject: Subject, contexts: int, candidates: int) -> Callable[[], object]:
    feeds = feeds_of(evidence, contexts, candidates)
    return lambda: subject.runner.run(feeds)
