"""A run in words: what the terminal and the HTML report both say. Pure."""

from __future__ import annotations

from typing import Final

from loadtest.run import Run
from loadtest.summary import Milliseconds, Percentiles

COLUMNS: Final = ("n", "p50", "p90", "p99", "p99.9", "max")


def promise(run: Run) -> str:
    """What was put to the test."""
    plan = run.plan
    return f"p{plan.percentile * 100:g} within {plan.budget_ms:g} ms at {plan.rate_per_s:g} requests/s"


def percentile_rows(run: Run) -> list[tuple[str, list[str]]]:
    """Name, then cells as COLUMNS; times in milliseconds."""
    numbers = run.summary
    return [
        ("latency, since intended", _cells(numbers.latency)),
        ("service, since sent", _cells(numbers.service)),
        ("server, its own clock", _cells(numbers.server)),
        ("send lag", _cells(numbers.send_lag)),
    ]


def facts(run: Run) -> list[str]:
    """One sentence each."""
    numbers = run.summary
    low, high = numbers.latency.p99_ci95
    counts = (
        f"{numbers.scheduled} scheduled ({numbers.offered_per_s:.1f}/s), {numbers.admitted} admitted, "
        f"{numbers.answered} answered, {numbers.degraded} of them degraded; "
        f"goodput {numbers.goodput_per_s:.1f}/s"
    )
    said = [counts]
    if numbers.admitted:
        said.append(
            f"p99 latency lies in [{milliseconds(low)}, {milliseconds(high)}] ms with 95 % confidence"
        )
    said += [f"{entry.count} {entry.ending}: {entry.reason}" for entry in numbers.refused]
    if numbers.quality is not None:
        said.append(
            f"nDCG@10 as users saw it {numbers.quality.perceived:.4f}, of the prior order "
            f"{numbers.quality.prior:.4f} ({numbers.quality.requests} requests)"
        )
    said.append(f"client: {run.guards.client_cpu:.0%} of a core at most, per process")
    return said


def provenance(run: Run) -> list[str]:
    """What a reader needs to repeat the run."""
    least, median, most = run.candidates
    workload = (
        f"{run.messages} different requests of {least} to {most} candidates (median {median}); "
        f"{run.plan.duration_s:g} s after {run.plan.warm_up_s:g} s of warm-up"
    )
    machine = f"client on {run.environment['cpu']}, {run.environment['cores']} cores"
    hashes = f"schedule {run.schedule_sha256[:12]}, requests {run.requests_sha256[:12]}, {run.created}"
    return [workload, machine, hashes]


def milliseconds(value: Milliseconds) -> str:
    """Two decimals; ∞ for what was never answered."""
    return "∞" if value is None else f"{value:.2f}"


def _cells(values: Percentiles) -> list[str]:
    shown = (values.p50_ms, values.p90_ms, values.p99_ms, values.p999_ms, values.max_ms)
    return [str(values.n), *(milliseconds(value) if values.n else "-" for value in shown)]
