"""Re-run the figures of the documents that are cheap to re-run (`make docs-check`).

A figure is marked above the block that shows it:

    <!-- cheap: COMMAND | REGEX | VALUE -->

COMMAND runs in bash at the repository's root and may contain pipes; REGEX has one group, a number, searched
for in what the command prints; VALUE is the figure in the document. Off by more than a quarter fails: enough
for a noisy machine if figures are ratios of one run, too little for a wrong one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
OFF_MAX = 0.25
COMMAND_S_MAX = 600
MARK = re.compile(r"<!--\s*cheap:(.*?)-->", re.DOTALL)


class BadMark(Exception):
    """A mark that cannot be checked, or a command that gave no number; the text is for a person."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a document, and how to get it again."""

    page: str
    command: str
    pattern: re.Pattern[str]
    value: float


def figures(page: str, text: str) -> list[Figure]:
    """Read the marks of a page.

    Raises:
        BadMark: a mark is not `COMMAND | REGEX | VALUE` with one group and a number other than 0.
    """
    return [_figure(page, mark.strip()) for mark in MARK.findall(text)]


def _figure(page: str, mark: str) -> Figure:
    parts = [part.strip() for part in mark.rsplit(" | ", 2)]
    if len(parts) != 3:
        raise BadMark(f"{page}: a mark is COMMAND | REGEX | VALUE, not {mark!r}")
    command, regex, value = parts
    try:
        figure = Figure(page, command, re.compile(regex), float(value))
    except (re.error, ValueError) as error:
        raise BadMark(f"{page}: {mark!r}: {error}") from error
    if figure.pattern.groups != 1 or figure.value == 0.0:
        raise BadMark(f"{page}: {mark!r}: one group for the number, and a value other than 0")
    return figure


def measured(figure: Figure, printed: str) -> float:
    """Find a figure in what its command printed; thousands may be set apart by commas.

    Raises:
        BadMark: it is not there, or no number.
    """
    found = figure.pattern.search(printed)
    if found is None or found[1] is None:
        raise BadMark(f"{figure.page}: `{figure.command}` prints nothing like {figure.pattern.pattern!r}")
    try:
        return float(found[1].replace(",", ""))
    except ValueError as error:
        raise BadMark(f"{figure.page}: `{figure.command}`: {found[1]!r} is not a number") from error


def off(figure: Figure, now: float) -> float:
    """How far a re-run is from the document, as a share of the document's value."""
    return abs(now / figure.value - 1.0)


def rerun(figure: Figure) -> float:
    """Run a figure's command and return what it gives now.

    Raises:
        BadMark: the command failed, took too long, or printed no such number.
    """
    try:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", figure.command],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise BadMark(f"{figure.page}: `{figure.command}` took over {COMMAND_S_MAX} s: not cheap") from error
    if done.returncode != 0:
        raise BadMark(f"{figure.page}: `{figure.command}` ended with {done.returncode}: {done.stderr[-500:]}")
    return measured(figure, done.stdout)


def check(found: Iterable[Figure]) -> int:
    """Re-run and print every figure; return how many are wrong."""
    wrong = 0
    for figure in found:
        try:
            now = rerun(figure)
        except BadMark as error:
            verdict = str(error)
            wrong += 1
        else:
            is_off = off(figure, now) > OFF_MAX
            wrong += is_off
            verdict = f"{figure.page}: {figure.value:g} is now {now:g}{' - OFF' if is_off else ''}"
        print(f"{verdict}   ({figure.command})", flush=True)
    return wrong


def main() -> int:
    """Check README.md and docs/; 0 = every figure holds, 1 = one does not, or there is none to check."""
    pages = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    try:
        found = [figure for page in pages for figure in figures(page.name, page.read_text())]
    except BadMark as error:
        print(f"docs-check: {error}", file=sys.stderr)
        return 1
    if not found:
        print("docs-check: no page marks a figure as cheap, so nothing was checked", file=sys.stderr)
        return 1
    wrong = check(found)
    print(f"docs-check: {len(found) - wrong} of {len(found)} figures hold")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
