"""Every name in a manifest must lead somewhere: found here, at load, rather than in the first request.

Rule: after `check`, no key of the manifest that the server follows can be missing.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from protos.manifest import Input, Manifest
from protos.tensor import NUMPY

AXIS_MAX: Final = 1 << 24
ROW_ELEMENTS_MAX: Final = 1 << 24
"""Of one row of one input: buffers are made for every size that a manifest promises."""
BUDGET_MS_MIN: Final = 0.1
"""Long requests of all models give way by the smallest budget served: one bundle must not make it nothing."""
BUDGET_MS_MAX: Final = 86_400_000.0


class LooseEnd(Exception):
    """A name leads nowhere, or a number is out of its range. One sentence with the key's path."""


def check(manifest: Manifest) -> None:
    """Follow every name of the manifest.

    Raises:
        LooseEnd: one leads nowhere.
    """
    if "N" not in manifest.axes:
        raise LooseEnd("axes has no axis 'N', the most candidates of a request")
    for name, axis in manifest.axes.items():
        if not 1 <= axis.max <= AXIS_MAX:
            raise LooseEnd(f"axes.{name}.max is {axis.max}; it must be 1 to {AXIS_MAX}")
    _check_length_axis(manifest)
    if not BUDGET_MS_MIN <= manifest.budget_ms <= BUDGET_MS_MAX:
        raise LooseEnd(
            f"budget_ms is {manifest.budget_ms}; it must be {BUDGET_MS_MIN} to {BUDGET_MS_MAX:.0f}"
        )
    if not (math.isfinite(manifest.golden.max_abs) and manifest.golden.max_abs >= 0):
        raise LooseEnd(f"golden.max_abs is {manifest.golden.max_abs}; it must be a number of at least 0")
    for head, weight in manifest.combine.weights.items():
        if not math.isfinite(weight):
            raise LooseEnd(f"combine.weights.{head} is {weight}; it must be a finite number")
    _check_names([entry.name for entry in manifest.inputs], "inputs")
    _check_names([entry.name for entry in manifest.outputs], "outputs")
    for entry in manifest.inputs:
        _check_shape(entry, manifest)
        _check_vocab(entry, manifest)
        for sent in entry.accepts:
            if not np.can_cast(NUMPY[sent], NUMPY[entry.dtype], "same_kind"):
                raise LooseEnd(f"input {entry.name!r} accepts {sent}, which {entry.dtype} cannot hold")
    for name, vocab in manifest.vocabs.items():
        if vocab.rows < 2:
            raise LooseEnd(f"vocabs.{name}.rows is {vocab.rows}; it takes an id and the unknown row")
        if not 0 <= vocab.unknown_row < vocab.rows:
            raise LooseEnd(f"vocabs.{name}.unknown_row is {vocab.unknown_row}, of {vocab.rows} rows")
    heads = {output.head for output in manifest.outputs}
    if not heads or heads != manifest.combine.weights.keys():
        raise LooseEnd("combine.weights must name exactly the heads of outputs")


def _check_names(names: list[str], key: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise LooseEnd(f"{key} names {name!r} more than once")


_PER_CANDIDATE = ("candidate", "candidate_id", "prior_score", "row_to_context", "grid_position")


def _check_shape(entry: Input, manifest: Manifest) -> None:
    if entry.role == "grid_index":
        if entry.shape != ["R", "C"] or "C" not in manifest.axes:
            raise LooseEnd(f"input {entry.name!r}: a grid_index has the axes R and C")
        return
    per_candidate = entry.role in _PER_CANDIDATE
    first = "N" if per_candidate else "R"
    if entry.shape[:1] != [first]:
        raise LooseEnd(f"input {entry.name!r}: the first axis of a {entry.role} is {first!r}")
    if entry.role not in ("candidate", "context") and len(entry.shape) > 1:
        raise LooseEnd(f"input {entry.name!r}: a {entry.role} has one axis")
    for at, size in enumerate(entry.shape[1:]):
        if isinstance(size, str):
            has_lengths = size in manifest.axes and manifest.axes[size].lengths is not None
            if per_candidate and (at or not has_lengths):
                raise LooseEnd(
                    f"input {entry.name!r}: axis {size!r} of a candidate must be a number, or the first "
                    "and one that has lengths"
                )
            if has_lengths and not per_candidate:
                raise LooseEnd(f"input {entry.name!r}: axis {size!r} is the candidates' length axis")
            if size not in manifest.axes:
                raise LooseEnd(f"input {entry.name!r}: axis {size!r} is not in axes")
        elif size < 1:
            raise LooseEnd(f"input {entry.name!r}: an axis of size {size}")
    sizes = [manifest.axes[size].max if isinstance(size, str) else size for size in entry.shape[1:]]
    if math.prod(sizes) > ROW_ELEMENTS_MAX:
        raise LooseEnd(
            f"input {entry.name!r}: a row of {math.prod(sizes):.3g} numbers; {ROW_ELEMENTS_MAX} at most"
        )
    if entry.role == "context_length":
        owners = {other.name: other for other in manifest.inputs if other.role == "context"}
        owner = owners.get(entry.of or "")
        if owner is None or len(owner.shape) < 2:
            raise LooseEnd(f"input {entry.name!r}: `of` must name a context input with an axis to count")


def _check_length_axis(manifest: Manifest) -> None:
    sources = {name: axis.lengths for name, axis in manifest.axes.items() if axis.lengths is not None}
    if len(sources) > 1:
        raise LooseEnd(f"axes has {len(sources)} axes with lengths; candidates have one length axis at most")
    for name, source in sources.items():
        owners = [entry for entry in manifest.inputs if entry.name == source and entry.role == "candidate"]
        if not owners:
            raise LooseEnd(f"axes.{name}.lengths is {source!r}, which is no candidate input")
        if owners[0].shape[1:] not in ([], [name]) or NUMPY[owners[0].dtype].kind == "f":
            raise LooseEnd(
                f"axes.{name}.lengths is {source!r}; it must hold whole numbers, of shape [N] or [N, {name}]"
            )
        if not any(name in entry.shape[1:] for entry in manifest.inputs):
            raise LooseEnd(f"axes.{name} has lengths, but no input has the axis")


def _check_vocab(entry: Input, manifest: Manifest) -> None:
    if entry.vocab is None:
        return
    vocab = manifest.vocabs.get(entry.vocab)
    if vocab is None:
        raise LooseEnd(f"input {entry.name!r}: there is no vocab {entry.vocab!r}")
    for dtype in (entry.dtype, *entry.accepts):
        if NUMPY[dtype].kind == "f":
            raise LooseEnd(f"input {entry.name!r}: {dtype} cannot be an id")
    if vocab.key == "string" and entry.role != "candidate_id":
        raise LooseEnd(f"input {entry.name!r}: only a candidate_id can have string ids")
