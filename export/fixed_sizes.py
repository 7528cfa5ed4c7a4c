"""Which line of the user's code made a constant of a size that must stay open, caught while it happens.

PyTorch says at the end of a trace that a size was fixed, not where: a Python loop over candidates, `int()`,
or an `if` on a size work for any size, so running the model again finds nothing. But the tracer logs every
equation that it adds, at the moment when the code that needs it is on the stack.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TRACER = "torch.fx.experimental.symbolic_shapes"
_FIXES = re.compile(r"^eval Eq\(\w+, \d+\) \[guard added\]")
Place = tuple[str, int]
"""A file and a line."""


class FixedSizes(logging.Handler):
    """Listens to the tracer.

    Attributes:
        place: the first line of the user's that fixed a size; None = none did.
    """

    def __init__(self, users: Callable[[list[Place]], Place | None]) -> None:
        super().__init__(logging.INFO)
        self._users = users
        self.place: Place | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Called by the tracer, with the user's code further up the stack."""
        if self.place is None and _FIXES.match(record.getMessage()):
            self.place = self._users([(one.filename, one.lineno or 0) for one in traceback.extract_stack()])


@contextmanager
def listening(users: Callable[[list[Place]], Place | None]) -> Iterator[FixedSizes]:
    """Listen while tracing; nothing of it is printed, and the logger is as before afterwards.

    Args:
        users: picks the innermost frame that is the user's, None if there is none.
    """
    log = logging.getLogger(_TRACER)
    before = log.level, log.propagate, log.handlers
    listener = FixedSizes(users)
    log.handlers, log.propagate = [listener], False
    log.setLevel(logging.INFO)
    try:
        yield listener
    finally:
        log.setLevel(before[0])
        log.propagate, log.handlers = before[1:]
