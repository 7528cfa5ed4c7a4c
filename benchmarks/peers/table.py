"""The rows as a markdown table."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.result import Estimate, Row

BUSY_MIN = 0.9
"""Of a core: below, a figure is not the server's limit."""


def markdown(rows: Sequence[Row], sizes: Sequence[int]) -> str:
    """The table, and the remarks under it."""
    head = ["candidates"]
    for size in sizes:
        head += [f"{size}: requests/s", "of raw"]
    head.append("core busy")
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(row, sizes)) for row in rows]
    lines += ["", *(f"- {row.name}: {row.remark}" for row in rows if row.remark)]
    idle = [row.name for row in rows if row.busy is not None and row.busy < BUSY_MIN]
    if idle:
        lines.append(
            f"- A core less than {BUSY_MIN:.0%} busy was held up by something else, the client or other "
            f"programs on the machine: {'; '.join(idle)}."
        )
    return "\n".join(lines) + "\n"


def _cells(row: Row, sizes: Sequence[int]) -> list[str]:
    cells = [row.name]
    for size in sizes:
        rate, share = row.rates.get(size), row.shares.get(size)
        cells += ["not measured" if rate is None else _show(rate, ",.0f")]
        cells += ["-" if share is None else _show(share, ".2f")]
    return [*cells, "-" if row.busy is None else f"{row.busy:.0%}"]


def _show(one: Estimate, form: str) -> str:
    if one.low == one.high:
        return format(one.median, form)
    return f"{one.median:{form}} [{one.low:{form}}, {one.high:{form}}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
