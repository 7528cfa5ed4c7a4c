"""`report.html`: one self-contained page that needs neither a network nor its run directory.

plotly.js lies in it once, at the end: the verdict is on the screen before it has been read. Equal results
give equal pages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Final

from loadtest.report import curves, sections, words
from loadtest.report.first import first_screen
from loadtest.report.loads import over_load
from loadtest.report.markup import asset, page, paragraph, section
from loadtest.report.plot import Figure
from loadtest.report.timeline import timeline
from loadtest.result import Run, Window

_CONTENTS: Final = {
    "timeline": "Second by second",
    "percentiles": "Percentiles",
    "phases": "Phases",
    "loads": "Over load",
    "candidates": "Over candidates",
    "quality": "Quality",
    "endings": "Late and refused",
    "accounts": "Client and server",
    "guards": "Guards",
    "rules": "Rules",
    "run": "This run",
}

_FOOTER: Final = (
    "Every number here can be computed again from the records that were written beside this page: "
    "<code>podium loadtest report</code>."
)


def render(run: Run, windows: Sequence[Window]) -> str:
    """The page."""
    counts = run.counts
    figures = {
        "timeline": timeline(run, windows),
        "percentiles": curves.spectrum(run) if counts else [],
        "loads": over_load(run),
        "candidates": curves.over_candidates(run) if counts else [],
    }
    parts = {
        "timeline": _drawn("timeline", figures["timeline"]),
        "percentiles": (
            _drawn("percentiles", figures["percentiles"], sections.percentiles(run)) if counts else ""
        ),
        "phases": sections.phases(run) if run.phases else "",
        "loads": _drawn("loads", figures["loads"]),
        "candidates": _drawn("candidates", figures["candidates"], sections.slices(run)) if counts else "",
        "quality": sections.quality(run) if counts else "",
        "endings": sections.endings(run),
        "accounts": sections.accounts(run) if counts else "",
        "guards": sections.guards(run),
        "rules": sections.rules(),
        "run": sections.provenance(run),
    }
    shown = [name for name in _CONTENTS if parts[name]]
    links = "".join(f'<li><a href="#{name}">{escape(_CONTENTS[name])}</a></li>' for name in shown)
    body = "\n".join(
        [
            '<a class="skip" href="#more">Skip to the details</a>',
            '<main class="page">',
            f"<header>\n{first_screen(run)}\n</header>",
            f'<nav id="more" aria-label="On this page"><ul>{links}</ul></nav>',
            *(parts[name] for name in shown),
            f"<footer>{_FOOTER}</footer>\n</main>",
        ]
    )
    title = f"{run.judgement.verdict.name}: {words.promise(run)}"
    drawn = [figure for group in figures.values() for figure in group]
    return page(title, body, run.judgement.verdict.name, _scripts(drawn))


def _drawn(name: str, figures: Sequence[Figure], below: str = "") -> str:
    """A section with a figure; only what is below it when there is none."""
    if not figures:
        return section(name, _CONTENTS[name], below)
    figure = figures[0]
    element = (
        f'<figure><div class="plot" id="{figure.name}" role="img" aria-label="{escape(figure.title)}" '
        f'style="height:{figure.height_rem}rem"></div></figure>'
    )
    return section(name, figure.title, paragraph(figure.says), element, below)


def _scripts(figures: Sequence[Figure]) -> str:
    """plotly.js, the figures as data, and the few lines that draw them; nothing when there is no figure."""
    if not figures:
        return ""
    # Five megabytes, for this page alone.
    from plotly.offline import get_plotlyjs

    data = {figure.name: {"traces": figure.traces, "layout": figure.layout} for figure in figures}
    # Within a script element only "<" could end it.
    written = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace(
        "<", "\\u003c"
    )
    return (
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="figures">{written}</script>\n'
        f"<script>\n{asset('page.js')}</script>\n"
    )
