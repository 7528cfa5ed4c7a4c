"""The status page: /status.json as one HTML page that needs nothing from elsewhere.

Written whole on the server, so that it can be read without scripts; page.js then replaces the numbers. Rule:
everything shown comes from the values of `overview`, and everything is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from server.curve import curve

_CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
_JS = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


POLICY = (
    f"default-src 'none'; style-src 'sha256-{_digest(_CSS)}'; script-src 'sha256-{_digest(_JS)}'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: this page's own style and script, this server's own answers, nothing else."""


def render(status: Mapping[str, Any]) -> str:
    """The page. `status` is what /status.json holds."""
    models = status["models"]
    body = [
        _state(status),
        *(_model(model, f"models/{at}") for at, model in enumerate(models)),
        _refused(status["refused"]),
        _unnamed(status["unnamed"]),
        _configuration(status["configuration"]),
    ]
    state = "ready" if status["ready"] else "not ready"
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>Podium: {state}</title><link rel=icon href='data:,'><style>{_CSS}</style></head><body>"
        "<a class=skip href=#main>Skip to the state</a>"
        "<header><b>Podium</b><span id=said role=status>As it was when the page was loaded.</span>"
        "<button id=pause type=button hidden>Pause</button></header>"
        f"<main id=main tabindex=-1>{''.join(body)}</main>"
        "<footer><p>The same as JSON: <a href=/status.json>/status.json</a>. For Prometheus: "
        "<a href=/metrics>/metrics</a>. What the words mean: docs/metrics.md.</p></footer>"
        f"<script>{_JS}</script></body></html>\n"
    )


