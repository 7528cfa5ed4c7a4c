"""The tables of a report as cells of text, for terminal, Markdown and HTML alike. Pure."""

from __future__ import annotations

from typing import Final

from loadtest.report import words
from loadtest.result import Guard, Numbers, Percentiles, PhaseResult, Run, Slice

LATENCY_COLUMNS: Final = ("n", "p50", "p90", "p99", "p99.9", "max")


def latency_rows(numbers: Numbers) -> list[tuple[str, list[str]]]:
    """Name, then cells as LATENCY_COLUMNS; times in milliseconds."""
    rows = [
        ("latency, since intended", numbers.latency),
        ("service, since sent", numbers.service),
        ("server, its own clock", numbers.server),
        ("refusal, since intended", numbers.refusal),
        ("send lag", numbers.send_lag),
    ]
    return [(name, _cells(values)) for name, values in rows if values.n or values is numbers.latency]


def phase_columns(run: Run) -> list[str]:
    """Of the table of phases."""
    name = words.percentile_name(run)
    return [
        "phase",
        "load",
        "offered",
        "goodput",
        f"{name} ms",
        "its interval",
        "refused",
        "nDCG",
        "verdict",
    ]


def phase_row(phase: PhaseResult) -> list[str]:
    """Cells as `phase_columns`; an INVALID phase has no numbers."""
    found = phase.numbers
    load = f"{phase.load:.3g}×" if phase.load else "closed"
    offered = words.per_second(found.offered_per_s)
    verdict = phase.judgement.verdict.name if phase.judgement else "-"
    if phase.judgement is not None and not phase.counts:
        return [phase.name, load, offered, *["-"] * 5, verdict]
    return [
        phase.name,
        load,
        offered,
        words.per_second(found.goodput_per_s),
        words.milliseconds(found.tail.value_ms),
        words.interval(found.tail) or "-",
        words.percent(words.not_admitted(found)),
        words.ndcg(phase.quality.perceived if phase.quality else None),
        verdict,
    ]


SLICE_COLUMNS: Final = ("candidates", "requests", "p50 ms", "p99 ms", "in time", "nDCG")


def slice_row(part: Slice, named: bool = False) -> list[str]:
    """Cells as SLICE_COLUMNS; `named`: begin with the slice's name."""
    found = part.numbers
    span = words.span(part.candidates_least, part.candidates_most)
    return [
        f"{part.name} ({span})" if named else span,
        f"{found.scheduled:,}",
        words.milliseconds(found.latency.p50_ms),
        words.milliseconds(found.latency.p99_ms),
        words.percent(found.in_time / found.scheduled) if found.scheduled else "-",
        words.ndcg(part.quality.perceived if part.quality else None),
    ]


GUARD_COLUMNS: Final = ("guard", "worst", "limit", "", "in phase")


def guards(run: Run) -> list[tuple[Guard, str]]:
    """Of each guard the worst, with its phase; the tripped ones first, then the nearest to their limit."""
    worst: dict[str, tuple[Guard, str]] = {}
    for entry, phase in _judged(run):
        if entry.name not in worst or _nearness(entry) > _nearness(worst[entry.name][0]):
            worst[entry.name] = (entry, phase)
    return sorted(worst.values(), key=lambda row: _nearness(row[0]), reverse=True)


def tripped(run: Run) -> list[tuple[Guard, str]]:
    """Every guard that voids the run, with its phase."""
    return [(entry, phase) for entry, phase in _judged(run) if entry.tripped]


def _judged(run: Run) -> list[tuple[Guard, str]]:
    """A warm-up cannot void a run: nothing of it counts."""
    judged = [phase for phase in run.phases if phase.judgement is not None]
    return [(entry, phase.name) for phase in judged for entry in phase.guards]


def guard_row(entry: Guard, phase: str) -> list[str]:
    """Cells as GUARD_COLUMNS."""
    value = f"{words.number(entry.value)} {entry.unit}".strip()
    limit = f"{entry.limit:g}"
    return [entry.name, value, limit, "TRIPPED" if entry.tripped else "ok", phase]


def _nearness(entry: Guard) -> tuple[bool, float]:
    """Tripped or not, then value / limit; a NaN is tripped, and as bad as can be."""
    ratio = entry.value / entry.limit if entry.limit else entry.value
    return entry.tripped, ratio if ratio == ratio else float("inf")


def provenance(run: Run) -> list[tuple[str, str]]:
    """What a reader needs to repeat the run."""
    workload, client = run.workload, run.client
    calibrated = "not calibrated"
    if client.judged_per_s_max is not None:
        calibrated = (
            f"judged up to {client.judged_per_s_max:,.0f}/s per process (calibrated {client.calibrated})"
        )
    sent = (
        f"{workload.requests}: {workload.sent_messages:,} of {workload.messages:,} messages sent, "
        f"{words.span(workload.candidates_least, workload.candidates_most)} candidates "
        f"(median {workload.candidates_median:,}), median {workload.bytes_median:,} bytes"
    )
    own = (
        f"{client.processes} process{'' if client.processes == 1 else 'es'}, "
        f"CPU {', '.join(words.percent(share) for share in client.cpu) or '-'} of a core; {calibrated}"
    )
    return [
        ("scenario", _after(run.scenario.name, run.scenario.description)),
        ("target", run.scenario.target.address or run.scenario.target.kind),
        ("door", words.door(run)),
        ("created", run.created),
        ("requests", sent),
        ("workload sha256", workload.sha256),
        ("schedule sha256", run.schedule_sha256),
        ("seed", str(run.scenario.workload.seed)),
        ("looks", str(run.looks)),
        ("client", own),
    ]


def _after(name: str, description: str) -> str:
    return f"{name}: {description}" if description else name


def _cells(values: Percentiles) -> list[str]:
    shown = (values.p50_ms, values.p90_ms, values.p99_ms, values.p999_ms, values.max_ms)
    return [f"{values.n:,}", *(words.milliseconds(value) for value in shown)]
