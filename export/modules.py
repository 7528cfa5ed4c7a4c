"""The PyTorch modules behind a spec's two functions, and the one module that is traced.

The exporter turns tensors of modules it can see into named initialisers; a module that hides in a closure
would be baked in as an anonymous constant. So the modules are looked up and registered.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from export.codec import GRID_INDEX, GRID_POSITION, ROW_TO_CONTEXT, Codec
from export.grid import Grid
from export.spec import ExportSpec


def owned_modules(spec: ExportSpec) -> list[nn.Module]:
    """Modules that `spec.context` and `spec.score` are bound to or close over, each once."""
    found: dict[int, nn.Module] = {}
    for function in (spec.context, spec.score):
        for module in _behind(function):
            found.setdefault(id(module), module)
    return list(found.values())


def widened(feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The feeds as the spec's functions take them: float16 is a form to travel in, not one to compute in."""
    return {name: value.float() if value.dtype == torch.float16 else value for name, value in feeds.items()}


class ServingModule(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """context -> gather -> score, on the feeds of a batch; in a grid `score` gathers, or does not, itself."""

    def __init__(self, spec: ExportSpec, codec: Codec) -> None:
        super().__init__()
        self.owned = nn.ModuleList(owned_modules(spec))
        self._spec = spec
        self._codec = codec

    def forward(self, feeds: Mapping[str, Any]) -> tuple[Any, ...]:
        """Score a batch.

        Args:
            feeds: every graph input; contexts [R, ...], candidates [N, ...], row_to_context int64 [N], and of
                a grid grid_index int64 [R, C] and grid_position int64 [N].

        Returns:
            one [N] tensor per head, in the spec's order.
        """
        feeds = widened(feeds)  # traced: these are the graph's casts
        state = self._spec.context(**{name: feeds[name] for name in self._codec.context_names})
        candidates = {name: feeds[name] for name in self._codec.candidate_names}
        if self._spec.layout == "grid":
            # Without a context there is no state whose row could be asked for.
            rows = feeds.get(ROW_TO_CONTEXT, torch.zeros_like(feeds[GRID_POSITION]))
            grid = Grid(feeds[GRID_INDEX], feeds[GRID_POSITION], rows)
            outputs = self._spec.score(state, grid, **candidates)
        else:
            if self._codec.context_names:
                rows = feeds[ROW_TO_CONTEXT]
                state = {name: torch.index_select(value, 0, rows) for name, value in state.items()}
            outputs = self._spec.score(state, **candidates)
        return tuple(outputs[head].float() for head in self._spec.heads)


def _behind(function: Callable[..., Any]) -> Iterator[nn.Module]:
    """Modules that a callable is, is bound to, or closes over; of a wrapper also what it wraps."""
    wrapped = None if isinstance(function, nn.Module) else getattr(function, "__wrapped__", None)
    if wrapped is not None:
        yield from _behind(wrapped)
    if isinstance(function, functools.partial):
        yield from _modules((*function.args, *function.keywords.values()))
        yield from _behind(function.func)
        return
    owner = getattr(function, "__self__", None)
    yield from _modules((function, owner))
    if owner is not None and not isinstance(owner, nn.Module):
        yield from _modules(getattr(owner, "__dict__", {}).values())
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if inspect.isfunction(plain):
        names = inspect.getclosurevars(plain)
        yield from _modules((*names.nonlocals.values(), *names.globals.values()))


def _modules(values: Iterable[Any]) -> Iterator[nn.Module]:
    return (value for value in values if isinstance(value, nn.Module))
