"""`report.html`: one self-contained page, light or dark as the reader's system is; what matters first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from export import int8_report, report_heads, report_pictures
from export.gates import speed
from export.gates.verdict import GateResult, Number
from export.report import Report, VariantReport
from export.report_style import STYLE


def render(report: Report) -> str:
    """The page of an accepted export."""
    title = f"{escape(report.model)} {report.version}"
    parts = [
        f"<h1>{title}: accepted</h1>",
        f"<p>{_summary(report)}</p>",
        f'<div class="tiles">{"".join(_tiles(report))}</div>',
        f'<div class="pictures">{"".join(report_pictures.pictures(report))}</div>',
        "<h2>Quality</h2>",
        _quality(report),
        *report_heads.section(report.heads),
        *_not_worth(report),
        "<h2>Gates</h2>",
        _gates(report.gates),
        *(
            _precision(entry)
            for entry in report.variants
            if entry.quantized or entry.kept_fp32 or entry.notes
        ),
        "<h2>This export</h2>",
        _facts(report),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}: export report</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _summary(report: Report) -> str:
    open_questions = [gate for gate in report.gates if gate.verdict != "pass"]
    text = f"Every gate let it pass. The server will use <b>{escape(report.default_variant)}</b> by default."
    if open_questions:
        text += f" {len(open_questions)} of {len(report.gates)} gates ask for a look."
    return text


def _quality(report: Report) -> str:
    rows = []
    if report.prior_ndcg is not None:
        rows.append(["order as it came (prior)", f"{report.prior_ndcg:.4f}", "", ""])
    rows.append(["PyTorch", f"{report.variants[0].quality.reference:.4f}", "", ""])
    for entry in report.variants:
        found = entry.quality
        low, high = found.ci95
        rows.append(
            [
                escape(entry.variant) + _notes(entry),
                f"{found.value:.4f}",
                f"{found.delta_rel:+.2%} [{low:+.2%}, {high:+.2%}]",
                f'<span class="{found.verdict}">{found.verdict}</span>',
            ]
        )
    head = ["", "nDCG@10", "against PyTorch, 95 % interval", ""]
    note = f'<p class="soft">{report.labelled:,} labelled requests with a relevant candidate.</p>'
    return _table(head, rows, numeric={1}) + note


def _notes(entry: VariantReport) -> str:
    return "".join(f'<br><span class="soft">{escape(note)}</span>' for note in entry.notes)


def _tiles(report: Report) -> Iterable[str]:
    """What a reader wants to know first, as number and sentence."""
    chosen = next(entry for entry in report.variants if entry.variant == report.default_variant)
    found = chosen.quality
    yield _tile(f"{found.value:.4f}", f"nDCG@10; PyTorch {found.reference:.4f}", found.verdict)
    if chosen.speedup_over_fp32:
        yield _tile(f"{chosen.speedup_over_fp32['R1_N200']:.2f}×", "as fast as fp32 at 200 candidates")
    for point in chosen.latency:
        if (point.requests, point.candidates) == (1, 200):
            yield _tile(f"{point.p50_ms:.3g} ms", "one request of 200 candidates")
    yield _tile(_bytes(chosen.graph_bytes), f"graph of {escape(chosen.variant)}")
    if (used := chosen.memory) is not None:
        yield _tile(_bytes(used.peak_bytes), f"memory at its peak; {_bytes(used.load_bytes)} to load")
    verdicts = [one.verdict for one in chosen.slices]
    if verdicts:
        worst = next((bad for bad in ("warning", "inconclusive") if bad in verdicts), "pass")
        yield _tile(f"{verdicts.count('pass')} of {len(verdicts)}", "slices surely as good", worst)


def _tile(value: str, text: str, verdict: str = "") -> str:
    return f'<div class="tile"><b class="{verdict}">{value}</b><span>{text}</span></div>'


def _bytes(count: int) -> str:
    return f"{count / 1e6:.3g} MB" if count >= 1e5 else f"{count / 1e3:.3g} kB"


def _not_worth(report: Report) -> Iterable[str]:
    for entry in report.variants:
        if not entry.worth_serving:
            yield f'<p class="warning">{speed.shortfall(entry.variant).capitalize()}.</p>'


def _gates(gates: Sequence[GateResult]) -> str:
    rows = [
        [
            escape(gate.gate),
            escape(gate.variant),
            f'<span class="{gate.verdict}">{gate.verdict}</span>',
            escape(gate.sentence) + _numbers(gate.numbers),
        ]
        for gate in gates
    ]
    return f'<div class="gates">{_table(["gate", "variant", "", "what it found"], rows)}</div>'


def _numbers(numbers: Mapping[str, Number]) -> str:
    if not numbers:
        return ""
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td class=n>{_value(v)}</td></tr>" for name, v in numbers.items()
    )
    return f"<details><summary class=soft>numbers</summary><table>{lines}</table></details>"


def _precision(entry: VariantReport) -> str:
    kept = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in entry.kept_fp32.items())
    text = f"<p>{len(entry.quantized)} matrix products run in {escape(entry.variant)}: "
    text += f"{escape(', '.join(entry.quantized)) or 'none'}.</p>"
    if kept:
        text += f"<p>Kept in fp32:</p><ul>{kept}</ul>"
    if entry.search is not None:
        text += int8_report.sentence(entry.search)
    text += "".join(f'<p class="warning">{escape(note)}.</p>' for note in entry.notes)
    return f"<h2>What {escape(entry.variant)} means here</h2>{text}"


def _facts(report: Report) -> str:
    rows = [["requests compared", f"{report.requests:,}"]]
    rows += [
        [f"{escape(entry.variant)} graph", f"{entry.graph_bytes / 1e6:.2f} MB"] for entry in report.variants
    ]
    for entry in report.variants:
        if (used := entry.memory) is not None:
            found = f"{_bytes(used.load_bytes)} to load, {_bytes(used.peak_bytes)} at the peak"
            rows.append([f"{escape(entry.variant)} memory, one process", found])
    rows.append(["context side, share of a run at R1_N200", f"{report.context_share:.1%}"])
    rows += [[f"step: {escape(name)}", f"{seconds:.1f} s"] for name, seconds in report.seconds.items()]
    return _table(["", ""], rows, numeric={1})


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: set[int] | None = None) -> str:
    right = numeric or set()

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=n' if at in right else ''}>{c}</{tag}>" for at, c in enumerate(row))

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    header = f"<tr>{cells('th', head)}</tr>" if any(head) else ""
    return f'<div class="scroll"><table>{header}{lines}</table></div>'


def _value(value: Number) -> str:
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))
