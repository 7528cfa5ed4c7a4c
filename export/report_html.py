"""`report.html`: one self-contained page, light or dark as the reader's system is; what matters first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from export import int8_report, report_heads
from export.gates.verdict import GateResult, Number
from export.report import Report, VariantReport

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --bar: #3e63dd; --ok:
#18794e;
  --warn: #ab6400; --page: #fcfcfd; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #363a3f; --bar:
#849dff;
  --ok: #3dd68c; --warn: #ffca16; --page: #111113; } }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; font-size: 1.15rem; } .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums; } .pass { color: var(--ok); } .inconclusive, .warning { color:
  var(--warn); }
details { margin: .2rem 0; } summary { cursor: pointer; } svg text { fill: var(--ink); font: 13px system-ui; }
.scroll { overflow-x: auto; }
"""


def render(report: Report) -> str:
    """The page of an accepted export."""
    title = f"{escape(report.model)} {report.version}"
    parts = [
        f"<h1>{title}: accepted</h1>",
        f"<p>{_summary(report)}</p>",
        "<h2>Quality</h2>",
        _quality(report),
        *report_heads.section(report.heads),
        *_speed(report),
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
        f"<title>{title}: export report</title><style>{_STYLE}</style></head>\n"
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
                escape(entry.variant),
                f"{found.value:.4f}",
                f"{found.delta_rel:+.2%} [{low:+.2%}, {high:+.2%}]",
                f'<span class="{found.verdict}">{found.verdict}</span>',
            ]
        )
    head = ["", "nDCG@10", "against PyTorch, 95 % interval", ""]
    note = f'<p class="soft">{report.labelled:,} labelled requests with a relevant candidate.</p>'
    return _table(head, rows, numeric={1}) + note


def _speed(report: Report) -> Iterable[str]:
    for entry in report.variants:
        if not entry.speedup_over_fp32:
            continue
        yield f"<h2>Speed of {escape(entry.variant)} over fp32</h2>"
        yield _bars(entry.speedup_over_fp32)
        if not entry.worth_serving:
            yield '<p class="warning">Not worth serving: fp32 stays the default.</p>'
        yield '<p class="soft">One thread, R contexts and N candidates in a run, medians.</p>'


def _bars(ratios: dict[str, float]) -> str:
    """Horizontal bars, with a line at 1."""
    scale = 420 / max(1.2, *ratios.values())
    bars = []
    for row, (name, ratio) in enumerate(ratios.items()):
        y = 8 + 30 * row
        width = scale * ratio
        bars.append(
            f'<text x="0" y="{y + 15}">{escape(name)}</text>'
            f'<rect x="90" y="{y}" width="{width:.0f}" height="20" rx="3" fill="var(--bar)"/>'
            f'<text x="{96 + width:.0f}" y="{y + 15}">{ratio:.2f}×</text>'
        )
    height = 12 + 30 * len(ratios)
    one = 90 + scale
    line = f'<path d="M{one:.0f} 0V{height}" stroke="var(--soft)" stroke-dasharray="3 3"/>'
    label = "speed over fp32: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    return (
        f'<svg role="img" aria-label="{escape(label)}" width="580" height="{height}">'
        f"{''.join(bars)}{line}</svg>"
    )


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
    return _table(["gate", "variant", "", "what it found"], rows)


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
