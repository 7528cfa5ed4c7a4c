"""The export's bar."""

from __future__ import annotations

import io

from rich.console import Console

from export.progress_bar import step_bar


def test_the_bar_names_the_step_and_how_many_there_are() -> None:
    """On a terminal each step is shown with its place; a step that is left out is passed over."""
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, no_color=True, color_system=None, width=100)
    with step_bar(terminal, ("trace", "quantise", "write")) as step:
        step("trace")
        step("write")
    assert "loading the spec" in shown.getvalue()
    assert "2/3 write" in shown.getvalue()


def test_a_file_gets_no_bar() -> None:
    """What is not a terminal sees nothing: a log of a build stays a log."""
    shown = io.StringIO()
    with step_bar(Console(file=shown), ("trace",)) as step:
        step("trace")
    assert "" == shown.getvalue()