def number(value: float | None, path: str, digits: int = 0) -> str:
    """A number that page.js keeps true: `path` leads to it in /status.json."""
    text = "–" if value is None else f"{value:,.{digits}f}"
    return f'<span data-at="{escape(path)}" data-digits={digits}>{text}</span>'


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], key: str) -> str:
    """A table whose first column names the rows; a head that begins with "#" has numbers. Cells are HTML."""
    right = [head.startswith("#") for head in heads]
    top = "".join(
        f"<th scope=col{' class=n' * n}>{escape(head.lstrip('#'))}</th>"
        for head, n in zip(heads, right, strict=True)
    )
    lines = [
        f"<tr><th scope=row>{row[0]}</th>"
        + "".join(f"<td{' class=n' * n}>{cell}</td>" for cell, n in zip(row[1:], right[1:], strict=True))
        + "</tr>"
        for row in rows
    ]
    return (
        f'<div class=scroll id="{escape(key)}" tabindex=0 role=region aria-label="{escape(caption)}">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _state(status: Mapping[str, Any]) -> str:
    now, state = status["scheduler"], escape(status["state"])
    title = "Ready" if status["ready"] else f"Not ready: {state}"
    stuck = now["executors_stuck"]
    figures = [
        ("Inside", number(status["in_flight"], "in_flight"), "", "requests, from arrival to end"),
        ("Waiting", number(now["waiting_requests"], "scheduler/waiting_requests"), "",
         f"admitted, not yet in a run: {number(now['waiting_rows'], 'scheduler/waiting_rows')} candidates"),
        ("Planned work", number(now["planned_work_ms"], "scheduler/planned_work_ms", 1), "ms",
         "predicted time until all admitted is done"),
        ("Busy executors", number(now["executors_busy"], "scheduler/executors_busy"),
         f"of {number(now['executors'], 'scheduler/executors')}",
         f"<span{' class=bad' if stuck else ''}>{number(stuck, 'scheduler/executors_stuck')} stuck</span>"),
    ]  # fmt: skip
    return f"<h1{'' if status['ready'] else ' class=bad'}>{title}</h1>{_figures(figures)}"


def _figures(figures: Iterable[tuple[str, str, str, str]]) -> str:
    """Name, value, unit, what it is; the latter three HTML."""
    entries = [
        f"<div><dt>{name}</dt><dd><span class=big>{value} <i>{unit}</i></span>"
        f"<small>{text}</small></dd></div>"
        for name, value, unit, text in figures
    ]
    return f"<dl class=figures>{''.join(entries)}</dl>"


def _model(model: Mapping[str, Any], path: str) -> str:
    name = f"{escape(model['model'])} <span class=soft>version {model['version']}</span>"
    budgets = ", ".join(f"{escape(key)} {value:g} ms" for key, value in model["budget_ms"].items())
    key = f"{model['model']}-{model['version']}"
    return (
        f'<section aria-label="{escape(model["model"])}"><h2>{name}</h2>'
        f"<p class=soft>Budget by importance: {budgets}.</p>{_live(model['live'][0], f'{path}/live/0')}"
        f"<div class=pair><div>{_windows(model['live'], f'{path}/live', key)}</div>"
        f"<div>{_reasons(model['live'], f'{path}/live', key)}</div></div>"
        f"{_variants(model, path, key)}</section>"
    )


def _live(live: Mapping[str, Any], path: str) -> str:
    def shown(key: str, digits: int) -> str:
        return number(live[key], f"{path}/{key}", digits)

    window = f"over the last {shown('seconds', 0)} s"
    between = f"between {shown('p99_low_ms', 1)} and {shown('p99_high_ms', 1)} ms; {window}"
    return _figures([
        ("p99 of answers, estimate", shown("p99_ms", 1), "ms", between),
        ("p50 of answers, estimate", shown("p50_ms", 1), "ms", window),
        ("Goodput", shown("goodput_per_s", 1), "/s", f"answered before the deadline, {window}"),
        ("In budget", shown("kept_percent", 2), "%", f"of admitted that ended {window}"),
    ])  # fmt: skip


def _windows(live: Sequence[Mapping[str, Any]], path: str, key: str) -> str:
    columns = (
        ("window so far, s", "seconds", 0),
        ("p50, ms (estimate)", "p50_ms", 1), ("p99, ms (estimate)", "p99_ms", 1),
        ("p99 lies above, ms", "p99_low_ms", 1), ("and not above, ms", "p99_high_ms", 1),
        ("goodput, /s", "goodput_per_s", 1), ("answered", "answered", 0), ("admitted, ended", "admitted", 0),
        ("not in budget", "violations", 0), ("refused, /s", "refused_per_s", 1),
    )  # fmt: skip
    rows = [
        [escape(name), *(number(at[value], f"{path}/{i}/{value}", digits) for i, at in enumerate(live))]
        for name, value, digits in columns
    ]
    return "<h3>Answers</h3>" + table(
        "Over the last 10 and 60 seconds, refusals apart; “–” where there is none",
        ["Figure", "#10 s", "#60 s"], rows, f"windows-{key}",
    )  # fmt: skip


def _reasons(live: Sequence[Mapping[str, Any]], path: str, key: str) -> str:
    rows = [
        [
            f"<code>{escape(reason)}</code>",
            *(number(at["refusals"][reason], f"{path}/{i}/refusals/{reason}") for i, at in enumerate(live)),
        ]
        for reason in live[0]["refusals"]
    ]
    if not rows:
        return "<h3>Refusals</h3><p class=soft>None over the last minute.</p>"
    return "<h3>Refusals</h3>" + table(
        "Requests refused, by reason; not part of the answers' times",
        ["Reason", "#10 s", "#60 s"], rows, f"reasons-{key}",
    )  # fmt: skip


def _variants(model: Mapping[str, Any], path: str, key: str) -> str:
    rows = [
        [
            escape(name) + (" <span class=soft>default</span>" * (name == model["default_variant"])),
            "<span class=good>serving</span>",
            number(cost["runs"], f"{path}/variants/{name}/runs"),
            number(cost["margin_ms"], f"{path}/variants/{name}/margin_ms", 2),
            number(cost["stretch"], f"{path}/variants/{name}/stretch", 2),
        ]
        for name, cost in model["variants"].items()
    ]
    rows += [
        [escape(name), f"<span class=bad>refused</span>: {escape(reason)}", "–", "–", "–"]
        for name, reason in model["refused_variants"].items()
    ]
    found = "<h3>Variants</h3>" + table(
        "State, and what the server has learned of each",
        ["Variant", "State", "#Runs", "#Margin, ms", "#Stretch"], rows, f"variants-{key}",
    )  # fmt: skip
    curves = [
        f"<figure><h3>Cost model of {escape(name)}</h3>{curve(cost['predicted_ms'], budget_ms)}"
        "<figcaption><small>Predicted time of a run of one request, by candidates: a learned estimate, not a "
        "measurement.</small></figcaption></figure>"
        for budget_ms in [min(model["budget_ms"].values())]
        for name, cost in model["variants"].items()
    ]
    return f"{found}<div class=pair>{''.join(curves)}</div>"


def _refused(entries: Sequence[Mapping[str, Any]]) -> str:
    if not entries:
        return ""
    rows = [[escape(e["model"]), str(e["version"]), escape(e["reason"])] for e in entries]
    heads = ["Model", "Version", "Reason"]
    return "<h2 class=bad>Refused versions</h2>" + table("Found, and not served", heads, rows, "refused")


def _unnamed(live: Sequence[Mapping[str, Any]]) -> str:
    if not live[0]["refusals"]:
        return ""
    return "<h2>Refused before a model was known</h2>" + _reasons(live, "unnamed", "unnamed")


def _configuration(configuration: Mapping[str, Any]) -> str:
    rows = [
        [f"<code>{escape(key)}</code>", f"<code>{escape(value)}</code>"]
        for key, value in _flat(configuration)
    ]
    inside = table("What the server runs with; it holds no secrets", ["Key", "Value"], rows, "keys")
    return f"<details id=configuration><summary>Effective configuration</summary>{inside}</details>"


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "default" if value is None else f"{value}"
