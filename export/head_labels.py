"""What really happened, per head: the labels that a head is judged and calibrated by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.spec import Array, ExampleRequest, ExportSpec


@dataclass(frozen=True, slots=True)
class Labelled:
    """One head's labels over a list of requests.

    Attributes:
        labels: per request float32 [N], NaN where unknown; None where the request says nothing of this head.
    """

    labels: tuple[Array | None, ...]

    @property
    def requests(self) -> list[int]:
        """Requests with a known label."""
        return [at for at, one in enumerate(self.labels) if one is not None and not np.isnan(one).all()]

    def known(self, values: Sequence[Array], requests: Sequence[int]) -> tuple[Array, Array]:
        """Values and labels of all candidates of `requests` whose label is known, one below the other.

        Args:
            values: [N] per entry of `requests`.
        """
        labels = [self.labels[at] for at in requests]
        flat = np.concatenate([np.asarray(one) for one in labels]) if labels else np.zeros(0, np.float32)
        joined = np.concatenate(list(values)) if len(values) else np.zeros(0, np.float32)
        known = ~np.isnan(flat)
        return joined[known], flat[known]


def labels_of(spec: ExportSpec, head: str, requests: Sequence[ExampleRequest], field: str) -> Labelled:
    """The labels of one head.

    Args:
        field: where the requests stand in the spec, as `requests`; for errors.

    Raises:
        ValueError: labels of another length than the candidates, or other than 0, 1 and NaN for a head with a
            sigmoid.
    """
    sigmoid = head in spec.outputs and spec.outputs[head].activation == "sigmoid"
    found: list[Array | None] = []
    for at, request in enumerate(requests):
        labels = request.head_labels.get(head)
        where = f"ExportSpec.{field}[{at}].head_labels[{head!r}]"
        if labels is None and len(spec.heads) == 1:
            labels, where = request.labels, f"ExportSpec.{field}[{at}].labels"
        if labels is None:
            found.append(None)
            continue
        array = np.asarray(labels, np.float32)
        if array.shape != (request.count,):
            raise ValueError(
                f"{where} has shape {list(array.shape)}; the request has {request.count} candidates"
            )
        if sigmoid and not np.isin(array[~np.isnan(array)], (0, 1)).all():
            raise ValueError(
                f"{where} has a value other than 0, 1 and NaN; a head with a sigmoid predicts 0 or 1"
            )
        found.append(array)
    return Labelled(tuple(found))


def require_known_heads(spec: ExportSpec) -> None:
    """Refuse labels that belong to no head: a mistyped name would silently leave a head unjudged.

    Raises:
        ValueError: names the request and the head.
    """
    for field in ("requests", "unlabelled", "calibration"):
        requests: Sequence[ExampleRequest] = getattr(spec, field)
        for at, request in enumerate(requests):
            for head in request.head_labels:
                if head not in spec.heads:
                    raise ValueError(
                        f"ExportSpec.{field}[{at}].head_labels names head {head!r}; "
                        f"ExportSpec.heads has {', '.join(spec.heads)}"
                    )
