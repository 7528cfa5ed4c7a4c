"""The manifest of a bundle, from the spec and from what the gates measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from export.codec import GRID_INDEX, GRID_POSITION, ROW_TO_CONTEXT
from export.spec import ExportSpec
from protos.manifest import (
    Axis,
    Calibration,
    Combine,
    File,
    Format,
    Golden,
    Input,
    Manifest,
    Output,
    RequestSet,
    Scoring,
    Variant,
    Vocab,
)

CONTEXTS_MAX = 64
"""Most requests in one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is known of a bundle before it has a version."""

    spec: ExportSpec
    vocabs: Mapping[str, Vocab]
    variants: Mapping[str, Variant]
    default_variant: str
    chunkable: bool
    golden: Golden
    requests: RequestSet
    source: Mapping[str, Any]
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)


def manifest_of(parts: Parts, version: int, files: list[File]) -> Manifest:
    """Put the manifest together."""
    spec = parts.spec
    is_grid, is_setwise = spec.layout == "grid", spec.kind == "setwise"
    has_rows = is_grid or any(entry.role == "context" for entry in spec.inputs)
    axes = {"R": Axis(max=CONTEXTS_MAX)} if has_rows else {}
    axes["N"] = Axis(max=spec.candidates_max)
    if is_grid:
        axes["C"] = Axis(max=spec.candidates_max)
    axes |= {
        name: Axis(max=size, pad="right", lengths=spec.lengths.get(name)) for name, size in spec.axes.items()
    }
    # Ragged context axes are always padded: they cost the same. Of candidates with lengths the tokens cost.
    work = [f"N*{name}" for name in spec.lengths] or ["N"]
    return Manifest(
        format=Format(requires=_required(parts)),
        model=spec.name,
        version=version,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        budget_ms=spec.budget_ms,
        # A pointwise score has passed batch_invariance: it depends on its context and candidate alone.
        scoring=Scoring(
            kind=spec.kind,
            layout=spec.layout,
            chunkable=parts.chunkable and not is_setwise,
            cacheable=not is_setwise,
        ),
        axes=axes,
        cost_axes=["R", *work] if has_rows else work,
        inputs=inputs_of(spec),
        vocabs=dict(parts.vocabs),
        outputs=outputs_of(spec, parts.calibrations),
        combine=Combine(weights=dict(spec.heads)),
        default_variant=parts.default_variant,
        variants=dict(parts.variants),
        golden=parts.golden,
        requests=parts.requests,
        source=dict(parts.source),
        files=files,
    )


def _required(parts: Parts) -> list[str]:
    """What a server has to know to serve the bundle."""
    vocab = ["vocab"] if parts.vocabs else []
    return [*vocab, "length_axis"] if parts.spec.lengths else vocab


def outputs_of(spec: ExportSpec, calibrations: Mapping[str, Calibration]) -> list[Output]:
    """The graph's outputs, one per head, with what the graph has made of the head's number."""
    found = []
    for head in spec.heads:
        output = Output(name=head, head=head, calibration=calibrations.get(head))
        if head in spec.outputs:
            output.activation = spec.outputs[head].activation
        found.append(output)
    return found


def inputs_of(spec: ExportSpec) -> list[Input]:
    """The graph's inputs: contexts with their lengths, candidates, the gather's index, the grid's places."""
    contexts: list[Input] = []
    candidates: list[Input] = []
    for entry in spec.inputs:
        described = Input(
            name=entry.name,
            role=entry.role,
            dtype=entry.dtype,
            shape=list(entry.shape),
            vocab=entry.vocab,
            accepts=list(entry.accepts),
            columns=list(entry.columns),
            non_finite=entry.non_finite,
            when_absent=entry.when_absent,
        )
        if entry.role != "context":
            candidates.append(described)
            continue
        contexts.append(described)
        if entry.length is not None:
            contexts.append(
                Input(name=entry.length, role="context_length", dtype="int64", shape=["R"], of=entry.name)
            )
    found = [*contexts, *candidates]
    if contexts:
        found.append(Input(name=ROW_TO_CONTEXT, role="row_to_context", dtype="int64", shape=["N"]))
    if spec.layout == "grid":
        found.append(Input(name=GRID_INDEX, role="grid_index", dtype="int64", shape=["R", "C"]))
        found.append(Input(name=GRID_POSITION, role="grid_position", dtype="int64", shape=["N"]))
    return found
