"""`build/demo/report.html`: the demo's summary as one self-contained page, what matters first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examples.demo import Demo

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --bar: #3e63dd;
  --ok: #18794e; --bad: #ce2c31; --warn: #ab6400; --page: #fcfcfd; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #363a3f;
  --bar: #849dff; --ok: #3dd68c; --bad: #ff9592; --warn: #ffca16; --page: #111113; } }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 52rem; padding: 0 1rem; }
h1 { margin: 0; } h2 { margin-top: 2rem; font-size: 1.15rem; } .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid var(--line); } .n { text-align: right; font-variant-numeric: tabular-nums; }
.PASS { color: var(--ok); } .FAIL, .INVALID { color: var(--bad); }
.INCONCLUSIVE, .UNSTABLE { color: var(--warn); }
.bar { background: var(--bar); height: .6rem; border-radius: .3rem; min-width: 2px; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem 3rem; margin: 1.2rem 0; }
.figures b { display: block; font-size: 1.7rem; line-height: 1.2; }
.scroll { overflow-x: auto; }
"""


def render(demo: Demo) -> str:
    """The page."""
    found, latency = demo.load["summary"], demo.load["summary"]["latency"]
    verdict = escape(demo.load["judgement"]["verdict"].upper())
    refused = sum(entry["count"] for entry in found["refused"])
    figures = [
        (milliseconds(latency["p99_ms"]), f"p99, budget {demo.budget_ms:.0f} ms"),
        (milliseconds(latency["p50_ms"]), "p50, from the intended send time"),
        (f"{found['goodput_per_s']:.0f}/s", f"answered in budget, of {found['offered_per_s']:.0f}/s offered"),
        (f"{refused}", "refused"),
    ]
    parts = [
        f'<h1>Budget: <span class="{verdict}">{verdict}</span></h1>',
        (
            f'<p class="soft">{escape(demo.quality.source)}: movies ranker, served as '
            f"{escape(demo.export.default_variant)}, {found['scheduled']:,} requests, open loop.</p>"
        ),
        '<div class="figures">',
        *(
            f'<div><b>{escape(value)}</b><span class="soft">{escape(text)}</span></div>'
            for value, text in figures
        ),
        "</div>",
        "<h2>Quality: nDCG@10 on held-out requests</h2>",
        _quality(demo),
        "<h2>One ranking</h2>",
        _table(
            ["title", "score", "rank in the prior order"],
            [[title, f"{score:.3f}", str(place)] for title, score, place in demo.ranking],
        ),
        "<h2>Where the time of this demo went</h2>",
        _table(["step", "seconds"], [[step, f"{took:.1f}"] for step, took in demo.seconds.items()]),
        (
            '<p class="soft">More: <a href="load/report.html">the load test</a>, '
            f'<a href="models/{escape(demo.export.model)}/{demo.export.version}/report.html">'
            "the export</a>.</p>"
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Podium demo</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def milliseconds(value: Any) -> str:
    """A time of `run.json`: a number, "inf" for never answered, None for too few requests to say."""
    if value is None:
        return "too few requests"
    return "∞" if value == "inf" else f"{value:.1f} ms"


def _quality(demo: Demo) -> str:
    variants = {entry.variant: entry.quality for entry in demo.export.variants}
    rows = [("PyTorch", variants["fp32"].reference)]
    rows += [(f"{name}, as served" if name == demo.export.default_variant else name, found.value)
             for name, found in variants.items()]  # fmt: skip
    rows.append(("prior: the order that the requests came with", demo.export.prior_ndcg or 0.0))
    best = max(value for _, value in rows)
    body = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{value:.4f}</td>'
        f'<td style="width:45%"><div class="bar" style="width:{100 * value / best:.0f}%"></div></td></tr>'
        for name, value in rows
    )
    lost = demo.quality.shuffled
    note = (
        f'<p class="soft">It reads the history: with other users\' histories it loses {lost.mean:.4f} '
        f"[{lost.low:.4f}, {lost.high:.4f}].</p>"
    )
    return f'<div class="scroll"><table>{body}</table></div>{note}'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        first, *rest = row
        return f"<{tag}>{escape(first)}</{tag}>" + "".join(
            f'<{tag} class="n">{escape(cell)}</{tag}>' for cell in rest
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells(head, "th")}</tr>{body}</table></div>'
