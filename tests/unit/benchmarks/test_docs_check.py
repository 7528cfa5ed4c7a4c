"""The check of documented figures: marks are read strictly, and a figure that is off is caught."""

from __future__ import annotations

import re

import pytest

from benchmarks.docs_check import OFF_MAX, BadMark, Figure, check, figures, measured, off

PAGE = r"""
<!-- cheap: python -m benchmarks.micro | tail -1 | waiting: ([\d.]+) | 12.5 -->
```
scheduler: offer + step + complete with 63 waiting: 12.5
```
<!-- a comment that is no mark -->
<!-- cheap: echo 2,048 | ([\d,]+) | 2048 -->
"""


def figure(value: float = 10.0, command: str = "true", regex: str = r"speed ([\d.,]+)") -> Figure:
    return Figure("page.md", command, re.compile(regex), value)


def test_marks_are_read_in_order() -> None:
    """A command may hold pipes: the last two bars part the regex and the value."""
    first, second = figures("measuring.md", PAGE)
    assert ("python -m benchmarks.micro | tail -1", r"waiting: ([\d.]+)", 12.5) == (
        first.command,
        first.pattern.pattern,
        first.value,
    )
    assert ("echo 2,048", 2048.0) == (second.command, second.value)


@pytest.mark.parametrize(
    ("mark", "complaint"),
    [
        ("echo 1 | 1", "COMMAND | REGEX | VALUE"),
        (r"echo 1 | (\d | 1", "missing \\), unterminated subpattern"),
        (r"echo 1 | (\d) | one", "could not convert"),
        (r"echo 1 | \d | 1", "one group"),
        (r"echo 0 | (\d) | 0", "other than 0"),
    ],
)
def test_a_bad_mark_is_an_error(mark: str, complaint: str) -> None:
    """A mark that nobody can check is refused with the page and the reason, never skipped."""
    with pytest.raises(BadMark, match=complaint):
        figures("page.md", f"<!-- cheap: {mark} -->")


def test_the_number_is_found_in_the_output() -> None:
    """The group is the number; thousands may be set apart."""
    assert 12_345.5 == measured(figure(), "slow 1\nspeed 12,345.5 requests/s\n")


@pytest.mark.parametrize(("printed", "complaint"), [("", "nothing like"), ("speed ..", "not a number")])
def test_no_number_is_an_error(printed: str, complaint: str) -> None:
    """A command that no longer prints its figure fails the check."""
    with pytest.raises(BadMark, match=complaint):
        measured(figure(), printed)


def test_off_is_a_share_of_the_documented_value() -> None:
    """Too high and too low count alike."""
    assert pytest.approx(0.25) == off(figure(), 12.5)
    assert pytest.approx(0.25) == off(figure(), 7.5)


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("echo speed 10", 0),
        ("echo speed 12.5", 0),
        ("echo speed 12.6", 1),
        ("echo speed 7.4", 1),
        ("exit 3", 1),
    ],
)
def test_figures_are_rerun(command: str, wrong: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Within a quarter holds; beyond it, or with a command that fails, the page is wrong."""
    assert 0.25 == OFF_MAX
    assert wrong == check([figure(command=command)])
    assert command in capsys.readouterr().out
