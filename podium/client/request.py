"""What a caller asks: one context, N candidates, and how to rank them. Arrays only; no wire in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from podium.client.wire_enums import Importance, Step

Array = NDArray[Any]
Ids = NDArray[np.int64] | Sequence[str]


class RankingFields(TypedDict, total=False):
    """`RankingRequest`'s fields without `model`: the keywords of `Client.rank`."""

    ids: Ids | None
    columns: Mapping[str, Array]
    context: Mapping[str, Array]
    prior_scores: Array | None
    version: int
    variant: str
    top_k: int
    floor: Step | None
    importance: Importance | None
    tenant: str
    request_id: str
    head_weights: Mapping[str, float]
    return_heads: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankingRequest:
    """One ranking request. N is the number of candidates: at least one of ids, columns, prior_scores says it.

    Attributes:
        ids: int64 [N], or N strings, for models that take candidate ids.
        columns: name -> array [N, ...], the candidates' features, in the dtype the model takes.
        context: name -> array without a batch axis, shared by all candidates.
        prior_scores: float [N], finite, higher is better; None = the order given is the prior.
        version: 0 = the server's default.
        variant: "" = the version's default.
        top_k: length of the answer's order; 0 = N.
        floor: worst step of the quality ladder to accept; None = the model's configured floor.
        importance: None = DEFAULT.
        request_id: at most 64 bytes; for logs and traces only.
        head_weights: replaces the bundle's weights of the named heads.
        return_heads: heads whose scores to send back.
    """

    model: str
    ids: Ids | None = None
    columns: Mapping[str, Array] = field(default_factory=dict)
    context: Mapping[str, Array] = field(default_factory=dict)
    prior_scores: Array | None = None
    version: int = 0
    variant: str = ""
    top_k: int = 0
    floor: Step | None = None
    importance: Importance | None = None
    tenant: str = ""
    request_id: str = ""
    head_weights: Mapping[str, float] = field(default_factory=dict)
    return_heads: Sequence[str] = ()

    @property
    def count(self) -> int:
        """N.

        Raises:
            ValueError: nothing says how many candidates there are, or two things disagree.
        """
        lengths = {f"columns[{name}]": np.shape(array)[:1] for name, array in self.columns.items()}
        if self.ids is not None:
            lengths["ids"] = (len(self.ids),)
        if self.prior_scores is not None:
            lengths["prior_scores"] = np.shape(self.prior_scores)[:1]
        if not lengths:
            raise ValueError("a request needs ids, columns or prior_scores: nothing says what to rank")
        if len(set(lengths.values())) > 1 or () in lengths.values():
            said = ", ".join(
                f"{name}: {shape[0] if shape else 'a scalar'}" for name, shape in lengths.items()
            )
            raise ValueError(f"candidates disagree on how many there are ({said})")
        return int(next(iter(lengths.values()))[0])
