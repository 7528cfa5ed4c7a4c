"""A stranger's words, fit for one line of a log."""

from __future__ import annotations

from typing import Final

_NAME_MAX: Final = 80
_LINE_MAX: Final = 400
UNFORESEEN: Final = "is damaged in a way that no check names"
"""Said of an exception that nobody expected; the fuzz over mutated bundles asks that it is never heard."""


def shown(name: str) -> str:
    """A name from a file: ASCII, without control characters, not endless."""
    return ascii(name if len(name) <= _NAME_MAX else name[:_NAME_MAX] + "...")[1:-1]


def line(error: BaseException) -> str:
    """An error's first line, not endless; its kind when it says nothing."""
    text = str(error).strip().partition("\n")[0]
    return (
        ascii(text[:_LINE_MAX])[1:-1] if not text.isprintable() else text[:_LINE_MAX] or type(error).__name__
    )


def unforeseen(file: str, error: BaseException) -> str:
    """The sentence about an exception that no check expected."""
    return f"{file} {UNFORESEEN} ({type(error).__name__}: {line(error)}); export it again"
