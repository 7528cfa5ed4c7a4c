"""Methods that answer one message at once with another."""

from __future__ import annotations

from collections.abc import Callable

from server.door.call import Call, Handler, Method
from server.errors import Code

Answer = Callable[[bytes | memoryview, Call], None]
"""Given the request's bytes, ends the call: `answer` or `fail`."""


def unary(answer: Answer) -> Method:
    """A method from a function."""
    return lambda call, _: _Unary(answer, call)


class _Unary(Handler):
    """One call. The connection tells nothing more of it after its answer."""

    __slots__ = ("_answer", "_call")

    def __init__(self, answer: Answer, call: Call) -> None:
        self._answer = answer
        self._call = call

    def message(self, data: bytes | memoryview) -> None:
        self._answer(data, self._call)

    def half_closed(self) -> None:
        self._call.fail(Code.INTERNAL, "The method takes one message; none came.")
