"""Runs side by side, the first as the baseline: `report A B ...`.

It tests nothing. Runs that were not interleaved differ by whatever else happened on their machines; only
`ab` can tell two servers apart. So numbers, intervals and whether these overlap, under a loud caveat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from rich.console import Console
from rich.text import Text

from loadtest.report import markup, words
from loadtest.report.markdown import bullets, table
from loadtest.report.markdown import escape as plain
from loadtest.report.terminal import print_table
from loadtest.result import Milliseconds, Run

Named = tuple[str, Run]
"""What the user calls it (its folder), and the run."""

CAVEAT: Final = (
    "These runs were not interleaved: what differs may be the machine, its load or its temperature as much "
    "as the server. To tell two servers apart, let them run against each other: podium loadtest ab."
)
TITLE: Final = "Load tests side by side"


def markdown(runs: Sequence[Named]) -> str:
    """A table and what to doubt, pasteable.

    Raises:
        ValueError: fewer than two runs.
    """
    head, rows = _head(runs), _rows(runs)
    doubts = "\n".join(f"> **{plain(line)}**" for line in (CAVEAT, *warnings(runs)))
    parts = [
        f"# {TITLE}",
        doubts.replace("\n", "\n>\n"),
        table(head, rows),
        bullets(differences(runs)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def html(runs: Sequence[Named]) -> str:
    """The same as one self-contained page, without a script.

    Raises:
        ValueError: fewer than two runs.
    """
    head, rows = _head(runs), _rows(runs)
    doubts = "".join(markup.paragraph(line, "alarm") for line in (CAVEAT, *warnings(runs)))
    heading = f'<p class="eyebrow">Podium load tests</p><h1>{escape(TITLE)}</h1>'
    parts = [
        f'<main class="page"><header>{heading}{doubts}</header>',
        markup.section("numbers", "Numbers", markup.table("Runs side by side", head, rows)),
        markup.section("against", f"Against {runs[0][0]}", markup.bullets(differences(runs))),
        markup.section("rules", "How each was measured", markup.bullets(words.RULES, "ol")),
        "</main>",
    ]
    return markup.page(TITLE, "\n".join(parts))


def print_runs(runs: Sequence[Named], console: Console) -> None:
    """The same on the terminal.

    Raises:
        ValueError: fewer than two runs.
    """
    head, rows = _head(runs), _rows(runs)
    for line in (CAVEAT, *warnings(runs)):
        console.print(Text(line, "bold yellow"), soft_wrap=True)
    console.print()
    print_table(console, head, rows)
    console.print()
    for line in differences(runs):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def warnings(runs: Sequence[Named]) -> list[str]:
    """What makes runs hard to compare, by name: another schedule, workload, door, promise or machine."""
    _, base = runs[0]
    said = []
    for name, run in runs[1:]:
        if changed := [what for what, of in _PREMISES if of(run) != of(base)]:
            said.append(f"{name}: not the same {_listed(changed)} as {runs[0][0]}.")
        machine = [key for key in sorted({*base.environment, *run.environment}) if _differs(key, base, run)]
        if machine:
            said.append(f"{name}: not the same machine or software as {runs[0][0]}: {', '.join(machine)}.")
    for name, run in runs:
        if run.judgement.verdict.name in ("INVALID", "UNSTABLE"):
            said.append(f"{name} is {run.judgement.verdict.name}: its numbers do not count.")
        if run.interrupted_after_s is not None:
            said.append(f"{name} was interrupted.")
    return said


def differences(runs: Sequence[Named]) -> list[str]:
    """One sentence for each run but the first."""
    (base_name, base), *others = runs
    return [f"{name} against {base_name}: {'; '.join(_changes(base, run))}." for name, run in others]


_PREMISES: Final[tuple[tuple[str, Callable[[Run], object]], ...]] = (
    ("schedule", lambda run: run.schedule_sha256),
    ("workload", lambda run: run.workload.sha256),
    ("door", lambda run: run.scenario.target.transport),
    ("budget", lambda run: (run.scenario.slo.budget_ms, run.scenario.slo.percentile)),
)


def _head(runs: Sequence[Named]) -> list[str]:
    if len(runs) < 2:
        raise ValueError("comparing takes two runs or more")
    return ["", *(f"{name} (baseline)" if at == 0 else name for at, (name, _) in enumerate(runs))]


def _rows(runs: Sequence[Named]) -> list[list[str]]:
    """One row per number, one column per run."""
    cells: list[tuple[str, Callable[[Run], str]]] = [
        ("verdict", lambda run: run.judgement.verdict.name),
        ("promise", lambda run: f"{words.percentile_name(run)} within {words.budget(run)}"),
        ("offered", lambda run: words.per_second(run.summary.offered_per_s)),
        ("goodput", lambda run: words.per_second(run.summary.goodput_per_s)),
        ("degraded", lambda run: words.per_second(run.summary.degraded_goodput_per_s)),
        (
            "tail latency",
            lambda run: f"{words.percentile_name(run)} {words.with_unit(run.summary.tail.value_ms)}",
        ),
        ("tail interval", lambda run: words.interval(run.summary.tail) or "-"),
        ("p50", lambda run: words.with_unit(run.summary.latency.p50_ms)),
        ("refused", lambda run: words.percent(words.not_admitted(run.summary))),
        ("errors", lambda run: f"{run.summary.errors:,}"),
        ("perceived nDCG", lambda run: words.ndcg(run.quality.perceived if run.quality else None)),
        ("nDCG interval", _ndcg_interval),
        ("schedule", lambda run: run.schedule_sha256[:12]),
        ("workload", lambda run: run.workload.sha256[:12]),
        ("created", lambda run: run.created[:16].replace("T", " ")),
    ]
    measured = slice(cells.index(next(cell for cell in cells if cell[0] == "goodput")), -3)
    withheld = {name for name, _ in cells[measured]}
    return [
        [name, *("-" if name in withheld and not run.counts else cell(run) for _, run in runs)]
        for name, cell in cells
    ]


def _ndcg_interval(run: Run) -> str:
    if run.quality is None:
        return "-"
    return f"{words.ndcg(run.quality.perceived_low)} to {words.ndcg(run.quality.perceived_high)}"


def _changes(base: Run, run: Run) -> list[str]:
    if not (base.counts and run.counts):
        return ["not compared: one of the two was not measured"]
    before, after = base.summary, run.summary
    said = [f"{words.percentile_name(run)} {_tail_change(base, run)}"]
    if before.goodput_per_s:
        said.append(f"goodput {_relative(after.goodput_per_s / before.goodput_per_s)}")
    if base.quality is not None and run.quality is not None:
        apart = _apart(
            (base.quality.perceived_low, base.quality.perceived_high),
            (run.quality.perceived_low, run.quality.perceived_high),
        )
        said.append(f"perceived nDCG {words.signed(run.quality.perceived - base.quality.perceived)}, {apart}")
    return said


def _tail_change(base: Run, run: Run) -> str:
    before, after = base.summary.tail, run.summary.tail
    values = _finite(before.value_ms, after.value_ms)
    if values is None:
        return f"{words.with_unit(before.value_ms)} before, {words.with_unit(after.value_ms)} now"
    first, second = _finite(before.low_ms, before.high_ms), _finite(after.low_ms, after.high_ms)
    known = _apart(first, second) if first and second else "an interval is unknown"
    return f"{_relative(values[1] / values[0])}, {known}" if values[0] else known


def _finite(low: Milliseconds, high: Milliseconds) -> tuple[float, float] | None:
    if low is None or high is None or low == "inf" or high == "inf":
        return None
    return float(low), float(high)


def _relative(ratio: float) -> str:
    """`+8.1 %`."""
    shown = f"{100 * (ratio - 1):+.1f} %".replace("-", "−")
    return "unchanged" if shown[1:] == "0.0 %" else shown


def _apart(first: tuple[float, float], second: tuple[float, float]) -> str:
    overlap = first[0] <= second[1] and second[0] <= first[1]
    return "the intervals overlap" if overlap else "the intervals are apart"


def _differs(key: str, base: Run, run: Run) -> bool:
    return base.environment.get(key) != run.environment.get(key)


def _listed(words_: Sequence[str]) -> str:
    *most, last = words_
    return f"{', '.join(most)} and {last}" if most else last
