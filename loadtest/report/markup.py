"""HTML by hand: tables, stacked bars, the page around them. Whatever comes in as text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Final

from loadtest.verdict import Verdict

_DRAWN_LEAST: Final = 1e-4
_WORDS: Final = frozenset(verdict.name for verdict in Verdict)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a stacked bar.

    Attributes:
        share: of the bar's length; what is next to nothing, or negative, is named but not drawn.
        shown: its number, as text.
        colour: a CSS variable.
    """

    name: str
    share: float
    shown: str
    colour: str


def page(title: str, body: str, verdict: str = "", scripts: str = "") -> str:
    """A whole document: its style is in it, and nothing is loaded from elsewhere."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{asset('page.css')}</style>\n</head>\n"
        f'<body class="{escape(verdict)}">\n{body}\n{scripts}</body>\n</html>\n'
    )


def asset(name: str) -> str:
    """A file that lies beside this module."""
    return files("loadtest.report").joinpath(name).read_text(encoding="utf-8")


def section(name: str, title: str, *parts: str) -> str:
    """A part of the page that can be linked to; empty when it would say nothing."""
    body = "\n".join(part for part in parts if part)
    if not body:
        return ""
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{body}\n</section>'


def paragraph(text: str, css: str = "") -> str:
    """Nothing when there is nothing to say."""
    marked = f' class="{css}"' if css else ""
    return f"<p{marked}>{escape(text)}</p>" if text else ""


def table(label: str, head: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    """A table in its own scrolling box; nothing when it has no row.

    Args:
        label: what a screen reader calls it.
        text: columns beside the first that hold words, not numbers.
    """
    if not rows:
        return ""
    top = "".join(f'<th scope="col"{_css(at, text)}>{escape(cell)}</th>' for at, cell in enumerate(head))
    body = "\n".join(
        f"<tr>{''.join(_cell(at, cell, text) for at, cell in enumerate(row))}</tr>" for row in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0"><table>'
        f"<thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, one below the other."""
    body = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<dl class="facts">{body}</dl>' if body else ""


def bullets(lines: Sequence[str], tag: str = "ul") -> str:
    """A list; nothing when it is empty."""
    body = "\n".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<{tag} class="notes">{body}</{tag}>' if body else ""


def details(summary: str, body: str) -> str:
    """Markup that a reader opens."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def stack(label: str, parts: Sequence[Part]) -> str:
    """A bar of parts beside one another, and what they are."""
    named = "".join(
        f'<li><i style="background:var({part.colour})"></i>{escape(part.name)} '
        f"<b>{escape(part.shown)}</b></li>"
        for part in parts
    )
    return f'{bar(label, parts)}<ul class="key">{named}</ul>'


def bar(label: str, parts: Sequence[Part]) -> str:
    """Only the bar; `label` is what a screen reader says instead of it."""
    drawn = "".join(
        f'<i style="width:{100 * part.share:.3f}%;background:var({part.colour})"'
        f' title="{escape(part.name)}"></i>'
        for part in parts
        if part.share >= _DRAWN_LEAST
    )
    return f'<div class="stack" role="img" aria-label="{escape(label)}">{drawn}</div>'


def _css(at: int, text: Sequence[int]) -> str:
    return ' class="text"' if at in text else ""


def _cell(at: int, cell: str, text: Sequence[int]) -> str:
    if at == 0:
        return f'<th scope="row">{escape(cell)}</th>'
    if cell in _WORDS:
        return f'<td class="word {cell}">{cell}</td>'
    if cell == "TRIPPED":
        return '<td class="alarm">TRIPPED</td>'
    return f"<td{_css(at, text)}>{escape(cell)}</td>"
