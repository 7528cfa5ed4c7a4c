"""The reference of every gate: the spec's own two PyTorch functions, one request at a time, never the
wrapper.

Whatever goes wrong between those functions and a graph (the gather, tracing, quantisation, batching) shows as
a difference from these scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export import diagnose
from export.codec import Codec, Encoded
from export.grid import Grid
from export.modules import owned_modules, widened
from export.spec import ExportSpec

Scores = NDArray[np.float32]
Heads = Mapping[str, Scores]


class ModelFails(ValueError):
    """The user's functions raise. One sentence, with their line."""


class Reference:
    """Scores requests with PyTorch. Puts the modules behind the spec's functions into eval mode."""

    def __init__(self, spec: ExportSpec, codec: Codec) -> None:
        self._spec = spec
        self._codec = codec
        for module in owned_modules(spec):
            module.eval()

    def heads(self, request: Encoded) -> dict[str, Scores]:
        """Every head's scores of one request, float32 [N].

        Raises:
            ModelFails: the spec's functions raise.
            ValueError: `score` does not return exactly the spec's heads, [N] each.
        """
        codec = self._codec
        feeds = widened({name: torch.from_numpy(array) for name, array in codec.feeds([request]).items()})
        try:
            with torch.inference_mode():
                state = self._spec.context(**{name: feeds[name] for name in codec.context_names})
                candidates = {name: feeds[name] for name in codec.candidate_names}
                if self._spec.layout == "grid":
                    outputs = self._spec.score(state, Grid.of_one(request.count), **candidates)
                else:
                    rows = torch.zeros(request.count, dtype=torch.int64)
                    gathered = {name: torch.index_select(value, 0, rows) for name, value in state.items()}
                    outputs = self._spec.score(gathered, **candidates)
        except Exception as error:  # whatever their code raises
            raise ModelFails(
                f"the model fails in PyTorch, before any tracing, on {request.count} candidates: "
                f"{diagnose.explain_plain(error)}"
            ) from error
        check_outputs(self._spec, outputs, request.count)
        return {head: outputs[head].float().numpy() for head in self._spec.heads}


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: a request is too small to share, and on busy cores sharing costs 20 times as
    much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_outputs(spec: ExportSpec, outputs: Mapping[str, Any], count: int) -> None:
    """Refuse a `score` whose result is not {head: [N]}.

    Raises:
        ValueError: names the head.
    """
    if set(outputs) != set(spec.heads):
        raise ValueError(f"score returns heads {sorted(outputs)}, ExportSpec.heads has {sorted(spec.heads)}")
    for head, values in outputs.items():
        if tuple(values.shape) != (count,):
            raise ValueError(f"score returns shape {tuple(values.shape)} for head {head!r}, not [N]")


def combine(spec: ExportSpec, heads: Heads) -> Scores:
    """The combined score, float32 [N]: the heads' weighted sum."""
    total = sum(np.float32(weight) * heads[head] for head, weight in spec.heads.items())
    return np.asarray(total, np.float32)
