"""`report.md`: a run as Markdown that can be pasted into an issue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from loadtest.report import tables, words
from loadtest.result import Run

_SPECIAL: Final = re.compile(r"[\\`*\[\]<>|#~&]|\b_|_\b")
"""An underscore within a word, as in QUEUE_FULL, is no markup."""


def render(run: Run) -> str:
    """The report; what others wrote is escaped."""
    parts = [
        f"# {run.judgement.verdict.name}: {escape(words.promise(run))}",
        escape(words.sentence(run)),
        escape(words.interruption(run)),
        *(_measured(run) if run.counts else [words.WITHHELD]),
        "## Phases",
        table(tables.phase_columns(run), [tables.phase_row(phase) for phase in run.phases]),
        *([*_refusals(run), *_quality(run)] if run.counts else []),
        *_guards(run),
        "## How it was measured",
        bullets(words.RULES),
        "## This run",
        bullets([f"{name}: {value}" for name, value in tables.provenance(run)]),
        bullets([f"{name}: {value}" for name, value in run.environment.items()]),
        bullets(run.notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _measured(run: Run) -> list[str]:
    rows = [[name, *cells] for name, cells in tables.latency_rows(run.summary)]
    return [
        table(["", "value"], _headline(run)),
        "## Latency, milliseconds",
        table(["", *tables.LATENCY_COLUMNS], rows),
    ]


def escape(text: str) -> str:
    """As it is, whatever it contains."""
    return " ".join(_SPECIAL.sub(r"\\\g<0>", text).split())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, numbers to the right; nothing when it would have no row."""
    if not rows:
        return ""
    rule = [":--", *["--:"] * (len(head) - 1)]
    lines = [[escape(cell) for cell in head], rule, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Sequence[str]) -> str:
    """A list."""
    return "\n".join(f"- {escape(line)}" for line in lines)


def _headline(run: Run) -> list[tuple[str, str]]:
    numbers, quality = run.summary, run.quality
    rows = [
        ("offered", words.per_second(numbers.offered_per_s)),
        ("goodput", words.per_second(numbers.goodput_per_s)),
        ("goodput, degraded", words.per_second(numbers.degraded_goodput_per_s)),
        (f"{words.percentile_name(run)} latency, {words.confidence(run)} interval", words.tail(numbers.tail)),
        ("requests", words.counts(numbers)),
    ]
    return rows + ([("ranking", words.ranking(quality))] if quality else [])


def _refusals(run: Run) -> list[str]:
    rows = [[words.ending(entry), f"{entry.count:,}"] for entry in run.summary.refused]
    return ["## Ended without an answer", table(["ending", "requests"], rows)] if rows else []


def _quality(run: Run) -> list[str]:
    if run.quality is None:
        return []
    rows = [[name, words.signed(-value)] for name, value in words.losses(run.quality)]
    said = [line for line in (words.determinism(run), *words.recoveries(run)) if line]
    parts = ["## Quality under load", table(["nDCG lost to", "nDCG"], rows), bullets(said)]
    if run.deciles:
        parts.append(table(tables.SLICE_COLUMNS, [tables.slice_row(part) for part in run.deciles]))
    return parts


def _guards(run: Run) -> list[str]:
    rows = [tables.guard_row(entry, phase) for entry, phase in tables.guards(run)]
    return ["## Guards", table(tables.GUARD_COLUMNS, rows)] if rows else []
