"""What a request wants of the heads: weights of its own, scores to send back. Beside `wire.py`, `reply.py`.

A request that wants neither never comes here. As everywhere, a refusal names the model's heads, never what
the caller wrote.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from podium.v1 import ranking_pb2 as pb
from protos.tensor import NUMPY, to_message
from server.domain import Scores
from server.errors import Reason, Refusal, Refused
from server.finite import all_finite

WEIGHTS_FIELD: Final = "head_weights"
RETURN_FIELD: Final = "return_heads"
_NAMED_MAX: Final = 8
"""Heads that a sentence lists: it must fit into trailers whatever the model."""


class HeadFields:
    """Reads `head_weights` and `return_heads` for one bundle.

    Args:
        weights: the bundle's own, one per head, in the order in which they are summed.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights

    def weights(self, asked: Mapping[str, float]) -> Mapping[str, float] | None:
        """Every head's weight for this request, in the bundle's order; None when it has none of its own.

        A head that the request does not name keeps the bundle's weight.

        Raises:
            Refused: INVALID_FIELD, an unknown head, a weight that is not finite, or nothing but zeros.
        """
        if not asked:
            return None
        for head, weight in asked.items():
            if head not in self._weights:
                raise self._unknown(WEIGHTS_FIELD)
            if not math.isfinite(weight):
                path = f"{WEIGHTS_FIELD}[{head}]"
                raise _refused(path, f"{path} is not a finite number.")
        weights = {head: asked.get(head, weight) for head, weight in self._weights.items()}
        if not any(weights.values()):
            sentence = f"{WEIGHTS_FIELD} leaves every head at weight 0; at least one must count."
            raise _refused(WEIGHTS_FIELD, sentence)
        return weights

    def returned(self, asked: Sequence[str]) -> tuple[str, ...]:
        """The heads to send back, in the order asked for.

        Raises:
            Refused: INVALID_FIELD, an unknown head or one asked for twice.
        """
        chosen: list[str] = []
        for head in asked:
            if head not in self._weights:
                raise self._unknown(RETURN_FIELD)
            if head in chosen:
                raise _refused(RETURN_FIELD, f"{RETURN_FIELD} names {head} more than once.")
            chosen.append(head)
        return tuple(chosen)

    def _unknown(self, field: str) -> Refused:
        return _refused(
            field, f"{field} names a head that this model does not have; it has {_listed(self._weights)}."
        )


def require_finite_sum(scores: Scores, heads: Mapping[str, Scores]) -> None:
    """Tell a caller whose weights are too large from a model that gives no number.

    Args:
        scores: the heads combined with a request's own weights, float32 [N].
        heads: float32 [N] each.

    Raises:
        Refused: INVALID_FIELD, a candidate with finite heads has a combined score that is not finite.
    """
    if all_finite(scores):
        return
    sound = np.logical_and.reduce([np.isfinite(head) for head in heads.values()])
    if not all_finite(scores[sound]):
        raise _refused(WEIGHTS_FIELD, f"{WEIGHTS_FIELD} makes a score that is too large for float32.")


def tensors(
    heads: Mapping[str, Scores], wanted: Sequence[str], invalid: NDArray[np.bool_] | None
) -> Iterator[bytes]:
    """The wanted heads as serialised Tensors, float32 [N]; NaN where a candidate was not scored."""
    for head in wanted:
        scores = heads[head].astype(NUMPY["float32"], copy=False)
        if invalid is not None:
            scores = np.where(invalid, np.float32(np.nan), scores)
        tensor: pb.Tensor = to_message(head, scores)
        yield tensor.SerializeToString()


def _listed(heads: Collection[str]) -> str:
    named = sorted(heads)[:_NAMED_MAX]
    more = len(heads) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _refused(field: str, sentence: str) -> Refused:
    return Refused(Refusal(Reason.INVALID_FIELD, sentence, field))
