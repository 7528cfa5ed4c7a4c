"""Why a model could not become a graph, for whoever wrote it: what, on which of their lines, what to do.

PyTorch's own messages speak of guards, symbols and fake tensors, and come in several layers. Here the layers
are searched for what they are about; what is not recognised is passed on as it is, with the line.
"""

from __future__ import annotations

import contextlib
import linecache
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxscript
import torch
from torch.utils._python_dispatch import TorchDispatchMode

_OURS = Path(__file__).parent
_NOT_THE_USERS = (
    *(str(Path(module.__file__ or "").parent) for module in (torch, onnx, onnxscript)),
    str(_OURS),
)
_STDLIB = sysconfig.get_paths()["stdlib"]
_SIZE = re.compile(r"\['(\w+)'\]\.(?:size\(\)|shape)\[(\d+)\]")
Place = tuple[str, int]
"""A file and a line."""
Replay = Callable[[int], object]
"""Runs the model as it is, on so many more contexts and candidates than were traced."""
_SAID_MAX = 300
"""Of PyTorch's own words, where they are passed on."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that goes wrong: how it is recognised, what it is, what to do."""

    pattern: re.Pattern[str]
    what: str
    advice: str


_BAG = Cause(
    re.compile("embedding_bag"),
    "nn.EmbeddingBag becomes a loop over bags",
    "use nn.Embedding on ids padded to one length, and a sum or mean under a mask",
)
_VALUES = Cause(
    re.compile(
        r"data-dependent|GuardOnDataDependentSymNode|Could not guard on|specialized integer from data|"
        r"dynamic output shape|DynamicOutputShapeException|DataDependentOutputException"
    ),
    "a branch or a shape depends on values",
    "a graph does the same steps for all values: use torch.where or a mask in place of `if`, .item(), "
    "x[mask], nonzero and unique",
)
_CONSTANT = Cause(
    re.compile(r"specialized it to be a constant|inferred to be a constant|inferred a static shape"),
    "a size that differs between requests was taken for a constant",
    "take sizes from the tensors at hand (x.shape[0], -1, torch.ones_like), not from Python numbers, and let "
    "operators go over all candidates at once in place of a loop",
)
_NO_FORM = Cause(
    re.compile(r"No ONNX function found|No decompositions registered|GraphConstructionError|DispatchError"),
    "an operator has no ONNX form",
    "write it with operators that have one",
)
_CAUSES = (_BAG, _VALUES, _CONSTANT, _NO_FORM)
_OPERATOR = re.compile(r"OpOverload\(op='([\w.]+)'")


def explain(error: BaseException, replay: Replay, fixed_at: Place | None = None) -> str:
    """One sentence for an exception of the exporter, however many layers it has.

    Args:
        fixed_at: the line that fixed a size while it was traced, if one did; see `export.fixed_sizes`.
        replay: runs the model itself, to find a line that the exporter's exceptions do not name.
    """
    layers = list(_layers(error))
    text = "\n".join(f"{type(layer).__name__}: {layer}" for layer in layers)
    cause = next((cause for cause in _CAUSES if cause.pattern.search(text)), None)
    place, operator = _raised_at(layers), _OPERATOR.search(text)
    if place is None and operator and cause in (_BAG, _NO_FORM):
        place = _line_of(operator[1], replay)
    if place is None and cause is _CONSTANT:
        place = fixed_at or _line_that_breaks(replay)
    if cause is None:
        return _with_place(_plain(layers[-1]), place)
    return f"{_with_place(cause.what + _detail(cause, text), place)}; {cause.advice}"


def explain_plain(error: BaseException) -> str:
    """What the user's own code raised when it was run, and on which of their lines."""
    return _with_place(f"{type(error).__name__}: {_plain(error)}", _raised_at(list(_layers(error))))


def refused_operator(graph: Iterable[Any], replay: Replay) -> str | None:
    """A sentence where a traced graph holds what exports but must not be served; None = nothing of the kind.

    Args:
        graph: nodes of a torch.fx graph.
    """
    if not any("embedding_bag" in str(node.target) for node in graph):
        return None
    return f"{_with_place(_BAG.what, _line_of('embedding_bag', replay))}; {_BAG.advice}"


def at(place: Place | None) -> str:
    """`, at FILE:LINE `code``, or nothing."""
    return _with_place("", place)


def _layers(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it was raised from, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _detail(cause: Cause, text: str) -> str:
    """The operator's name, or the input whose size it is, where the text says it."""
    operator, size = _OPERATOR.search(text), _SIZE.search(text)
    if operator and cause is _NO_FORM:
        return f" ({operator[1]})"
    if size and cause is _CONSTANT:
        return f" (axis {size[2]} of input {size[1]!r})"
    return ""


def _raised_at(layers: Sequence[BaseException]) -> Place | None:
    """Where the user's code was when the innermost layer that knows it was raised."""
    for layer in reversed(layers):
        frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(layer.__traceback__)]
        if (place := last_users(frames)) is not None:
            return place
    return None


def _line_of(operator: str, replay: Replay) -> Place | None:
    """The user's line that calls an operator, as `aten._linalg_eigh`: the model is run and watched."""
    watch = _Watch(operator.rpartition(".")[2])
    with contextlib.suppress(Exception), watch:
        replay(0)
    return watch.place


def _line_that_breaks(replay: Replay) -> Place | None:
    """The user's line that fails with other sizes than those traced; None when the code takes any."""
    for more in (1, 2):
        try:
            replay(more)
        except Exception as error:  # whatever their code raises
            return _raised_at([error])
    return None


class _Watch(TorchDispatchMode):  # type: ignore[misc]  # torch is untyped here
    """Notes who calls an operator."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.place: Place | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.place is None and self._name in str(func):
            self.place = last_users([(one.filename, one.lineno or 0) for one in traceback.extract_stack()])
        return func(*args, **(kwargs or {}))


def last_users(frames: Sequence[Place]) -> Place | None:
    """The innermost frame that is the user's."""
    return next((frame for frame in reversed(frames) if _is_users(frame[0])), None)


def _is_users(file: str) -> bool:
    if file.startswith("<") or file.startswith(_NOT_THE_USERS):
        return False
    return not file.startswith(_STDLIB) or "site-packages" in file


def _with_place(what: str, place: Place | None) -> str:
    if place is None:
        return what
    file, line = place
    path = Path(file)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name
    code = linecache.getline(file, line).strip()
    return f"{what}, at {shown}:{line}" + (f" `{code}`" if code else "")


def _plain(error: BaseException) -> str:
    said = str(error).strip().split("\n\n")[0].replace("\n", " ")
    return said if len(said) <= _SAID_MAX else f"{said[:_SAID_MAX]}..."
